"""Early offers: a lone message goes on to the next node while it is being committed here (see `Courier.hand_on`).

A mailbox keeps its order: nothing is offered early while an earlier deposit for it is still being committed without
having been offered.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from waypost.limits import EARLY_ENVELOPES_MAX, EARLY_RECENT_IDS
from waypost.relay.custody.ledger import Ledger, Taker
from waypost.storage.store import Item, Placed


@dataclass(frozen=True, slots=True)
class _Offer:
    mailbox: int
    taker: Taker
    ids: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Deposited:
    """One deposit: what of it was offered early, and the mailboxes for which nothing was."""

    offers: tuple[_Offer, ...]
    others: tuple[int, ...]


class EarlyOffers:
    """See the module. For each deposit: `begin` before it is submitted to the store, `end` once that is concluded."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._recent: OrderedDict[bytes, None] = OrderedDict()  #: ids that came alone lately
        self._in_bulk: OrderedDict[bytes, None] = OrderedDict()  #: the others; apart, since they may be many
        self._behind: dict[int, int] = {}  #: mailbox → deposits under way that were not offered early

    def begin(self, items: Sequence[Item]) -> Deposited:
        """Offer what may be offered at once."""
        offers = tuple(self._offer(items)) if self._is_lone(items) else ()
        offered = {offer.mailbox for offer in offers}
        others = tuple({mailbox for item in items for mailbox in item.mailboxes} - offered)
        for mailbox in others:
            self._behind[mailbox] = self._behind.get(mailbox, 0) + 1
        return Deposited(offers, others)

    def end(self, deposited: Deposited, placed: Iterable[Placed] = ()) -> None:
        """The deposit has been committed as `placed`, or has failed."""
        for mailbox in deposited.others:
            self._behind[mailbox] -= 1
            if not self._behind[mailbox]:
                del self._behind[mailbox]
        if deposited.offers:
            committed = {(mailbox, parcel.ids) for mailbox, parcel in placed}
            for offer in deposited.offers:
                if (offer.mailbox, offer.ids) not in committed:
                    offer.taker.withdraw(offer.ids)

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

    def _offer(self, items: Sequence[Item]) -> Iterable[_Offer]:
        groups: dict[tuple[int, ...], list[Item]] = {}
        for item in items:
            groups.setdefault(item.mailboxes, []).append(item)
        # A mailbox in two groups gets two parcels; which would be first is the store's to say.
        once = [mailbox for mailboxes in groups for mailbox in mailboxes]
        for mailboxes, group in groups.items():
            ids, envelopes = tuple(item.id for item in group), tuple(item.envelope for item in group)
            for mailbox in mailboxes:
                taker = self._ledger.taker(mailbox)
                if taker is None or mailbox in self._behind or once.count(mailbox) > 1:
                    continue
                if taker.hand_on(ids, envelopes):
                    yield _Offer(mailbox, taker, ids)
