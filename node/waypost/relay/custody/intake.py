"""Takes custody: what a link offers is checked, decided, committed, and only then acknowledged."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from waypost.clock import Clock
from waypost.errors import Code, PeerFault, WaypostError
from waypost.ids import Address, Provider
from waypost.limits import EARLY_ENVELOPES_MAX, EARLY_RECENT_IDS
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.custody.fate import State
from waypost.protocol.custody.transfer import Offered, Refusal, Reported
from waypost.relay.custody.couriers import Courier, Couriers
from waypost.relay.custody.outcomes import Outcomes
from waypost.relay.link import Link
from waypost.relay.peers import Peers
from waypost.relay.tasks import Surroundings
from waypost.routing.router import FromDevice, FromPeer, Refuse, Route, View, route
from waypost.storage.operations.mail import Accept, Accepted, Item, Placed, Settle

#: At the brim small messages fit and large ones do not: a full disk is over once nothing was refused for so long.
CALM_S: Final = 60.0


@dataclass(slots=True)
class _Judged:
    """An offer, sorted."""

    items: list[Item]
    indexes: list[int]  #: of `items` in the batch
    refusals: list[Refusal]
    missing: list[tuple[bytes, bytes, Sequence[tuple[str, Code]]]]


class Intake:
    """See the module. `view`: what the router asks of the node."""

    def __init__(self, around: Surroundings, outcomes: Outcomes, couriers: Couriers, peers: Peers, view: View) -> None:
        self._clock = around.clock
        self._log = around.log
        self._store = around.store
        self._outcomes = outcomes
        self._early = EarlyOffers(couriers)
        self._peers = peers
        self._view = view
        self._alarm = DiskAlarm(around.clock, around.log)
        self._closed = False
        self.accepted = 0
        self.duplicates = 0
        self.refused = 0

    def close(self) -> None:
        """This provider is leaving for good, and takes nothing more."""
        self._closed = True

    def offered(self, link: Link, offered: Offered) -> None:
        """A batch has arrived. Its receipt goes out after the commit; nothing here waits for it."""
        judged = self._judge(link, offered)
        if not judged.items:
            self._acknowledge(link, offered.batch, judged)
            return
        early = self._early.begin(judged.items)

        def done(accepted: Accepted) -> None:
            fresh = len(judged.items) - accepted.duplicates
            if fresh:
                self._alarm.stored()
            self.accepted += fresh
            self.duplicates += accepted.duplicates
            link.taken += len(judged.items)
            if not judged.missing:
                self._acknowledge(link, offered.batch, judged)
            self._tell_waiting(link, accepted.placed)
            self._early.end(early, accepted.placed)

        def failed(error: WaypostError) -> None:
            self._early.end(early)
            self._refuse(error, judged)
            self._acknowledge(link, offered.batch, judged)
            judged.missing.clear()

        deposit = Accept(link.source, self._clock.wall_ms(), judged.items)
        self._store.submit(deposit).then(done, failed)
        if judged.missing:
            self._settle_missing(link, offered.batch, judged)

    def _settle_missing(self, link: Link, batch: int, judged: _Judged) -> None:
        """The senders' news of recipients who are not there is durable before the envelope is acknowledged."""
        parts = [self._outcomes.unreachable(*each) for each in judged.missing]
        settlement = Settle(
            traces=[trace for part in parts for trace in part.traces],
            reports=[report for part in parts for report in part.reports],
            report_expires_ms=max(part.report_expires_ms for part in parts),
        )

        def done(_: object) -> None:
            if judged.missing:
                self._acknowledge(link, batch, judged)

        def failed(error: WaypostError) -> None:
            if judged.missing:
                self._refuse(error, judged)
                self._acknowledge(link, batch, judged)

        self._store.submit(settlement).then(done, failed)

    def _refuse(self, error: WaypostError, judged: _Judged) -> None:
        """Nothing could be stored: what was to be taken is refused for now."""
        code = self._reason(error, len(judged.indexes))
        judged.refusals += [Refusal(index, code.number) for index in judged.indexes]

    def _reason(self, error: WaypostError, count: int) -> Code:
        """What the holder is told when so many could not be stored; the operator is told more."""
        if error.code is Code.STORE_FULL:
            self._alarm.refused(count, error)
            return error.code
        self._log.warning("cannot store", reason=str(error))
        return Code.INTERNAL

    def reported(self, link: Link, reported: Reported) -> None:
        """A peer tells what became of envelopes; its receipt goes out after the commit."""
        settlement, refused = self._outcomes.reported(Provider(link.source), reported.outcomes)

        def done(_: object) -> None:
            link.session.receipt(reported.batch, refused, self._clock.wall_ms())
            link.wake()

        def failed(error: WaypostError) -> None:
            count = len(reported.outcomes)
            code = self._reason(error, count)
            refusals = [Refusal(index, code.number) for index in range(count)]
            link.session.receipt(reported.batch, refusals, self._clock.wall_ms())
            link.wake()

        self._store.submit(settlement).then(done, failed)

    def _judge(self, link: Link, offered: Offered) -> _Judged:
        now_ms = self._clock.wall_ms()
        judged = _Judged([], [], [], [])
        allowed = link.mail.take(len(offered.ids), self._clock.instant())
        origin = FromDevice(Address.of(link.source)) if link.is_device else FromPeer(Provider(link.source))
        for index, (id_, data) in enumerate(zip(offered.ids, offered.envelopes, strict=True)):
            if index >= allowed:
                break
            try:
                envelope = decode_envelope(data)
            except PeerFault as fault:
                judged.refusals.append(Refusal(index, fault.code.number))
                continue
            decision = Refuse(Code.PEER_GONE) if self._closed else route(envelope, origin, self._view, now_ms)
            if isinstance(decision, Route):
                judged.items.append(
                    Item(id_, data, decision.mailboxes, envelope.sender, envelope.created_ms, envelope.expires_ms)
                )
                judged.indexes.append(index)
                if decision.missing:
                    judged.missing.append((data, id_, decision.missing))
            else:
                judged.refusals.append(Refusal(index, decision.code.number))
        if allowed < len(offered.ids):
            retry_s = max(1, round(link.mail.wait_s(len(offered.ids) - allowed, self._clock.instant())))
            limited = Code.RATE_LIMITED.number
            judged.refusals += [Refusal(index, limited, retry_s) for index in range(allowed, len(offered.ids))]
        return judged

    def _acknowledge(self, link: Link, batch: int, judged: _Judged) -> None:
        self.refused += len(judged.refusals)
        link.session.receipt(batch, judged.refusals, self._clock.wall_ms())
        link.wake()

    def _tell_waiting(self, link: Link, placed: Iterable[Placed]) -> None:
        for mailbox, parcel in placed:
            waits = self._peers.waits(mailbox)
            if waits is not None and parcel.senders and not link.session.closed:
                code, next_ms = waits
                self._outcomes.notify(link.source, State.WAITING, parcel.ids, code.number, next_ms)


@dataclass(frozen=True, slots=True)
class EarlyDeposit:
    """A deposit that is being committed: what of it was offered early, and the mailboxes for which nothing was."""

    offers: tuple[tuple[Courier, tuple[bytes, ...]], ...]
    others: tuple[int, ...]


class EarlyOffers:
    """A lone message goes on to the next node while it is being committed here (see `Courier.offer_early`).

    A mailbox keeps its order: nothing is offered early while an earlier deposit for it is still being committed without
    having been offered. For each deposit: `begin` before it is submitted to the store, `end` once that is concluded.
    """

    def __init__(self, couriers: Couriers) -> None:
        self._couriers = couriers
        self._recent: OrderedDict[bytes, None] = OrderedDict()  #: ids that came alone lately
        self._in_bulk: OrderedDict[bytes, None] = OrderedDict()  #: the others; apart, since they may be many
        self._behind: dict[int, int] = {}  #: mailbox → deposits under way that were not offered early

    def begin(self, items: Sequence[Item]) -> EarlyDeposit:
        """Offer what may be offered at once."""
        offers = tuple(self._offer(items)) if self._is_lone(items) else ()
        offered = {courier.mailbox for courier, _ in offers}
        others = tuple({mailbox for item in items for mailbox in item.mailboxes} - offered)
        for mailbox in others:
            self._behind[mailbox] = self._behind.get(mailbox, 0) + 1
        return EarlyDeposit(offers, others)

    def end(self, deposit: EarlyDeposit, placed: Iterable[Placed] = ()) -> None:
        """The deposit has been committed as `placed`, or has failed."""
        for mailbox in deposit.others:
            self._behind[mailbox] -= 1
            if not self._behind[mailbox]:
                del self._behind[mailbox]
        if deposit.offers:
            committed = {(mailbox, parcel.ids) for mailbox, parcel in placed}
            for courier, ids in deposit.offers:
                if (courier.mailbox, ids) in committed:
                    courier.committed(ids)
                else:
                    courier.withdraw(ids)

    def _is_lone(self, items: Sequence[Item]) -> bool:
        """Few, and none of them seen lately: what comes twice is offered once."""
        fresh = dict.fromkeys(item.id for item in items if not self._is_known(item.id))
        lone = len(fresh) == len(items) <= EARLY_ENVELOPES_MAX
        # What is not offered early now must not be so later either: by then it has been handed on.
        recent = self._recent if lone else self._in_bulk
        recent.update(fresh)
        while len(recent) > EARLY_RECENT_IDS:
            recent.popitem(last=False)
        return lone

    def _is_known(self, id_: bytes) -> bool:
        return id_ in self._recent or id_ in self._in_bulk

    def _offer(self, items: Sequence[Item]) -> Iterable[tuple[Courier, tuple[bytes, ...]]]:
        groups: dict[tuple[int, ...], list[Item]] = {}
        for item in items:
            groups.setdefault(item.mailboxes, []).append(item)
        # A mailbox in two groups gets two parcels; which would be first is the store's to say.
        once = [mailbox for mailboxes in groups for mailbox in mailboxes]
        for mailboxes, group in groups.items():
            ids, envelopes = tuple(item.id for item in group), tuple(item.envelope for item in group)
            for mailbox in mailboxes:
                courier = self._couriers.get(mailbox)
                if courier is None or mailbox in self._behind or once.count(mailbox) > 1:
                    continue
                if courier.offer_early(ids, envelopes):
                    yield courier, ids


class DiskAlarm:
    """Tells the operator when the store begins to refuse mail for want of room, and when that is over.

    One line when it begins and one when it is over, so at most a pair a minute however often it is refused.
    """

    def __init__(self, clock: Clock, log: Any) -> None:
        self._clock = clock
        self._log = log
        self._refused = 0  #: since it began; 0: there is room
        self._last = 0.0

    def refused(self, count: int, error: WaypostError) -> None:
        """So many envelopes or outcomes were refused with STORE_FULL."""
        self._last = self._clock.instant()
        if not self._refused:
            self._log.warning(
                "storage is full: new messages are refused for now", reason=error.detail, advice=error.code.remedy
            )
        self._refused += count

    def stored(self) -> None:
        """Something new was stored."""
        if self._refused and self._clock.instant() - self._last >= CALM_S:
            self._log.info("storage has room again", refused=self._refused)
            self._refused = 0
