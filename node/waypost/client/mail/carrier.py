"""What a device does while its link is up: offers its mail, takes what comes, notes what became of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import anyio

from waypost.client.mail import history
from waypost.client.mail.incoming import Incoming
from waypost.client.mail.journal import Journal
from waypost.client.mail.link import Handler, OpenLink
from waypost.client.mail.outgoing import Outgoing, Ready
from waypost.client.mail.waking import ChangeEvents, Wakeup
from waypost.client.parts import Parts
from waypost.client.profile.database import Database
from waypost.clock import SECOND_MS, WallMs
from waypost.ids import Address
from waypost.limits import CLIENT_UPKEEP_S
from waypost.protocol.custody.app import Offering
from waypost.protocol.custody.transfer import Outcome, Refusal, Room
from waypost.protocol.frames.messages import Notice, NoticeKind

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
        parts: Parts,
    ) -> None:
        self._address = address
        self._database = database
        self._journal = journal
        self._outgoing = outgoing
        self._incoming = incoming
        self._parts = parts
        self._offering: Offering[int] = Offering()
        self.offers = Wakeup()  #: for whoever has put a message into an envelope
        self.keys_low = Wakeup()  #: called when the node runs out of keys of this device
        self.arrivals = ChangeEvents()  #: by ARRIVED

    # ── events of the link ──────────────────────────────────────────────────────────────────────────────────────────

    async def offered(self, ids: Sequence[bytes], envelopes: Sequence[bytes]) -> Sequence[Refusal]:
        now_ms = self._parts.wall_ms()
        refusals = await self._database.run(lambda conn: self._incoming.take(conn, ids, envelopes, now_ms))
        self.arrivals.happened([ARRIVED])
        return refusals

    async def settled(self, token: object, at_ms: WallMs, refusals: Sequence[Refusal]) -> None:
        if not isinstance(token, _OfferedMail):
            return
        times = at_ms, self._parts.wall_ms()
        changed = await self._database.run(lambda conn: self._outgoing.settle(conn, token.ready, refusals, times))
        rows = [ready.row for ready in token.ready]
        self._offering.settled(rows, refusals, anyio.current_time(), self._parts.spread())
        self._journal.tell(changed)
        self.offers.call()

    async def reported(self, outcomes: Sequence[Outcome]) -> None:
        await self._journal.change(lambda conn: history.reported(conn, self._address, outcomes))

    async def noticed(self, notice: Notice) -> None:
        now_ms = self._parts.wall_ms()
        if notice.kind == NoticeKind.KEYS_LOW:
            self.keys_low.call()
        elif notice.kind in (NoticeKind.HELD, NoticeKind.WAITING):
            await self._journal.change(lambda conn: history.noticed(conn, notice, now_ms))

    # ── offers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def offer(self, link: OpenLink) -> None:
        """For ever, beside a link."""
        offering = self._offering = Offering()
        while True:
            now, now_ms = anyio.current_time(), self._parts.wall_ms()
            room = link.session.room
            wait_s = CLIENT_UPKEEP_S
            if now < offering.paused_until:
                wait_s = offering.paused_until - now
            elif room.envelopes and room.bytes:
                ready, due_ms = await self._database.run(partial(self._choose, now_ms, room))
                if ready and not link.session.closed:
                    offering.offered(item.row for item in ready)
                    envelopes, ids = [item.envelope for item in ready], [item.id for item in ready]
                    link.session.offer(envelopes, ids, _OfferedMail(ready))
                    link.wake()
                    continue
                if due_ms is not None:
                    wait_s = min(wait_s, (due_ms - now_ms) / SECOND_MS)
            # More room comes with a receipt, which calls.
            await self.offers.wait(wait_s)

    def _choose(self, now_ms: WallMs, room: Room, conn: sqlite3.Connection) -> tuple[list[Ready], WallMs | None]:
        ready = self._outgoing.ready(conn, now_ms, room, self._offering)
        return ready, None if ready else self._outgoing.next_due(conn, now_ms)


@dataclass(frozen=True, slots=True, eq=False)
class _OfferedMail:
    """What a receipt is about."""

    ready: Sequence[Ready]
