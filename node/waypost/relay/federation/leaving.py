"""The orderly end of a provider: what this node holds and can no more deliver goes back to its senders."""

from __future__ import annotations

from collections.abc import Iterable

import trio

from waypost.errors import Code
from waypost.limits import LEAVE_S
from waypost.relay.accounts import Accounts
from waypost.relay.custody.upkeep import Upkeep
from waypost.relay.peers import Peers
from waypost.storage.caches import Usages

_LOOK_S = 0.05


class Leaving:
    """See the module. New mail must be refused by now, or there would be no end of it."""

    def __init__(self, usages: Usages, accounts: Accounts, peers: Peers, upkeep: Upkeep) -> None:
        self._usages = usages
        self._accounts = accounts
        self._peers = peers
        self._upkeep = upkeep

    async def hand_back(self) -> int:
        """Bounce what waits for our users and for peers that are not linked; give linked ones LEAVE_S to take theirs.

        Returns how many items are left behind all the same: news for devices and peers that are away.
        """
        for user in list(self._accounts):
            for device in list(user.devices.values()):
                await self._upkeep.give_up(device.mailbox, Code.PEER_GONE, user.address)
        await self._give_up(peer.mailbox for peer in self._peers.all() if peer.mailbox and peer.link is None)
        with trio.move_on_after(LEAVE_S):
            while self._waits_for_linked():  # noqa: ASYNC110 - receipts come over many links
                await trio.sleep(_LOOK_S)
        await self._give_up(peer.mailbox for peer in self._peers.all() if peer.mailbox)
        return sum(self._items(mailbox) for mailbox in self._mailboxes())

    async def _give_up(self, mailboxes: Iterable[int]) -> None:
        for mailbox in list(mailboxes):
            await self._upkeep.give_up(mailbox, Code.PEER_GONE)

    def _waits_for_linked(self) -> bool:
        return any(peer.link is not None and self._items(peer.mailbox) for peer in self._peers.all() if peer.mailbox)

    def _mailboxes(self) -> Iterable[int]:
        for user in self._accounts:
            yield from user.mailboxes
        for peer in self._peers.all():
            if peer.mailbox:
                yield peer.mailbox

    def _items(self, mailbox: int) -> int:
        return self._usages.of(mailbox).items
