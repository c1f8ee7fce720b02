"""Takes custody: what a link offers is checked, decided, committed, and only then acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from waypost.clock import Clock
from waypost.errors import Code, PeerFault, WaypostError
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.custody.messages import Refusal
from waypost.protocol.frames.messages import NoticeKind
from waypost.protocol.frames.session import Offered, Reported
from waypost.relay.custody.disk_alarm import Fullness
from waypost.relay.custody.early import EarlyOffers
from waypost.relay.custody.ledger import Ledger
from waypost.relay.custody.outcomes import Consequences
from waypost.relay.link import Link
from waypost.routing.quota import TokenBucket
from waypost.routing.router import Accept, Origin, Refuse, View, route
from waypost.storage.store import Accepted, Deposit, Item, Placed, Settlement, Store

#: Why what is placed in this mailbox waits, and until when (wall clock); None if it does not.
Waits = Callable[[int], tuple[Code, int] | None]


@dataclass(slots=True)
class _Judged:
    """An offer, sorted."""

    items: list[Item]
    indexes: list[int]  #: of `items` in the batch
    refusals: list[Refusal]
    missing: list[tuple[bytes, bytes, Sequence[tuple[str, Code]]]]


@dataclass(frozen=True)
class Desk:
    """What the intake works with."""

    store: Store
    ledger: Ledger
    consequences: Consequences
    view: View
    clock: Clock
    waits: Waits
    log: Any


class Intake:
    """See the module."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._fullness = Fullness(desk.clock, desk.log)
        self._early = EarlyOffers(desk.ledger)
        self.closed = False  #: this provider is leaving for good, and takes nothing more
        self.accepted = 0
        self.duplicates = 0
        self.refused = 0

    def offered(self, link: Link, offered: Offered, origin: Origin, bucket: TokenBucket) -> None:
        """A batch has arrived. Its receipt goes out after the commit; nothing here waits for it."""
        judged = self._judge(offered, origin, bucket)
        desk = self._desk
        if not judged.items:
            self._acknowledge(link, offered.batch, judged)
            return
        early = self._early.begin(judged.items)
        pending = desk.store.accept(Deposit(link.source, desk.clock.wall_ms(), judged.items))

        def then(accepted: Accepted) -> Iterable[Placed]:
            self._early.end(early, accepted.placed)
            fresh = len(judged.items) - accepted.duplicates
            if fresh:
                self._fullness.stored()
            self.accepted += fresh
            self.duplicates += accepted.duplicates
            link.taken += len(judged.items)
            if not judged.missing:
                self._acknowledge(link, offered.batch, judged)
            self._tell_waiting(link, accepted.placed)
            return accepted.placed

        def failed(error: WaypostError) -> None:
            self._early.end(early)
            self._refuse(error, judged)
            self._acknowledge(link, offered.batch, judged)
            judged.missing.clear()

        desk.ledger.submit(pending, then, failed)
        if judged.missing:
            self._settle_missing(link, offered.batch, judged)

    def _settle_missing(self, link: Link, batch: int, judged: _Judged) -> None:
        """The senders' news of recipients who are not there is durable before the envelope is acknowledged."""
        desk = self._desk
        parts = [desk.consequences.unreachable(*each) for each in judged.missing]
        settlement = Settlement(
            traces=[trace for part in parts for trace in part.traces],
            reports=[report for part in parts for report in part.reports],
            report_expires_ms=max(part.report_expires_ms for part in parts),
        )

        def then(placed: tuple[Placed, ...]) -> Iterable[Placed]:
            if judged.missing:
                self._acknowledge(link, batch, judged)
            return placed

        def failed(error: WaypostError) -> None:
            if judged.missing:
                self._refuse(error, judged)
                self._acknowledge(link, batch, judged)

        desk.ledger.submit(desk.store.settle(settlement), then, failed)

    def _refuse(self, error: WaypostError, judged: _Judged) -> None:
        """Nothing could be stored: what was to be taken is refused for now."""
        code = self._reason(error, len(judged.indexes))
        judged.refusals += [Refusal(index, code.number) for index in judged.indexes]

    def _reason(self, error: WaypostError, count: int) -> Code:
        """What the holder is told when so many could not be stored; the operator is told more."""
        if error.code is Code.STORE_FULL:
            self._fullness.refused(count, error)
            return error.code
        self._desk.log.warning("cannot store", reason=str(error))
        return Code.INTERNAL

    def reported(self, link: Link, reported: Reported) -> None:
        """A peer tells what became of envelopes; its receipt goes out after the commit."""
        desk = self._desk
        settlement, refused = desk.consequences.reported(link.source, reported.outcomes)

        def then(placed: tuple[Placed, ...]) -> Iterable[Placed]:
            link.session.receipt(reported.batch, refused, desk.clock.wall_ms())
            link.wake()
            return placed

        def failed(error: WaypostError) -> None:
            count = len(reported.outcomes)
            code = self._reason(error, count)
            refusals = [Refusal(index, code.number) for index in range(count)]
            link.session.receipt(reported.batch, refusals, desk.clock.wall_ms())
            link.wake()

        desk.ledger.submit(desk.store.settle(settlement), then, failed)

    def _judge(self, offered: Offered, origin: Origin, bucket: TokenBucket) -> _Judged:
        desk = self._desk
        now_ms = desk.clock.wall_ms()
        judged = _Judged([], [], [], [])
        allowed = bucket.take(len(offered.ids), desk.clock.instant())
        for index, (id_, data) in enumerate(zip(offered.ids, offered.envelopes, strict=True)):
            if index >= allowed:
                break
            try:
                envelope = decode_envelope(data)
            except PeerFault as fault:
                judged.refusals.append(Refusal(index, fault.code.number))
                continue
            decision = Refuse(Code.PEER_GONE) if self.closed else route(envelope, origin, desk.view, now_ms)
            if isinstance(decision, Accept):
                judged.items.append(
                    Item(id_, data, decision.mailboxes, envelope.sender, envelope.created_ms, envelope.expires_ms)
                )
                judged.indexes.append(index)
                if decision.missing:
                    judged.missing.append((data, id_, decision.missing))
            else:
                judged.refusals.append(Refusal(index, decision.code.number))
        if allowed < len(offered.ids):
            retry_s = max(1, round(bucket.wait_s(len(offered.ids) - allowed, desk.clock.instant())))
            limited = Code.RATE_LIMITED.number
            judged.refusals += [Refusal(index, limited, retry_s) for index in range(allowed, len(offered.ids))]
        return judged

    def _acknowledge(self, link: Link, batch: int, judged: _Judged) -> None:
        self.refused += len(judged.refusals)
        link.session.receipt(batch, judged.refusals, self._desk.clock.wall_ms())
        link.wake()

    def _tell_waiting(self, link: Link, placed: Iterable[Placed]) -> None:
        for mailbox, parcel in placed:
            waits = self._desk.waits(mailbox)
            if waits is not None and parcel.senders and not link.session.closed:
                code, next_ms = waits
                self._desk.consequences.notify(link.source, NoticeKind.WAITING, parcel.ids, code.number, next_ms)
