"""What the router asks of the node: which mailboxes lead to a recipient."""

from __future__ import annotations

from waypost.errors import Code
from waypost.ids import Provider
from waypost.relay.accounts import Accounts
from waypost.relay.federation.lookup import Lookup
from waypost.relay.peers import Peers
from waypost.relay.settings import Settings
from waypost.storage.caches import Usages


class Routes:
    """A `routing.router.View`."""

    def __init__(self, settings: Settings, usages: Usages, accounts: Accounts, peers: Peers, lookup: Lookup) -> None:
        self.provider = settings.provider
        self.user_mailboxes = accounts.user_mailboxes
        self._quotas = settings.quotas
        self._usages = usages
        self._peers = peers
        self._lookup = lookup

    def peer_mailbox(self, provider: str) -> int | Code:
        """The outbox towards a provider, or why there is none."""
        peer = self._peers.get(Provider(provider))
        if peer is None:
            return self._lookup.status(provider)
        if peer.blocked:
            return Code.BLOCKED
        if peer.gone:
            return Code.PEER_GONE
        if not peer.mailbox:
            peer.needed = True
            self._peers.wake(peer)
            return Code.UNREACHABLE
        usage = self._usages.of(peer.mailbox)
        if usage.items >= self._quotas.outbox_envelopes or usage.bytes >= self._quotas.outbox_bytes:
            return Code.QUEUE_FULL
        return peer.mailbox
