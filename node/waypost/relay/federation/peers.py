"""The peer nodes that are known: from the store, the configuration, discovery, and each other's records."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

from waypost.clock import DAY_MS, WallMs
from waypost.discovery.source import Endpoint, Sighting
from waypost.errors import Code, Refused, WaypostError
from waypost.ids import Provider, is_canonical_provider
from waypost.limits import HEARD_OF_MAX, PEERS_MAX, QUERY_BURST, QUERY_RATE_PER_S, REFUSED_KEYS_MAX
from waypost.protocol.custody.outbox import Verdict
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.relay.custody.courier import Courier, Tools
from waypost.relay.custody.outcomes import Consequences
from waypost.relay.federation.lookup import Finder
from waypost.relay.federation.peer import Allowances, Peer
from waypost.relay.link import Link
from waypost.relay.settings import Parts, Settings
from waypost.routing.quota import TokenBucket
from waypost.storage.store import MailboxKind, Parcel, PeerRow

#: A peer that was heard of within this time is dialled at start, so that what it holds for us comes at once.
_RECENT_MS = 7 * DAY_MS


class Peers:
    """See the module. `serve` gives a peer its task, once there is something to do for it."""

    def __init__(self, settings: Settings, parts: Parts, tools: Tools) -> None:
        self._settings = settings
        self._parts = parts
        self._tools = tools
        self._peers: dict[Provider, Peer] = {}
        self._by_mailbox: dict[int, Peer] = {}
        self._refused_keys: OrderedDict[Provider, bytes] = OrderedDict()
        self._consequences: Consequences
        self._serve: Callable[[Peer], None]
        self.finder = Finder(parts, tools.nursery, self.sighted)

    def wire(self, consequences: Consequences, serve: Callable[[Peer], None]) -> None:
        """The parts that need this one to be there first."""
        self._consequences = consequences
        self._serve = serve

    async def load(self) -> None:
        """Peers from the store and from the configuration; those heard of lately are dialled."""
        now_ms = self._parts.clock.wall_ms()
        for row in await self._tools.store.peers():
            peer = self._make(row.provider, row)
            peer.eager = bool(row.key) and row.heard_ms > now_ms - _RECENT_MS
        for configured in self._settings.peers:
            peer = self._peers.get(configured.provider) or self._make(configured.provider)
            peer.configured_key = configured.key
            peer.endpoints["static"] = tuple(Endpoint(e.host, e.port) for e in configured.endpoints)
            peer.configured = peer.eager = True
        for info in await self._tools.store.mailboxes():
            if info.kind is not MailboxKind.PEER or not is_canonical_provider(info.owner):
                continue
            known = self._peers.get(Provider(info.owner))
            if known is None and info.usage.items:
                known = self._make(Provider(info.owner))
            if known is not None:
                self._place_mailbox(known, info.id)

    def start(self) -> None:
        """Give a task to each peer that needs one; later ones get theirs by themselves."""
        for peer in self._peers.values():
            if peer.eager or (peer.mailbox and self._tools.store.usage(peer.mailbox).items):
                self.wake(peer)

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[Peer]:
        return list(self._peers.values())

    def get(self, provider: str) -> Peer | None:
        return self._peers.get(Provider(provider))

    def peer_mailbox(self, provider: str) -> int | Code:
        """For the router: the outbox towards a provider, or why there is none."""
        peer = self._peers.get(Provider(provider))
        if peer is None:
            return self.finder.status(provider)
        if peer.blocked:
            return Code.BLOCKED
        if peer.gone:
            return Code.PEER_GONE
        if not peer.mailbox:
            peer.needed = True
            self.wake(peer)
            return Code.UNREACHABLE
        usage, quotas = self._tools.store.usage(peer.mailbox), self._settings.quotas
        if usage.items >= quotas.outbox_envelopes or usage.bytes >= quotas.outbox_bytes:
            return Code.QUEUE_FULL
        return peer.mailbox

    def mailbox_to(self, provider: str) -> int | None:
        """The outbox for news to its users; none for one that has left: it would wait there for nobody."""
        peer = self._peers.get(Provider(provider))
        return peer.mailbox or None if peer and not peer.gone else None

    def waits(self, mailbox: int) -> tuple[Code, WallMs] | None:
        """Why an outbox is not moving, and when it is tried next (wall clock)."""
        peer = self._by_mailbox.get(mailbox)
        if peer is None or peer.link is not None:
            return None
        now = self._parts.clock.instant()
        wait_s = max(0.0, peer.backoff.next_try - now)
        code = peer.trouble.code if peer.trouble else Code.UNREACHABLE
        return code, self._parts.clock.wall_ms() + round(wait_s * 1000)

    def waiting(self, owner: str) -> tuple[Code, WallMs] | None:
        """The same by the outbox's owner, also where the peer is linked and takes nothing for now."""
        peer = self._peers.get(Provider(owner))
        if peer is None or not peer.mailbox:
            return None
        paused = peer.courier.paused if peer.link is not None and peer.courier is not None else None
        if paused is not None:
            return paused[0], self._parts.clock.wall_ms() + round(paused[1] * 1000)
        return self.waits(peer.mailbox)

    # ── learnt ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sighted(self, sighting: Sighting) -> None:
        """Discovery has a hint. It says where to knock; who is there is proved by the link alone."""
        if sighting.provider == self._settings.provider:
            return
        peer = self._peers.get(sighting.provider)
        if sighting.gone:
            if peer:
                peer.endpoints.pop(sighting.source, None)
                peer.eager = peer.eager and (sighting.source != "mdns" or peer.configured)
            return
        peer = peer or self.add(sighting.provider)
        if peer is None:
            return
        fresh = peer.endpoints.get(sighting.source) != sighting.endpoints
        peer.endpoints[sighting.source] = sighting.endpoints
        peer.announced_key = sighting.key
        peer.eager = True
        if fresh:
            peer.backoff = peer.backoff.heard(self._parts.clock.instant())
        self.wake(peer)

    def add(self, provider: Provider) -> Peer | None:
        """A peer that is new here; None if there is no room, which those that were merely heard of make."""
        strangers = [peer for peer in self._peers.values() if not peer.met]
        if len(self._peers) >= PEERS_MAX or len(strangers) >= HEARD_OF_MAX:
            idle = next((peer for peer in strangers if self._idle(peer)), None)
            if idle is None:
                self._parts.log.warning("too many peers", refused=provider)
                return None
            self._drop(idle)
            self._tools.nursery.start_soon(self._written, self._tools.store.forget_peer(idle.provider), idle.provider)
        return self._make(provider)

    def _idle(self, peer: Peer) -> bool:
        return not peer.asked_for and not (peer.mailbox and self._tools.store.usage(peer.mailbox).items)

    def admitted(self, peer: Peer, identity: PeerIdentity, trust: Trust) -> None:
        """Its link was admitted; `trust`: how its key was learnt just now, if it was."""
        if trust:
            self._parts.log.info("peer's key pinned", peer=peer.provider, trust=trust)
            peer.row = replace(peer.row, key=identity.key, trust=trust)
        if peer.record is not None and peer.record.key != identity.key:
            # What was heard of the name before it was met, or from before its key changed.
            peer.record = None
            peer.row = replace(peer.row, record=b"")
        peer.row = replace(peer.row, heard_ms=self._parts.clock.wall_ms())

    # ── the operator ────────────────────────────────────────────────────────────────────────────────────────────────

    def set_policy(self, provider: Provider, policy: PeerPolicy, key: bytes | None = None) -> None:
        """The operator's word; a key pins it."""
        peer = self._peers.get(provider) or self.add(provider)
        if peer is None:
            raise Refused(Code.QUOTA, "too many peers")
        row = replace(peer.row, policy=policy)
        if key is not None:
            if peer.record is not None and peer.record.key != key:
                peer.record, row = None, replace(row, record=b"")
            row = replace(row, key=key, trust=Trust.PINNED)
        peer.row = row
        self.save(peer)
        if peer.link is not None and (peer.blocked or (key is not None and peer.link.peer.key != key)):
            peer.link.close(Code.BLOCKED if peer.blocked else Code.KEY_CHANGED)
        self.retry(peer)

    def retry(self, peer: Peer) -> None:
        """Try to reach it now, whatever the schedule says."""
        peer.backoff = peer.backoff.succeeded()
        self.wake(peer)

    def note_refused(self, provider: Provider, key: bytes) -> None:
        """Somebody proved this key and was not let in under that name: the operator may want to pin it."""
        self._refused_keys[provider] = key
        self._refused_keys.move_to_end(provider)
        if len(self._refused_keys) > REFUSED_KEYS_MAX:
            self._refused_keys.popitem(last=False)

    def refused_key(self, provider: Provider) -> bytes:
        """The last key refused under that name; empty if none is remembered."""
        return self._refused_keys.get(provider, b"")

    async def forget(self, provider: Provider) -> None:
        """Drop all that is known of it; its outbox must be empty. Raises Refused."""
        peer = self._peers.get(provider)
        if peer is None:
            raise Refused(Code.PROVIDER_UNKNOWN, provider)
        if peer.mailbox and self._tools.store.usage(peer.mailbox).items:
            raise Refused(Code.QUOTA, f"messages wait for {provider}: waypost queue drop {provider}")
        if peer.link is not None:
            peer.link.close(Code.NOT_ADMITTED)
        self._drop(peer)
        await self._tools.store.forget_peer(provider)

    # ── kept ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def wake(self, peer: Peer) -> None:
        """Something has changed for it: see that its task looks."""
        if not peer.served:
            peer.served = True
            self._serve(peer)
        peer.poke()

    async def open_mailbox(self, peer: Peer) -> None:
        """Raises Refused."""
        self._place_mailbox(peer, await self._tools.store.open_mailbox(MailboxKind.PEER, peer.provider))

    def save(self, peer: Peer) -> None:
        """Write down what is to be remembered of it."""
        if self._peers.get(peer.provider) is peer:
            self._tools.nursery.start_soon(self._written, self._tools.store.save_peer(peer.row), peer.provider)

    async def _written(self, pending: object, provider: Provider) -> None:
        try:
            await pending  # type: ignore[misc] # a verb of the store; called before, so that the order is kept
        except WaypostError as error:
            self._parts.log.warning("peer not saved", peer=provider, reason=str(error))

    def _make(self, provider: Provider, row: PeerRow | None = None) -> Peer:
        now_ms = self._parts.clock.wall_ms()
        rates = self._settings.rates
        allowed = Allowances(
            TokenBucket(rates.peer_per_s, rates.peer_burst),
            TokenBucket(rates.peer_per_s, rates.peer_burst),
            TokenBucket(QUERY_RATE_PER_S, QUERY_BURST),
        )
        peer = Peer(provider, row or PeerRow(provider, b"", Trust.NONE, PeerPolicy.NONE, b"", now_ms, now_ms), allowed)
        self._peers[provider] = peer
        return peer

    def _drop(self, peer: Peer) -> None:
        peer.scope.cancel()
        del self._peers[peer.provider]
        self._by_mailbox.pop(peer.mailbox, None)
        if peer.courier:
            peer.courier.retire()

    def _place_mailbox(self, peer: Peer, mailbox: int) -> None:
        peer.mailbox = mailbox
        self._by_mailbox[mailbox] = peer

        def conclude(verdict: Verdict[Parcel], link: Link) -> None:
            link.given += sum(len(indexes) for _, indexes in verdict.taken)
            self._consequences.of_peer(mailbox, peer.provider, verdict)

        peer.courier = _PeerCourier(mailbox, self._tools, conclude, lambda: self.wake(peer))
        peer.opened.set()


class _PeerCourier(Courier):
    """Wakes the peer's task when mail arrives and there is no link."""

    takes_early = True

    def __init__(
        self, mailbox: int, tools: Tools, conclude: Callable[[Verdict[Parcel], Link], None], wake: Callable[[], None]
    ) -> None:
        super().__init__(mailbox, tools, conclude)
        self._wake = wake

    def add(self, parcel: Parcel) -> None:
        super().add(parcel)
        if self.link is None:
            self._wake()
