"""Signals: passed on if the way is open now, else dropped; never stored."""

from __future__ import annotations

from waypost.clock import Clock
from waypost.ids import Address, Provider
from waypost.limits import LINKS_MAX, QUERY_BURST, QUERY_RATE_PER_S
from waypost.protocol.frames.messages import Signal
from waypost.relay.accounts import Accounts
from waypost.relay.link import Link
from waypost.relay.peer import Peer
from waypost.relay.peers import Peers
from waypost.routing.quota import Buckets


class Signals:
    """See the module."""

    def __init__(self, provider: Provider, accounts: Accounts, peers: Peers, clock: Clock) -> None:
        self._provider = provider
        self._accounts = accounts
        self._peers = peers
        self._clock = clock
        self._allowed: Buckets[str] = Buckets(QUERY_RATE_PER_S, QUERY_BURST, LINKS_MAX)

    def from_device(self, link: Link, signal: Signal) -> None:
        if signal.sender != link.source or not self._allowed.take(link.source, 1, self._clock.instant()):
            return
        recipient = Address.of(signal.recipient)
        if recipient.provider == self._provider:
            self._pass_on(recipient, signal)
            return
        peer = self._peers.get(recipient.provider)
        if peer is not None and peer.link is not None:
            _send(peer.link, signal)

    def from_peer(self, peer: Peer, signal: Signal) -> None:
        sender, recipient = Address.of(signal.sender), Address.of(signal.recipient)
        if sender.provider != peer.provider:
            return
        user = self._accounts.get(recipient.user)
        may_reach = user is not None and self._accounts.may_reach(user, sender.provider)
        if peer.allowed.talk.take(1, self._clock.instant()) and may_reach:
            self._pass_on(recipient, signal)

    def _pass_on(self, recipient: Address, signal: Signal) -> None:
        """To the recipient's connected devices; nobody there: it is gone."""
        for link in self._accounts.links_of(recipient):
            _send(link, signal)


def _send(link: Link, signal: Signal) -> None:
    link.session.signal(signal)
    link.wake()
