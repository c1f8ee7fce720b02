"""What a device does while its link is up: offers its mail, takes what comes, notes what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import anyio

from waypost.client import journal, pins
from waypost.client.claims import Claims
from waypost.client.core import ARRIVED, Core
from waypost.client.link import Live
from waypost.client.outgoing import Ready, resend_after_ms
from waypost.client.publisher import Publisher
from waypost.clock import SECOND_MS, Instant, WallMs
from waypost.errors import Code, Refused
from waypost.limits import CLIENT_UPKEEP_S
from waypost.protocol.custody.transfer import Outcome, Refusal
from waypost.protocol.frames.messages import Notice, NoticeKind

#: Refusals that are about the node as a whole: the rest of the mail would only be refused as well.
_NODE_CODES = frozenset(
    code.number for code in (Code.STORE_FULL, Code.RATE_LIMITED, Code.INTERNAL, Code.BUSY, Code.CLOSING)
)


class Courier:
    """The handler of the link's events, and the work beside it."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._in_flight: set[int] = set()
        self._pauses = 0
        self._paused_until: Instant = 0.0
        self.claims = Claims(core)
        self.publisher = Publisher(core)

    async def work(self, live: Live) -> None:
        """All that is to be done beside a link, until cancelled."""
        self._in_flight.clear()
        self._paused_until, self._pauses = 0.0, 0
        async with anyio.create_task_group() as tasks:
            for task in (self._offer, self.claims.run, self.publisher.run):
                tasks.start_soon(_unless_full, task, live)

    async def upkeep(self) -> None:
        """What time brings, link or no link."""
        core = self._core
        while True:
            now_ms = core.parts.wall_ms()

            def tidy(conn: sqlite3.Connection, now_ms: WallMs = now_ms) -> journal.Changed:
                core.incoming.forget(conn, now_ms)
                core.keys.forget(conn, now_ms)
                journal.forget(conn, now_ms)
                pins.drop_old_bundles(conn, now_ms)
                return core.outgoing.expire(conn, now_ms)

            # On a full disk this has to wait, as everything has.
            with suppress(Refused):
                core.sent.changed(await core.database.run(tidy))
            await anyio.sleep(CLIENT_UPKEEP_S)

    # ── events of the link ──────────────────────────────────────────────────────────────────────────────────────────

    async def offered(self, ids: Sequence[bytes], envelopes: Sequence[bytes]) -> Sequence[Refusal]:
        core, now_ms = self._core, self._core.parts.wall_ms()
        refusals = await core.database.run(lambda conn: core.incoming.take(conn, ids, envelopes, now_ms))
        core.arrivals.changed([ARRIVED])
        return refusals

    async def settled(self, token: object, at_ms: WallMs, refusals: Sequence[Refusal]) -> None:
        if not isinstance(token, _Batch):
            return
        core, now_ms = self._core, self._core.parts.wall_ms()
        changed = await core.database.run(
            lambda conn: core.outgoing.settle(conn, token.ready, refusals, (at_ms, now_ms))
        )
        self._in_flight -= {ready.row for ready in token.ready}
        if any(refusal.code in _NODE_CODES for refusal in refusals):
            self._paused_until = anyio.current_time() + resend_after_ms(self._pauses, core.parts.random) / SECOND_MS
            self._pauses += 1
        else:
            self._pauses = 0
        core.sent.changed(changed)
        core.offers.ring()

    async def reported(self, outcomes: Sequence[Outcome]) -> None:
        core = self._core
        me = core.profile.address
        core.sent.changed(await core.database.run(lambda conn: journal.reported(conn, me, outcomes)))

    async def noticed(self, notice: Notice) -> None:
        core, now_ms = self._core, self._core.parts.wall_ms()
        if notice.kind == NoticeKind.KEYS_LOW:
            core.keys_low.ring()
        elif notice.kind in (NoticeKind.HELD, NoticeKind.WAITING):
            core.sent.changed(await core.database.run(lambda conn: journal.noticed(conn, notice, now_ms)))

    # ── offers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _offer(self, live: Live) -> None:
        core = self._core
        while True:
            now = anyio.current_time()
            room = live.session.room
            wait_s = CLIENT_UPKEEP_S
            if now < self._paused_until:
                wait_s = self._paused_until - now
            elif room.envelopes and room.bytes:
                now_ms = core.parts.wall_ms()

                def choose(
                    conn: sqlite3.Connection,
                    now_ms: WallMs = now_ms,
                    items: int = room.envelopes,
                    size: int = room.bytes,
                ) -> tuple[list[Ready], WallMs | None]:
                    return core.outgoing.ready(conn, now_ms, items, size, self._in_flight), core.outgoing.next_due(
                        conn, now_ms
                    )

                ready, due_ms = await core.database.run(choose)
                if ready and not live.session.closed:
                    self._in_flight.update(item.row for item in ready)
                    live.session.offer([item.envelope for item in ready], [item.id for item in ready], _Batch(ready))
                    live.wake()
                    continue
                if due_ms is not None:
                    wait_s = min(wait_s, (due_ms - now_ms) / SECOND_MS)
            # More room comes with a receipt, which rings.
            await core.offers.wait(wait_s)


async def _unless_full(task: Callable[[Live], Awaitable[None]], live: Live) -> None:
    """A full disk ends the link: nothing more can be written down. It is made again later."""
    try:
        await task(live)
    except Refused as refused:
        live.close(refused.code)


class _Batch:
    """What a receipt is about."""

    def __init__(self, ready: Sequence[Ready]) -> None:
        self.ready = ready
