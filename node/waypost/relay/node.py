"""The relay: its parts, built from the bottom up, and what an operator can have it do."""

from __future__ import annotations

import secrets
from collections.abc import Callable

import trio

from waypost.clock import WallMs
from waypost.crypto.keys import SigningKey
from waypost.errors import Code, Refused
from waypost.ids import Address, User, is_canonical_provider, parse_user
from waypost.limits import INVITE_LIFETIME_MS, RECEIPT_TIMEOUT_S, UPKEEP_EVERY_S
from waypost.links.stream import Stream
from waypost.protocol.directory.invite import Invite, invite_text, token_hash
from waypost.protocol.directory.record import RecordEndpoint, RecordState
from waypost.relay.accounts import Accounts
from waypost.relay.custody.couriers import Couriers
from waypost.relay.custody.intake import Intake
from waypost.relay.custody.outcomes import Outcomes, Settlements
from waypost.relay.custody.upkeep import Upkeep
from waypost.relay.devices.devices import Devices
from waypost.relay.devices.signals import Signals
from waypost.relay.door.admit import Admission
from waypost.relay.door.dialer import Dialer
from waypost.relay.door.door import Door
from waypost.relay.door.handshake import Greeting
from waypost.relay.door.serve_device import DeviceService
from waypost.relay.door.serve_peer import PeerService
from waypost.relay.federation.delays import Delays
from waypost.relay.federation.leaving import Leaving
from waypost.relay.federation.lookup import Lookup
from waypost.relay.federation.own_record import OwnRecord
from waypost.relay.federation.peer_links import PeerLinks
from waypost.relay.federation.record_book import RecordBook
from waypost.relay.federation.requests import Requests
from waypost.relay.federation.routes import Routes
from waypost.relay.link import Link
from waypost.relay.peers import Peers
from waypost.relay.services.joining import Joining
from waypost.relay.services.keys import Keys
from waypost.relay.services.reach import ReachOfAccounts
from waypost.relay.services.records import RecordExchange
from waypost.relay.services.service import Services
from waypost.relay.services.tracks import Tracks
from waypost.relay.settings import Platform, Settings
from waypost.relay.tasks import Surroundings, Tasks
from waypost.storage.caches import Usages
from waypost.storage.operations.accounts import AddAccount, AddInvite, RemoveAccount
from waypost.storage.operations.mailboxes import TellUsage
from waypost.storage.store import Store

_CLOSE_S = 3.0  #: to say goodbye to everyone


class Relay:
    """One node. `run` is its life; everything else may be called while it runs, once `started`."""

    def __init__(self, settings: Settings, key: SigningKey, store: Store, platform: Platform) -> None:
        self.settings = settings
        self.key = key
        self.store = store
        self.platform = platform
        self.started_ms: WallMs = 0
        self.stopping = trio.Event()
        provider, clock, log = settings.provider, platform.clock, platform.log

        # What is known of users and of other nodes.
        self._tasks = Tasks(log)
        self.usages = Usages(store)
        around = Surroundings(clock, log, store, self._tasks, self.usages)
        self.own = OwnRecord(provider, key, clock, settings.endpoints)
        self.accounts = Accounts(settings, around)
        self.peers = Peers(settings, around)
        lookup = Lookup(around, platform.dns, self.peers)

        # Custody: taken in, kept, handed on.
        settlements = Settlements(around)
        outcomes = Outcomes(provider, self.accounts, self.peers, settlements, clock)
        self.couriers = Couriers(around, self.peers, outcomes)
        routes = Routes(settings, self.usages, self.accounts, self.peers, lookup)
        self.intake = Intake(around, outcomes, self.couriers, self.peers, routes)
        self.upkeep = Upkeep(around, self.accounts, settlements, outcomes)

        # Who is connected.
        self.devices = Devices(settings, self.accounts, self.couriers)
        signals = Signals(provider, self.accounts, self.peers, clock)
        self._delays = Delays(around, self.peers, outcomes)
        links = PeerLinks(key.public, platform, around, self.peers, self.couriers, self._delays)
        self._records = RecordBook(provider, self.own, around, self.peers, self.upkeep)
        requests = Requests(self.peers, lookup, clock)

        # What can be asked.
        self.tracks = Tracks(store, self.accounts, self.couriers)
        tables = (
            Joining(around, self.accounts, self.own).table,
            Keys(provider, key, around, self.accounts, self.devices, requests, self.own).table,
            self.tracks.table,
            RecordExchange(self.peers, self._records).table,
            ReachOfAccounts(self.accounts).table,
        )
        self.services = Services(around, self.accounts, tables)

        # Links in and out.
        greeting = Greeting(provider, key, store.epoch, self.own, clock)
        admission = Admission(settings, self.peers, self._records, lookup, clock)
        serve_device = DeviceService(
            around, self.accounts, self.devices, self.couriers, self.intake, self.services, signals
        )
        serve_peer = PeerService(
            around, links, self.couriers, self.intake, self.services, requests, self._records, signals
        )
        self._door = Door(greeting, admission, serve_peer, serve_device, log)
        self.dialer = Dialer(platform.network, around, self.peers, lookup, links, greeting, admission, serve_peer)
        self._peer_links = links

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled, or until `stop`."""
        async with self._tasks.open() as nursery:
            await self.store.submit(TellUsage())
            await self.accounts.load()
            await self.peers.load()
            self._records.load()
            self.started_ms = self.platform.clock.wall_ms()
            nursery.start_soon(self.upkeep.run, lambda: self.intake.accepted)
            nursery.start_soon(self._delays.run)
            nursery.start_soon(self._watch)
            for source in self.platform.sources:
                nursery.start_soon(source.run, self.peers.sighted)
            nursery.start_soon(self.dialer.run)
            task_status.started()
            try:
                await self.stopping.wait()
            finally:
                await self._say_goodbye()
                nursery.cancel_scope.cancel()

    @property
    def record(self) -> bytes:
        """The node record, signed."""
        return self.own.signed

    @property
    def endpoints(self) -> tuple[RecordEndpoint, ...]:
        """Those announced."""
        return self.own.endpoints

    async def accept(self, stream: Stream, proven: Callable[[], None] = lambda: None) -> None:
        """Serve one incoming connection until it ends. Raises WaypostError for one that came to nothing."""
        await self._door.accept(stream, proven)

    async def stop(self) -> None:
        """Say Goodbye to all links and end `run`."""
        self.stopping.set()

    async def _watch(self) -> None:
        """Part with links that take nothing, and renew our record long before it expires."""
        while True:
            await trio.sleep(UPKEEP_EVERY_S)
            now = self.platform.clock.instant()
            for link in self.links():
                if link.stalled_s(now) >= RECEIPT_TIMEOUT_S:
                    link.close(Code.SILENT, "no receipt in time")
            if self.own.is_old and not self.stopping.is_set():
                self.announce(self.own.endpoints)

    async def _say_goodbye(self) -> None:
        self._door.close()
        self._peer_links.stop()
        for link in self.links():
            link.close(Code.CLOSING)
        with trio.CancelScope(shield=True), trio.move_on_after(_CLOSE_S):
            while self.links():  # noqa: ASYNC110 - links end in many places
                await trio.sleep(0.01)

    def links(self) -> list[Link]:
        """Every live link."""
        return [peer.link for peer in self.peers.all() if peer.link is not None] + self.devices.links()

    # ── the operator ────────────────────────────────────────────────────────────────────────────────────────────────

    def announce(
        self,
        endpoints: tuple[RecordEndpoint, ...],
        state: RecordState = RecordState.ACTIVE,
        moved_to: str = "",
    ) -> None:
        """Sign a new node record, and tell the peers."""
        self.own.renew(endpoints, state, moved_to)
        self._records.announce()

    async def leave(self, moved_to: str = "") -> int:
        """Leave a tombstone with every peer that can be reached, give back what waits here, and stop.

        Returns how much is left behind: news for apps and peers that are away.
        """
        if moved_to and not is_canonical_provider(moved_to):
            raise Refused(Code.BAD_REQUEST, f"{moved_to!r} is no provider name")
        self.intake.close()
        self.announce((), RecordState.MOVED if moved_to else RecordState.GONE, moved_to)
        left_behind = await Leaving(self.usages, self.accounts, self.peers, self.upkeep).hand_back()
        await self.stop()
        return left_behind

    async def add_user(self, name: str, *, again: bool = False) -> str:
        """An invite for a new user, or a further one for a user who exists.

        Raises Refused(USER_EXISTS), LocalError(BAD_ADDRESS).
        """
        user = parse_user(name)
        now_ms = self.platform.clock.wall_ms()
        if not (again and self.accounts.get(user)):
            await self.store.submit(AddAccount(user, now_ms))
        token = secrets.token_bytes(16)
        expires_ms = now_ms + INVITE_LIFETIME_MS
        await self.store.submit(AddInvite(token_hash(token), user, expires_ms))
        if not self.own.endpoints:
            raise Refused(Code.BAD_REQUEST, "the node announces no endpoint, so no app could find it")
        address = str(Address(user, self.settings.provider))
        return invite_text(Invite(1, address, token, self.key.public, self.own.endpoints, expires_ms))

    async def remove_user(self, name: str) -> None:
        """Remove account, devices and keys; what waits for them bounces. Raises Refused(NOT_FOUND)."""
        user = User(name)
        for mailbox in await self.store.submit(RemoveAccount(user)):
            await self.upkeep.give_up(mailbox, Code.ACCOUNT_REMOVED, Address(user, self.settings.provider))
