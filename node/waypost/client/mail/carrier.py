"""What a device does while its link is up: offers its mail, takes what comes, notes what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import anyio

from waypost.client.mail import history
from waypost.client.mail.incoming import Incoming
from waypost.client.mail.journal import Journal
from waypost.client.mail.link import Handler, OpenLink
from waypost.client.mail.outgoing import Outgoing, Ready
from waypost.client.mail.retry import resend_after_ms
from waypost.client.mail.waking import Changes, Wakeup
from waypost.client.profile.database import Database
from waypost.clock import SECOND_MS, Instant, WallMs
from waypost.errors import Code
from waypost.ids import Address
from waypost.limits import CLIENT_UPKEEP_S
from waypost.protocol.custody.messages import Outcome, Refusal
from waypost.protocol.frames.messages import Notice, NoticeKind

#: Refusals that are about the node as a whole: the rest of the mail would only be refused as well.
_NODE_CODES = frozenset(
    code.number for code in (Code.STORE_FULL, Code.RATE_LIMITED, Code.INTERNAL, Code.BUSY, Code.CLOSING)
)

#: The one name in `Carrier.arrivals`.
ARRIVED = b"inbox"


class Carrier(Handler):
    """The handler of the link's events, and the offers beside it."""

    def __init__(
        self,
        address: Address,
        database: Database,
        journal: Journal,
        outgoing: Outgoing,
        incoming: Incoming,
        wall_ms: Callable[[], WallMs],
        random: Callable[[int], bytes],
    ) -> None:
        self._address = address
        self._database = database
        self._journal = journal
        self._outgoing = outgoing
        self._incoming = incoming
        self._wall_ms = wall_ms
        self._random = random
        self._in_flight: set[int] = set()
        self._pauses = 0
        self._paused_until: Instant = 0.0
        self.offers = Wakeup()  #: for whoever has put a message into an envelope
        self.keys_low = Wakeup()  #: called when the node runs out of keys of this device
        self.arrivals = Changes()  #: by ARRIVED

    # ── events of the link ──────────────────────────────────────────────────────────────────────────────────────────

    async def offered(self, ids: Sequence[bytes], envelopes: Sequence[bytes]) -> Sequence[Refusal]:
        now_ms = self._wall_ms()
        refusals = await self._database.run(lambda conn: self._incoming.take(conn, ids, envelopes, now_ms))
        self.arrivals.happened([ARRIVED])
        return refusals

    async def settled(self, token: object, at_ms: WallMs, refusals: Sequence[Refusal]) -> None:
        if not isinstance(token, _Offer):
            return
        times = at_ms, self._wall_ms()
        changed = await self._database.run(lambda conn: self._outgoing.settle(conn, token.ready, refusals, times))
        self._in_flight -= {ready.row for ready in token.ready}
        if any(refusal.code in _NODE_CODES for refusal in refusals):
            self._paused_until = anyio.current_time() + resend_after_ms(self._pauses, self._random) / SECOND_MS
            self._pauses += 1
        else:
            self._pauses = 0
        self._journal.tell(changed)
        self.offers.call()

    async def reported(self, outcomes: Sequence[Outcome]) -> None:
        await self._journal.change(lambda conn: history.reported(conn, self._address, outcomes))

    async def noticed(self, notice: Notice) -> None:
        now_ms = self._wall_ms()
        if notice.kind == NoticeKind.KEYS_LOW:
            self.keys_low.call()
        elif notice.kind in (NoticeKind.HELD, NoticeKind.WAITING):
            await self._journal.change(lambda conn: history.noticed(conn, notice, now_ms))

    # ── offers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def offer(self, link: OpenLink) -> None:
        """For ever, beside a link."""
        self._in_flight.clear()
        self._paused_until, self._pauses = 0.0, 0
        while True:
            now = anyio.current_time()
            room = link.session.room
            wait_s = CLIENT_UPKEEP_S
            if now < self._paused_until:
                wait_s = self._paused_until - now
            elif room.envelopes and room.bytes:
                now_ms = self._wall_ms()

                def choose(
                    conn: sqlite3.Connection,
                    now_ms: WallMs = now_ms,
                    items: int = room.envelopes,
                    size: int = room.bytes,
                ) -> tuple[list[Ready], WallMs | None]:
                    ready = self._outgoing.ready(conn, now_ms, items, size, self._in_flight)
                    return ready, self._outgoing.next_due(conn, now_ms)

                ready, due_ms = await self._database.run(choose)
                if ready and not link.session.closed:
                    self._in_flight.update(item.row for item in ready)
                    link.session.offer([item.envelope for item in ready], [item.id for item in ready], _Offer(ready))
                    link.wake()
                    continue
                if due_ms is not None:
                    wait_s = min(wait_s, (due_ms - now_ms) / SECOND_MS)
            # More room comes with a receipt, which calls.
            await self.offers.wait(wait_s)


@dataclass(frozen=True, slots=True, eq=False)
class _Offer:
    """What a receipt is about."""

    ready: Sequence[Ready]
