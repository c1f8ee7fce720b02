"""The peer nodes that are known, in memory: asked for each envelope, so never from the disk."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace

import trio

from waypost.clock import DAY_MS, WallMs
from waypost.discovery.source import Endpoint, Sighting
from waypost.errors import Code, PeerFault, Refused, WaypostError
from waypost.ids import Provider, is_canonical_provider
from waypost.limits import (
    HEARD_OF_MAX,
    PEERS_MAX,
    QUERY_BURST,
    QUERY_RATE_PER_S,
    REFUSED_KEYS_MAX,
)
from waypost.protocol.directory.record import NodeRecord, open_record
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.relay.peer import Allowances, Peer
from waypost.relay.settings import Settings
from waypost.relay.tasks import Surroundings
from waypost.routing.quota import TokenBucket
from waypost.storage.caches import Again
from waypost.storage.operations.base import Operation
from waypost.storage.operations.changes import Change, Look, Subject
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxKind, OpenMailbox
from waypost.storage.operations.peers import ForgetPeer, PeerChanged, PeerRow, PeersTold, SavePeer, TellPeers

#: A peer that was heard of within this time is dialled at start, so that what it holds for us comes at once.
_RECENT_MS = 7 * DAY_MS
_OPEN_AGAIN_S = 10.0  #: an outbox that could not be opened


class Peers:
    """See the module: from the store, the configuration, discovery, and each other's records.

    A peer for which there is something to do is woken: its task (`next_unserved`) then looks at it.
    """

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self._settings = settings
        self._clock = around.clock
        self._log = around.log
        self._store = around.store
        self._usages = around.usages
        self._tasks = around.tasks
        self._peers: dict[Provider, Peer] = {}
        self._by_mailbox: dict[int, Peer] = {}
        self._refused_keys: OrderedDict[Provider, bytes] = OrderedDict()
        self._unserved: dict[Peer, None] = {}
        self._some_unserved = trio.Event()
        self._again = Again(lambda: around.store.submit(TellPeers()))
        around.store.changes(self._take)

    async def load(self) -> None:
        """Peers from the store and from the configuration; those heard of lately are woken, or that mail waits for."""
        await self._store.submit(TellPeers())
        for configured in self._settings.peers:
            peer = self._peers.get(configured.provider) or self._make(configured.provider)
            peer.configured_key = configured.key
            peer.endpoints["static"] = tuple(Endpoint(e.host, e.port) for e in configured.endpoints)
            peer.configured = peer.eager = True
        for info in await self._store.read(AllMailboxes()):
            if info.kind is not MailboxKind.PEER or not is_canonical_provider(info.owner):
                continue
            known = self._peers.get(Provider(info.owner))
            if known is None and info.usage.items:
                known = self._make(Provider(info.owner))
            if known is not None:
                self._place_mailbox(known, info.id)
        for peer in self._peers.values():
            if peer.eager or self.has_mail(peer):
                self.wake(peer)

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[Peer]:
        return list(self._peers.values())

    def get(self, provider: str) -> Peer | None:
        return self._peers.get(Provider(provider))

    def of_mailbox(self, mailbox: int) -> Peer | None:
        """Whose outbox it is; None for any other mailbox."""
        return self._by_mailbox.get(mailbox)

    def mailbox_to(self, provider: str) -> int | None:
        """The outbox for news to its users; none for one that has left: it would wait there for nobody."""
        peer = self._peers.get(Provider(provider))
        return peer.mailbox or None if peer and not peer.gone else None

    def has_mail(self, peer: Peer) -> bool:
        """Whether something waits in its outbox."""
        return bool(peer.mailbox) and self._usages.of(peer.mailbox).items > 0

    def is_needed(self, peer: Peer) -> bool:
        """Whether a link to it is of use."""
        return bool(peer.mailbox) and (peer.eager or peer.asked_for > 0 or self.has_mail(peer))

    def waits(self, mailbox: int) -> tuple[Code, WallMs] | None:
        """Why an outbox is not moving, and when it is tried next (wall clock)."""
        peer = self._by_mailbox.get(mailbox)
        if peer is None or peer.link is not None:
            return None
        wait_s = max(0.0, peer.backoff.next_try - self._clock.instant())
        code = peer.trouble.code if peer.trouble else Code.UNREACHABLE
        return code, self._clock.wall_ms() + round(wait_s * 1000)

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
            peer.backoff = peer.backoff.heard(self._clock.instant())
        self.wake(peer)

    def add(self, provider: Provider) -> Peer | None:
        """A peer that is new here; None if there is no room, which those that were merely heard of make."""
        strangers = [peer for peer in self._peers.values() if not peer.met]
        if len(self._peers) >= PEERS_MAX or len(strangers) >= HEARD_OF_MAX:
            idle = next((peer for peer in strangers if not peer.asked_for and not self.has_mail(peer)), None)
            if idle is None:
                self._log.warning("too many peers", refused=provider)
                return None
            self._drop(idle)
            self._write(idle, ForgetPeer(idle.provider))
        return self._make(provider)

    def admitted(self, peer: Peer, identity: PeerIdentity, trust: Trust) -> None:
        """Its link was admitted; `trust`: how its key was learnt just now, if it was."""
        if trust:
            self._log.info("peer's key pinned", peer=peer.provider, trust=trust)
            peer.row = replace(peer.row, key=identity.key, trust=trust)
        if peer.record is not None and peer.record.key != identity.key:
            # What was heard of the name before it was met, or from before its key changed.
            peer.record = None
            peer.row = replace(peer.row, record=b"")
        peer.row = replace(peer.row, heard_ms=self._clock.wall_ms())
        peer.stand()

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
        peer.stand()
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
        if self.has_mail(peer):
            raise Refused(Code.QUOTA, f"messages wait for {provider}: waypost queue drop {provider}")
        if peer.link is not None:
            peer.link.close(Code.NOT_ADMITTED)
        self._drop(peer)
        await self._store.submit(ForgetPeer(provider))

    # ── kept ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def wake(self, peer: Peer) -> None:
        """Something has changed for it: see that it has an outbox if it is of use, and that its task looks."""
        if not peer.mailbox and not peer.opening and (peer.needed or peer.eager or peer.asked_for):
            peer.opening = True
            self._tasks.start_soon(self._open_mailbox, peer)
        if not peer.served:
            peer.served = True
            self._unserved[peer] = None
            self._some_unserved.set()
        peer.poke()

    async def next_unserved(self) -> Peer:
        """One that was woken and has no task yet, once there is one."""
        while not self._unserved:
            self._some_unserved = trio.Event()
            await self._some_unserved.wait()
        peer = next(iter(self._unserved))
        del self._unserved[peer]
        return peer

    async def _open_mailbox(self, peer: Peer) -> None:
        while self._peers.get(peer.provider) is peer:
            try:
                mailbox = await self._store.submit(OpenMailbox(MailboxKind.PEER, peer.provider))
            except WaypostError as error:
                self._log.warning("no outbox", peer=peer.provider, reason=str(error))
                await trio.sleep(_OPEN_AGAIN_S)
                continue
            if self._peers.get(peer.provider) is peer:
                self._place_mailbox(peer, mailbox)
                self.wake(peer)
            return

    def save(self, peer: Peer) -> None:
        """Write down what is to be remembered of it."""
        if self._peers.get(peer.provider) is peer:
            self._write(peer, SavePeer(peer.row))

    def _write(self, peer: Peer, operation: Operation[None]) -> None:
        peer.writes += 1

        def done(_: None) -> None:
            peer.writes -= 1

        def failed(error: WaypostError) -> None:
            peer.writes -= 1
            self._log.warning("peer not saved", peer=peer.provider, reason=str(error))

        self._store.submit(operation).then(done, failed)

    # ── changes of the store ────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case PeerChanged(provider, row):
                    self._put(provider, row)
                case PeersTold(rows):
                    told = {row.provider for row in rows}
                    for provider in [peer.provider for peer in self._peers.values() if peer.provider not in told]:
                        self._put(provider, None)
                    for row in rows:
                        self._put(row.provider, row)
                case Look(Subject.PEERS):
                    self._again.ask()
                case _:
                    pass

    def _put(self, provider: Provider, row: PeerRow | None) -> None:
        """What another process has written is taken over; what this one has, it has in memory, or something newer."""
        peer = self._peers.get(provider)
        if peer is None:
            if row is not None and provider != self._settings.provider:
                peer = self._make(provider, row)
                peer.stored = True
                peer.eager = bool(row.key) and row.heard_ms > self._clock.wall_ms() - _RECENT_MS
        elif peer.writes:
            peer.stored = row is not None
        elif row is not None:
            peer.stored = True
            self._take_over(peer, row)
        elif peer.stored and not peer.configured and peer.link is None and not self.has_mail(peer):
            self._drop(peer)

    def _take_over(self, peer: Peer, row: PeerRow) -> None:
        if row == peer.row:
            return
        peer.row, peer.record = row, _remembered(row, self._clock.wall_ms())
        peer.stand()
        if peer.link is not None and (peer.blocked or (row.key and peer.link.peer.key != row.key)):
            peer.link.close(Code.BLOCKED if peer.blocked else Code.KEY_CHANGED)
        self.retry(peer)

    def _make(self, provider: Provider, row: PeerRow | None = None) -> Peer:
        now_ms = self._clock.wall_ms()
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
        self._unserved.pop(peer, None)

    def _place_mailbox(self, peer: Peer, mailbox: int) -> None:
        peer.mailbox = mailbox
        self._by_mailbox[mailbox] = peer
        peer.opened.set()


def _remembered(row: PeerRow, now_ms: WallMs) -> NodeRecord | None:
    """The record in a row; None if there is none, or one that has expired."""
    try:
        return open_record(row.record, now_ms).record if row.record else None
    except PeerFault:
        return None
