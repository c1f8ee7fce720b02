"""The relay: its parts, put together, and what an operator can ask of it."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

import trio

from waypost.clock import WallMs
from waypost.crypto.keys import SigningKey
from waypost.errors import Code, Refused
from waypost.ids import Provider, User, is_canonical_provider, parse_user
from waypost.limits import BODY_MAX_BYTES, INVITE_LIFETIME_MS, RECEIPT_TIMEOUT_S, RECORD_LIFETIME_MS, UPKEEP_EVERY_S
from waypost.links.stream import Stream
from waypost.protocol.directory.asks import Claim
from waypost.protocol.directory.invite import Invite, invite_text, token_hash
from waypost.protocol.directory.reach import BY_DEFAULT
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, sign_record
from waypost.protocol.frames.messages import Answer
from waypost.relay.accounts import Accounts
from waypost.relay.custody.courier import Tools
from waypost.relay.custody.intake import Desk, Intake
from waypost.relay.custody.ledger import Ledger
from waypost.relay.custody.outcomes import Consequences
from waypost.relay.custody.tracks import Tracks
from waypost.relay.custody.upkeep import Upkeep
from waypost.relay.devices.devices import Devices
from waypost.relay.door.greeter import FEATURES, Greeter, Halls
from waypost.relay.federation.delays import Delays
from waypost.relay.federation.dialer import Dialer
from waypost.relay.federation.leaving import Leaving
from waypost.relay.federation.peers import Peers
from waypost.relay.federation.record_book import Records
from waypost.relay.federation.requests import Requests
from waypost.relay.link import Link
from waypost.relay.services.directory import Directory, Office
from waypost.relay.settings import Parts, Settings
from waypost.relay.tasks import Tasks
from waypost.storage.store import Account, Store

_CLOSE_S = 3.0  #: to say goodbye to everyone


class Relay:
    """One node. `run` is its life; everything else may be called while it runs, once `started`."""

    accounts: Accounts
    devices: Devices
    peers: Peers
    intake: Intake
    directory: Directory
    tracks: Tracks
    upkeep: Upkeep
    ledger: Ledger
    records: Records
    dialer: Dialer
    delays: Delays
    _greeter: Greeter
    _tasks: Tasks

    def __init__(self, settings: Settings, key: SigningKey, store: Store, parts: Parts) -> None:
        self.settings = settings
        self.key = key
        self.store = store
        self.parts = parts
        self.record = b""
        self.started_ms: WallMs = 0
        self._endpoints: tuple[RecordEndpoint, ...] = settings.endpoints
        self._sequence = 0
        self._announced_ms: WallMs = 0
        self.stopping = trio.Event()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, or until `stop`."""
        async with trio.open_nursery() as nursery:
            self._build(nursery)
            self.announce(self._endpoints)
            await self.accounts.load()
            await self.peers.load()
            self.records.load()
            self.started_ms = self.parts.clock.wall_ms()
            nursery.start_soon(self.ledger.run)
            nursery.start_soon(self.upkeep.run, lambda: self.intake.accepted)
            nursery.start_soon(self.delays.run)
            nursery.start_soon(self._watch)
            for source in self.parts.sources:
                nursery.start_soon(source.run, self.peers.sighted)
            self.peers.start()
            task_status.started()
            try:
                await self.stopping.wait()
            finally:
                await self._say_goodbye()
                self._tasks.close()
                nursery.cancel_scope.cancel()

    def _build(self, nursery: trio.Nursery) -> None:
        settings, parts, store = self.settings, self.parts, self.store
        tasks = self._tasks = Tasks(nursery, parts.log)
        self.ledger = Ledger(store, parts.log)
        tools = Tools(store, self.ledger, parts.clock, tasks, parts.log)
        self.accounts = Accounts(settings, store)
        self.devices = Devices(settings, self.accounts, tools)
        self.peers = Peers(settings, parts, tools)
        self.records = Records(settings.provider, self.peers, parts)
        self.dialer = Dialer(parts, tools, self.peers, self.key.public)
        requests = Requests(self.peers, parts.clock)
        routes = _Routes(self.peers, self.devices)
        consequences = Consequences(settings.provider, self.accounts, routes, self.ledger, parts.clock)
        view = _View(settings.provider, self.accounts, self.peers)
        self.intake = Intake(Desk(store, self.ledger, consequences, view, parts.clock, self.peers.waits, parts.log))
        self.upkeep = Upkeep(self.accounts, tools, consequences)
        self.delays = Delays(store, self.peers, consequences, parts.clock, parts.log)
        self.tracks = Tracks(store, self.peers.waiting, self._name_of)
        federation = _Federation(self.peers, self.records, requests)
        self.directory = Directory(
            Office(
                settings.provider,
                self.key,
                store,
                parts.clock,
                self.accounts,
                self.devices,
                federation,
                self.tracks,
                tasks,
                parts.log,
            )
        )
        self._greeter = Greeter(settings, parts, self.key, tasks)
        self._greeter.epoch = store.epoch
        halls = Halls(self.peers, self.records, self.dialer, requests, self.devices, self.intake, self.directory)
        self._greeter.wire(halls)
        self.devices.wire(consequences, self.intake, self._greeter)
        self.peers.wire(consequences, self.dialer.serve)
        self.dialer.wire(self._greeter.dial, lambda peer: tasks.start_soon(self.delays.lost, peer))
        self.records.buried = lambda peer: tasks.start_soon(self._bury, peer.mailbox)

    async def _bury(self, mailbox: int) -> None:
        """What waits for a peer that has left a tombstone bounces at once."""
        if mailbox:
            await self.upkeep.give_up(mailbox, Code.PEER_GONE)

    @property
    def endpoints(self) -> tuple[RecordEndpoint, ...]:
        """Those announced."""
        return self._endpoints

    async def accept(self, stream: Stream, proven: Callable[[], None] = lambda: None) -> None:
        """Serve one incoming connection until it ends. Raises WaypostError for one that came to nothing."""
        await self._greeter.accept(stream, proven)

    async def stop(self) -> None:
        """Say Goodbye to all links and end `run`."""
        self.stopping.set()

    async def _watch(self) -> None:
        """Part with links that take nothing, and renew our record long before it expires."""
        while True:
            await trio.sleep(UPKEEP_EVERY_S)
            now = self.parts.clock.instant()
            for link in self.links():
                if link.stalled_s(now) >= RECEIPT_TIMEOUT_S:
                    link.close(Code.SILENT, "no receipt in time")
            if self.parts.clock.wall_ms() > self._announced_ms + RECORD_LIFETIME_MS // 2 and not self.stopping.is_set():
                self.announce(self._endpoints)

    async def _say_goodbye(self) -> None:
        self._greeter.closing = self.dialer.stopped = True
        links = [peer.link for peer in self.peers.all() if peer.link is not None] + self.devices.links()
        for link in links:
            link.close(Code.CLOSING)
        with trio.CancelScope(shield=True), trio.move_on_after(_CLOSE_S):
            while self.links():  # noqa: ASYNC110 - links end in many places
                await trio.sleep(0.01)

    def links(self) -> list[Link]:
        """Every live link."""
        return [peer.link for peer in self.peers.all() if peer.link is not None] + self.devices.links()

    # ── the node record ─────────────────────────────────────────────────────────────────────────────────────────────

    def announce(
        self,
        endpoints: tuple[RecordEndpoint, ...],
        state: RecordState = RecordState.ACTIVE,
        moved_to: str = "",
    ) -> bytes:
        """Sign a new node record, tell the peers, and return it."""
        now_ms = self.parts.clock.wall_ms()
        # Wall time rises over restarts without having to be stored; two records in a millisecond still differ.
        self._sequence = max(self._sequence + 1, now_ms)
        self._endpoints = endpoints
        record = NodeRecord(
            1,
            self.settings.provider,
            self.key.public,
            self._sequence,
            now_ms,
            now_ms + RECORD_LIFETIME_MS,
            endpoints,
            FEATURES,
            state,
            moved_to,
            BODY_MAX_BYTES,
        )
        self.record = sign_record(record, self.key)
        self._announced_ms = now_ms
        self.directory.record = self._greeter.record = self.record
        self.records.announce(self.record)
        return self.record

    async def leave(self, moved_to: str = "") -> int:
        """Leave a tombstone with every peer that can be reached, give back what waits here, and stop.

        Returns how much is left behind: news for apps and peers that are away.
        """
        if moved_to and not is_canonical_provider(moved_to):
            raise Refused(Code.BAD_REQUEST, f"{moved_to!r} is no provider name")
        self.intake.closed = True
        self.announce((), RecordState.MOVED if moved_to else RecordState.GONE, moved_to)
        left_behind = await Leaving(self.store, self.accounts, self.peers, self.upkeep).hand_back()
        await self.stop()
        return left_behind

    # ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def add_user(self, name: str, *, again: bool = False) -> str:
        """An invite for a new user, or a further one for a user who exists.

        Raises Refused(USER_EXISTS), LocalError(BAD_ADDRESS).
        """
        user = parse_user(name)
        now_ms = self.parts.clock.wall_ms()
        if not (again and self.accounts.get(user)):
            await self.store.add_account(user, now_ms)
            self.accounts.put(Account(user, now_ms, b"", BY_DEFAULT))
        token = secrets.token_bytes(16)
        expires_ms = now_ms + INVITE_LIFETIME_MS
        await self.store.add_invite(token_hash(token), user, expires_ms)
        address = f"{user}@{self.settings.provider}"
        if not self._endpoints:
            raise Refused(Code.BAD_REQUEST, "the node announces no endpoint, so no app could find it")
        return invite_text(Invite(1, address, token, self.key.public, self._endpoints, expires_ms))

    async def remove_user(self, name: str) -> None:
        """Remove account, devices and keys; what waits for them bounces. Raises Refused(NOT_FOUND)."""
        user = User(name)
        mailboxes = await self.store.remove_account(user)
        address = f"{user}@{self.settings.provider}"
        keys = self.accounts.remove(user)
        self.devices.disconnect(keys, Code.UNKNOWN_DEVICE)
        for mailbox in mailboxes:
            await self.upkeep.give_up(mailbox, Code.ACCOUNT_REMOVED, address)

    def _name_of(self, owner: str) -> str:
        """A mailbox's owner as people know it."""
        try:
            key = bytes.fromhex(owner)
        except ValueError:
            return owner
        user = self.accounts.of_device(key)
        return user.address if user else owner


@dataclass(frozen=True)
class _View:
    """What the router asks."""

    provider: Provider
    accounts: Accounts
    peers: Peers

    def user_mailboxes(self, user: str, sender_provider: str) -> tuple[int, ...] | Code:
        return self.accounts.user_mailboxes(user, sender_provider)

    def peer_mailbox(self, provider: str) -> int | Code:
        return self.peers.peer_mailbox(provider)


@dataclass(frozen=True)
class _Routes:
    """Who can be told what became of a message."""

    peers: Peers
    devices: Devices

    def mailbox_to(self, provider: str) -> int | None:
        return self.peers.mailbox_to(provider)

    def links_of(self, address: str) -> tuple[Link, ...]:
        return tuple(self.devices.links_of(address))


@dataclass(frozen=True)
class _Federation:
    """What the directory needs of the peers."""

    peers: Peers
    records: Records
    requests: Requests

    async def ask_peer(self, provider: str, ask: Claim) -> tuple[Answer, bytes]:
        return await self.requests.ask_peer(provider, ask)

    def merge_records(self, records: tuple[bytes, ...], source: str) -> None:
        self.records.merge(records, self.peers.get(source))

    def known_records(self) -> tuple[bytes, ...]:
        return self.records.known()
