"""Who is connected to take what waits here: mailbox → courier → link. And early offers.

An early offer: a lone message goes on to the next node while it is being committed here (see `Courier.offer_early`).
A mailbox keeps its order: nothing is offered early while an earlier deposit for it is still being committed without
having been offered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from waypost.clock import WallMs
from waypost.errors import Code
from waypost.limits import EARLY_ENVELOPES_MAX, EARLY_RECENT_IDS
from waypost.protocol.custody.outbox import Allowance
from waypost.protocol.custody.transfer import Refusal
from waypost.relay.custody.courier import Courier
from waypost.relay.custody.outcomes import Outcomes
from waypost.relay.link import Link
from waypost.relay.peers import Peers
from waypost.relay.tasks import Surroundings
from waypost.storage.operations.changes import Change, Look, Subject
from waypost.storage.operations.mail import Item, Placed


class Couriers:
    """See the module. Links are attached and detached; what is committed finds its way to them by itself."""

    def __init__(self, around: Surroundings, peers: Peers, outcomes: Outcomes) -> None:
        self._around = around
        self._peers = peers
        self._outcomes = outcomes
        self._allowance = Allowance()
        self._couriers: dict[int, Courier] = {}
        around.store.changes(self._take)

    def attach(self, mailbox: int, link: Link) -> None:
        """From now on everything goes over this link; what was in flight on another goes again."""
        courier = self._couriers.get(mailbox)
        if courier is None:
            courier = self._couriers[mailbox] = Courier(mailbox, link, self._around, self._outcomes, self._allowance)
        else:
            courier.move(link)
        courier.flush()

    def detach(self, mailbox: int, link: Link) -> None:
        """The link has ended; nothing if another has taken its place."""
        courier = self._couriers.get(mailbox)
        if courier is not None and courier.link is link:
            courier.end()
            del self._couriers[mailbox]

    def get(self, mailbox: int) -> Courier | None:
        """The mailbox's courier; None while nobody is connected to take it."""
        return self._couriers.get(mailbox)

    def settled(self, mailbox: int, link: Link, token: object, refusals: Sequence[Refusal]) -> None:
        """The receipt for a batch that was offered over this link."""
        link.receipts += 1
        courier = self._couriers.get(mailbox)
        if courier is not None:
            courier.settled(link, token, refusals)

    def flush(self, mailbox: int) -> None:
        """There may be room for more: something has come over the owner's link."""
        courier = self._couriers.get(mailbox)
        if courier is not None:
            courier.flush()

    def waiting(self, provider: str) -> tuple[Code, WallMs] | None:
        """Why mail to a peer waits, and until when (wall clock): it is not linked, or it takes nothing for now."""
        peer = self._peers.get(provider)
        if peer is None or not peer.mailbox:
            return None
        courier = self._couriers.get(peer.mailbox)
        paused = courier.paused if courier is not None else None
        if paused is not None:
            return paused[0], self._around.clock.wall_ms() + round(paused[1] * 1000)
        return self._peers.waits(peer.mailbox)

    def _take(self, changes: tuple[Change, ...]) -> None:
        """Couriers go on only when all that one commit brought is known: so batches form by themselves."""
        changed: dict[Courier, None] = {}
        for change in changes:
            match change:
                case Placed(mailbox, parcel):
                    courier = self._couriers.get(mailbox)
                    if courier is not None:
                        courier.add(parcel)
                        changed[courier] = None
                    elif (peer := self._peers.of_mailbox(mailbox)) is not None:
                        self._peers.wake(peer)
                case Look(Subject.MAIL):
                    for courier in self._couriers.values():
                        courier.look_again()
                        changed[courier] = None
                case _:
                    pass
        for courier in changed:
            courier.flush()


@dataclass(frozen=True, slots=True)
class EarlyDeposit:
    """A deposit that is being committed: what of it was offered early, and the mailboxes for which nothing was."""

    offers: tuple[tuple[Courier, tuple[bytes, ...]], ...]
    others: tuple[int, ...]


class EarlyOffers:
    """See the module. For each deposit: `begin` before it is submitted to the store, `end` once that is concluded."""

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
