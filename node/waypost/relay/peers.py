"""The peer nodes: a task for each, its own queue and back-off, so that a dead peer delays nobody else."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

import trio

from waypost.clock import DAY_MS, Instant, WallMs
from waypost.discovery.source import Endpoint, Sighting
from waypost.errors import Code, PeerFault, Refused, WaypostError, code_of
from waypost.ids import Provider, is_canonical_provider, is_lan
from waypost.limits import DIALS_AT_ONCE, PEERS_MAX, QUERY_TIMEOUT_S, RECORDS_PER_MESSAGE_MAX, REFUSED_KEYS_MAX
from waypost.protocol.handshake import PeerIdentity
from waypost.protocol.messages import Answer, Ask, Notice, NoticeKind
from waypost.protocol.outbox import Verdict
from waypost.protocol.record import NodeRecord, RecordState, open_record, supersedes
from waypost.relay.consequences import Consequences
from waypost.relay.courier import Courier, Tools
from waypost.relay.link import Link
from waypost.relay.peer import Peer, Trouble
from waypost.relay.settings import Parts, Settings
from waypost.routing.quota import TokenBucket
from waypost.storage.store import MailboxKind, Parcel, PeerRow

#: Two links made within this time of each other are one attempt from both sides.
_RACE_S = 5.0
#: A peer that was heard of within this time is dialled at start, so that what it holds for us comes at once.
_RECENT_MS = 7 * DAY_MS
#: After a start, discovery may not have found everyone yet.
_SETTLING_S = 10.0

#: Opens a link to one of the endpoints, proves, admits and serves it; returns once it is attached. Raises WaypostError.
Dial = Callable[[Peer, list[Endpoint]], Awaitable[None]]


@dataclass
class _Pending:
    """An answer that somebody waits for."""

    done: trio.Event
    answer: Answer | None = None


class Peers:
    """See the module."""

    def __init__(self, settings: Settings, parts: Parts, tools: Tools, own_key: bytes) -> None:
        self._settings = settings
        self._parts = parts
        self._tools = tools
        self._own_key = own_key
        self._peers: dict[Provider, Peer] = {}
        self._by_mailbox: dict[int, Peer] = {}
        self._dials = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._started = parts.clock.instant()
        self._consequences: Consequences
        self._dial: Dial
        self._give_up: Callable[[int, Code], Awaitable[int]]
        self._refused_keys: OrderedDict[Provider, bytes] = OrderedDict()
        self.own_record = b""

    def wire(self, consequences: Consequences, dial: Dial, give_up: Callable[[int, Code], Awaitable[int]]) -> None:
        """The parts that need this one to be there first."""
        self._consequences = consequences
        self._dial = dial
        self._give_up = give_up

    async def load(self) -> None:
        """Peers from the store and from the configuration; those heard of lately are dialled."""
        now_ms = self._parts.clock.wall_ms()
        for row in await self._tools.store.peers():
            peer = self._make(row.provider, row)
            if row.record:
                self._take_record(peer, row.record, now_ms)
            peer.eager = bool(row.key) and row.heard_ms > now_ms - _RECENT_MS
        for configured in self._settings.peers:
            peer = self._peers.get(configured.provider) or self._make(configured.provider)
            peer.configured_key = configured.key
            peer.endpoints["static"] = tuple(Endpoint(e.host, e.port) for e in configured.endpoints)
            peer.eager = True
        for info in await self._tools.store.mailboxes():
            if info.kind is MailboxKind.PEER and is_canonical_provider(info.owner):
                known = self._peers.get(Provider(info.owner)) or self._make(Provider(info.owner))
                self._place_mailbox(known, info.id)

    def start(self) -> None:
        """Start a task for each peer; later ones start theirs by themselves."""
        for peer in self._peers.values():
            self._tools.nursery.start_soon(self._run, peer)

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def all(self) -> list[Peer]:
        return list(self._peers.values())

    def get(self, provider: str) -> Peer | None:
        return self._peers.get(Provider(provider))

    def peer_mailbox(self, provider: str) -> int | Code:
        """For the router: the outbox towards a provider, or why there is none."""
        peer = self._peers.get(Provider(provider))
        if peer is None:
            return Code.PROVIDER_UNKNOWN if self._settled() else Code.UNREACHABLE
        if peer.blocked:
            return Code.BLOCKED
        if peer.gone:
            return Code.PEER_GONE
        if not peer.mailbox:
            return Code.UNREACHABLE
        usage, quotas = self._tools.store.usage(peer.mailbox), self._settings.quotas
        if usage.items >= quotas.outbox_envelopes or usage.bytes >= quotas.outbox_bytes:
            return Code.QUEUE_FULL
        return peer.mailbox

    def mailbox_to(self, provider: str) -> int | None:
        peer = self._peers.get(Provider(provider))
        return peer.mailbox or None if peer else None

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
        peer = self._peers.get(Provider(owner))
        return self.waits(peer.mailbox) if peer and peer.mailbox else None

    def _settled(self) -> bool:
        return self._parts.clock.instant() > self._started + _SETTLING_S

    # ── learnt ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def sighted(self, sighting: Sighting) -> None:
        """Discovery has a hint. It says where to knock; who is there is proved by the link alone."""
        if sighting.provider == self._settings.provider:
            return
        peer = self._peers.get(sighting.provider)
        if sighting.gone:
            if peer:
                peer.endpoints.pop(sighting.source, None)
                peer.eager = peer.eager and sighting.source != "mdns"
            return
        peer = peer or self._add(sighting.provider)
        if peer is None:
            return
        fresh = peer.endpoints.get(sighting.source) != sighting.endpoints
        peer.endpoints[sighting.source] = sighting.endpoints
        peer.announced_key = sighting.key
        peer.eager = True
        if fresh:
            peer.backoff = peer.backoff.heard(self._parts.clock.instant())
        peer.poke()

    def merge_records(self, records: Iterable[bytes]) -> None:
        """Records that a peer passes on: newest sequence wins, what does not verify or has expired is dropped."""
        now_ms = self._parts.clock.wall_ms()
        for data in list(records)[:RECORDS_PER_MESSAGE_MAX]:
            try:
                record = open_record(data, now_ms).record
            except PeerFault:
                continue
            name = Provider(record.name)
            if name == self._settings.provider:
                continue
            peer = self._peers.get(name) or self._add(name)
            if peer is not None and self._take_record(peer, data, now_ms):
                self._save(peer)
                peer.poke()

    def _take_record(self, peer: Peer, data: bytes, now_ms: WallMs) -> bool:
        try:
            record = open_record(data, now_ms).record
        except PeerFault:
            return False
        if peer.row.key and record.key != peer.row.key:
            return False  # a new key is the link's matter, where its succession is judged
        if peer.record is not None and not supersedes(record, peer.record):
            return False
        if record.state is not RecordState.ACTIVE and not peer.row.key:
            return False  # anyone could bury a name that nobody here has met
        peer.record = record
        peer.row = replace(peer.row, record=data)
        if peer.gone:
            self._parts.log.info("peer has closed", peer=peer.provider, moved_to=record.moved_to)
            if peer.mailbox:
                self._tools.nursery.start_soon(self._give_up, peer.mailbox, Code.PEER_GONE)
        return True

    def known_records(self) -> tuple[bytes, ...]:
        """Our own, and those of admitted peers."""
        now_ms = self._parts.clock.wall_ms()
        others = [
            peer.row.record
            for peer in self._peers.values()
            if peer.row.key and peer.record and peer.record.expires_ms > now_ms and not peer.blocked
        ]
        return (self.own_record, *others[: RECORDS_PER_MESSAGE_MAX - 1])

    def record_of(self, provider: str) -> NodeRecord | None:
        peer = self._peers.get(Provider(provider))
        return peer.record if peer else None

    def set_policy(self, provider: Provider, policy: str, key: bytes | None = None) -> None:
        """The operator's word: 'allow', 'block' or ''; a key pins it."""
        peer = self._peers.get(provider) or self._add(provider)
        if peer is None:
            raise Refused(Code.QUOTA, "too many peers")
        row = replace(peer.row, policy=policy)
        if key is not None:
            row = replace(row, key=key, trust="pinned", record=row.record if row.key == key else b"")
            if not row.record:
                peer.record = None
        peer.row = row
        self._save(peer)
        peer.backoff = peer.backoff.succeeded()
        if peer.link is not None and (peer.blocked or (key is not None and peer.link.peer.key != key)):
            peer.link.close(Code.BLOCKED if peer.blocked else Code.KEY_CHANGED)
        peer.poke()

    def retry(self, peer: Peer) -> None:
        """Try to reach it now, whatever the schedule says."""
        peer.backoff = peer.backoff.succeeded()
        peer.poke()

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
        """Drop all that is known of it; its outbox must be empty."""
        peer = self._peers.get(provider)
        if peer is None:
            raise Refused(Code.PROVIDER_UNKNOWN, provider)
        if peer.mailbox and self._tools.store.usage(peer.mailbox).items:
            raise Refused(Code.QUOTA, f"messages wait for {provider}: waypost queue drop {provider}")
        if peer.link is not None:
            peer.link.close(Code.NOT_ADMITTED)
        peer.scope.cancel()
        del self._peers[provider]
        self._by_mailbox.pop(peer.mailbox, None)
        if peer.courier:
            peer.courier.retire()
        await self._tools.store.forget_peer(provider)

    def _add(self, provider: Provider) -> Peer | None:
        if len(self._peers) >= PEERS_MAX:
            self._parts.log.warning("too many peers", refused=provider)
            return None
        peer = self._make(provider)
        self._tools.nursery.start_soon(self._run, peer)
        return peer

    def _make(self, provider: Provider, row: PeerRow | None = None) -> Peer:
        now_ms = self._parts.clock.wall_ms()
        rates = self._settings.rates
        peer = Peer(
            provider,
            row or PeerRow(provider, b"", "", "", b"", now_ms, now_ms),
            TokenBucket(rates.peer_per_s, rates.peer_burst),
        )
        self._peers[provider] = peer
        return peer

    def _place_mailbox(self, peer: Peer, mailbox: int) -> None:
        peer.mailbox = mailbox
        self._by_mailbox[mailbox] = peer

        def conclude(verdict: Verdict[Parcel], link: Link) -> None:
            link.given += sum(len(indexes) for _, indexes in verdict.taken)
            self._consequences.of_peer(mailbox, peer.provider, verdict)

        peer.courier = _PeerCourier(peer, mailbox, self._tools, conclude)
        peer.opened.set()

    def _save(self, peer: Peer) -> None:
        self._tools.nursery.start_soon(self._write_row, peer.row)

    async def _write_row(self, row: PeerRow) -> None:
        try:
            await self._tools.store.save_peer(row)
        except WaypostError as error:
            self._parts.log.error("peer not saved", peer=row.provider, reason=str(error))

    # ── the task of a peer ──────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, peer: Peer) -> None:
        with peer.scope:
            while not peer.mailbox:
                try:
                    self._place_mailbox(peer, await self._tools.store.open_mailbox(MailboxKind.PEER, peer.provider))
                except WaypostError as error:
                    self._parts.log.error("no outbox", peer=peer.provider, reason=str(error))
                    await trio.sleep(_SETTLING_S)
            while True:
                await self._step(peer)

    async def _step(self, peer: Peer) -> None:
        now = self._parts.clock.instant()
        if not self._wants_link(peer):
            await self._next_change(peer, float("inf"))
        elif peer.backoff.next_try > now:
            await self._next_change(peer, peer.backoff.next_try)
        else:
            async with self._dials:
                await self._try(peer)

    def _wants_link(self, peer: Peer) -> bool:
        if peer.link is not None or peer.blocked or peer.gone:
            return False
        return peer.eager or peer.asked_for > 0 or self._tools.store.usage(peer.mailbox).items > 0

    async def _next_change(self, peer: Peer, until: Instant) -> None:
        with trio.move_on_after(max(0.0, until - self._parts.clock.instant())):
            await peer.changed.wait()
        peer.changed = trio.Event()

    async def _try(self, peer: Peer) -> None:
        try:
            endpoints = peer.addresses() or await self._look_up(peer)
            if not endpoints:
                raise Refused(Code.UNREACHABLE, "nobody has said where it is")
            await self._dial(peer, endpoints)
        except WaypostError as error:
            self.failed(peer, error.code, error.detail or error.code.title)

    async def _look_up(self, peer: Peer) -> list[Endpoint]:
        if self._parts.dns is None or is_lan(peer.provider):
            return []
        found = await self._parts.dns.look_up(peer.provider)
        return list(found.endpoints) if found else []

    def failed(self, peer: Peer, code: Code, text: str) -> None:
        """A try to reach it has failed, or its link ended with a reason."""
        known = peer.trouble
        peer.trouble = Trouble(code, text, self._parts.clock.wall_ms())
        peer.backoff = peer.backoff.failed(self._parts.clock.instant(), self._parts.random.random())
        if known is None or known.code is not code or known.text != text:
            self._parts.log.warning("peer cannot be reached", peer=peer.provider, reason=text, remedy=code.remedy)
        if code is Code.UNREACHABLE:
            for source in self._parts.sources:
                source.failed(peer.provider)
        peer.linked.set()  # whoever waits for a link learns that there is none
        peer.linked = trio.Event()

    # ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def known(self, provider: Provider) -> Peer | None:
        """The peer for a proven link's name; a new one if there is room."""
        return self._peers.get(provider) or self._add(provider)

    def admitted(self, peer: Peer, identity: PeerIdentity, trust: str) -> None:
        """Its link was admitted; `trust`: how its key was learnt just now, or empty."""
        now_ms = self._parts.clock.wall_ms()
        if trust:
            self._parts.log.info("peer's key pinned", peer=peer.provider, trust=trust)
            if peer.row.key and peer.row.key != identity.key:
                peer.record = None
            peer.row = replace(peer.row, key=identity.key, trust=trust)
        peer.row = replace(peer.row, heard_ms=now_ms)
        if identity.record:
            self._take_record(peer, identity.record, now_ms)
        self._save(peer)

    def attach(self, peer: Peer, link: Link) -> bool:
        """Make it the peer's link; False if another one is kept."""
        now = self._parts.clock.instant()
        former = peer.link
        if former is not None:
            if now - peer.linked_at < _RACE_S and self._loses(link, former):
                return False
            former.close(Code.DUPLICATE_LINK)
        peer.link, peer.linked_at = link, now
        peer.backoff = peer.backoff.succeeded()
        peer.trouble = None
        if peer.courier:
            peer.courier.attach(link)
        peer.linked.set()
        peer.linked = trio.Event()
        peer.poke()
        self._parts.log.info("link up", peer=peer.provider, dialed=link.peer.dialed)
        return True

    def _loses(self, new: Link, former: Link) -> bool:
        """When both sides dial at once, both keep the link that the lower key dialled."""
        if new.peer.dialed == former.peer.dialed:
            return False
        lower_is_ours = self._own_key < new.peer.key
        return new.peer.dialed is not lower_is_ours

    def detach(self, peer: Peer, link: Link, code: int | None, text: str) -> None:
        """The link has ended."""
        if peer.courier:
            peer.courier.detach(link)
        if peer.link is not link:
            return
        peer.link = None
        reason = code_of(code) if code is not None else None
        self._parts.log.info("link down", peer=peer.provider, reason=str(reason or text))
        if reason is not None and reason not in (Code.CLOSING, Code.DUPLICATE_LINK, Code.SILENT):
            self.failed(peer, reason, text or reason.title)
        peer.poke()

    # ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def ask_peer(self, provider: str, ask: Ask) -> tuple[Answer, bytes]:
        """The peer's answer and its record. Raises Refused."""
        peer = self._peers.get(Provider(provider))
        if peer is None:
            peer = await self._find(provider)
        if peer.blocked:
            raise Refused(Code.BLOCKED)
        if peer.gone:
            raise Refused(Code.PEER_GONE)
        link = await self._linked(peer)
        pending = _Pending(trio.Event())
        if not link.ask(ask, pending, self._parts.clock.instant()):
            raise Refused(Code.BUSY)
        with trio.move_on_after(QUERY_TIMEOUT_S + 1):
            await pending.done.wait()
        if pending.answer is None:
            raise Refused(Code.TIMED_OUT)
        return pending.answer, peer.row.record

    async def _find(self, provider: str) -> Peer:
        if not is_canonical_provider(provider):
            raise Refused(Code.PROVIDER_UNKNOWN)
        name = Provider(provider)
        if is_lan(name) or self._parts.dns is None:
            raise Refused(Code.PROVIDER_UNKNOWN if self._settled() else Code.UNREACHABLE)
        found = await self._parts.dns.look_up(name)
        if found is None:
            raise Refused(Code.PROVIDER_UNKNOWN)
        self.sighted(found)
        peer = self._peers.get(name)
        if peer is None:
            raise Refused(Code.BUSY)
        return peer

    async def _linked(self, peer: Peer) -> Link:
        if peer.link is None:
            peer.asked_for += 1
            peer.poke()
            try:
                with trio.move_on_after(QUERY_TIMEOUT_S):
                    await peer.linked.wait()
            finally:
                peer.asked_for -= 1
        if peer.link is None:
            raise Refused(
                peer.trouble.code if peer.trouble and peer.trouble.code.kind.value == "later" else Code.UNREACHABLE
            )
        return peer.link

    def answered(self, token: object, answer: Answer) -> None:
        """The answer to something that `ask_peer` asked."""
        if isinstance(token, _Pending):
            token.answer = answer
            token.done.set()

    def announce(self) -> None:
        """Our record has changed: tell all linked peers."""
        for peer in self._peers.values():
            if peer.link is not None:
                peer.link.session.notice(Notice(NoticeKind.RECORD, data=self.own_record))
                peer.link.wake()


class _PeerCourier(Courier):
    """Wakes the peer's task when mail arrives and there is no link."""

    def __init__(
        self, peer: Peer, mailbox: int, tools: Tools, conclude: Callable[[Verdict[Parcel], Link], None]
    ) -> None:
        super().__init__(mailbox, tools, conclude)
        self._peer = peer

    def add(self, parcel: Parcel) -> None:
        super().add(parcel)
        if self._peer.link is None:
            self._peer.poke()
