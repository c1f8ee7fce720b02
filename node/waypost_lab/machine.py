"""A node of the lab: the relay as it ships, on a disk, a clock and a network that can fail."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import structlog
import trio

from waypost.crypto.keys import SigningKey
from waypost.discovery.source import Endpoint, Sighting
from waypost.errors import WaypostError
from waypost.ids import Provider
from waypost.limits import DEFAULT_PORT
from waypost.protocol.directory.reach import EVERYONE, Reach
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode
from waypost.relay.node import Relay
from waypost.relay.settings import ConfiguredPeer, Platform, Quotas, Rates, Settings
from waypost_lab.clock import LabClock
from waypost_lab.durable import Disk, LabStore, Observer
from waypost_lab.durable_sql import Crashed, SqlDisk, SqlLabStore
from waypost_lab.fabric import Fabric
from waypost_lab.wire import LabStream

#: Told of each line of the node's log: level, event, fields.
Log = Callable[[str, str, MutableMapping[str, Any]], None]


class Engine(Enum):
    """What the store is made of."""

    MEMORY = "memory"
    SQLITE = "sqlite"


@dataclass(frozen=True)
class Make:
    """How a machine is made."""

    name: Provider
    key: SigningKey
    reach: Reach = EVERYONE
    rates: Rates = field(default_factory=lambda: Rates(0, 1, 0, 1))
    quotas: Quotas = field(default_factory=Quotas)
    peers: tuple[Provider, ...] = ()  #: configured ones: dialled by name
    skew_ms: int = 0
    engine: Engine = Engine.MEMORY


class Machine:
    """One node. `start` it; then `stop`, `crash` or `lose_power`, and `start` it again."""

    def __init__(self, make: Make, fabric: Fabric, rng: random.Random, nursery: trio.Nursery) -> None:
        self.make = make
        self.name = make.name
        self.clock = LabClock(make.skew_ms)
        self.disk: Disk | SqlDisk = SqlDisk() if make.engine is Engine.SQLITE else Disk()
        self.observer: Observer | None = None
        self.log: Log = _ignore
        self.stopped: Callable[[int], None] = lambda _unanswered: (
            None
        )  #: after a good end: operations without an answer
        self.starts = 0
        self._fabric = fabric
        self._host = fabric.host(make.name)
        self._rng = rng
        self._nursery = nursery
        self._relay: Relay | None = None
        self._store: LabStore | SqlLabStore | None = None
        self._scope = trio.CancelScope()
        self._ended = trio.Event()
        self._ended.set()

    @property
    def is_up(self) -> bool:
        return self._relay is not None

    @property
    def written(self) -> int:
        """Operations that the run under way has written."""
        return self._store.written if self._store is not None else 0

    @property
    def relay(self) -> Relay:
        """Of the run under way. Raises RuntimeError when it is down."""
        if self._relay is None:
            raise RuntimeError(f"{self.name} is down")
        return self._relay

    async def start(self) -> None:
        """Return once it listens and has told so; does nothing while it runs."""
        if self._relay is None:
            await self._ended.wait()
            await self._nursery.start(self._live)

    async def stop(self) -> None:
        """In good order, as SIGTERM does; returns when it has ended."""
        if self._relay is not None:
            await self._relay.stop()
        await self._ended.wait()

    async def leave(self, moved_to: str = "") -> None:
        """For good, with a tombstone; returns when it has ended."""
        await self.relay.leave(moved_to)
        await self._ended.wait()

    def crash(self) -> None:
        """As `kill -9`: what was not committed is gone, and the kernel closes the connections."""
        self._break_off()
        self._host.die()

    def lose_power(self) -> None:
        """As `crash`, and nobody is told: connections stay half-open on the other side."""
        self._break_off()
        self._host.lose_power()

    def introduce(self, other: str) -> None:
        """As discovery would: it hears where the other is."""
        self.relay.peers.sighted(_sighting(other))

    def _break_off(self) -> None:
        if self._store is not None:
            self._store.crash()
        self._relay = self._store = None
        self._scope.cancel()

    # ── one run ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _live(self, task_status: trio.TaskStatus[None]) -> None:
        self._ended = trio.Event()
        self.starts += 1
        store = self._store = await self.disk.open(self._rng, self.observer)
        relay = self._relay = self._made(store)
        status = _Started(task_status)
        try:
            with trio.CancelScope() as self._scope, _until_crashed():
                async with trio.open_nursery() as around:
                    around.start_soon(store.run)
                    try:
                        await self._serve(relay, around, status)
                    finally:
                        around.cancel_scope.cancel()
                        await store.close()
        finally:
            if self._relay is relay:
                self._relay = self._store = None
                self._host.die()
                self.stopped(store.unanswered)
            self._ended.set()
            status.started()  # it may have crashed before

    async def _serve(self, relay: Relay, around: trio.Nursery, status: _Started) -> None:
        async with trio.open_nursery() as nursery:
            await nursery.start(relay.run)

            async def serve(stream: LabStream) -> None:
                try:
                    await relay.accept(stream)
                except WaypostError:
                    pass  # a connection that came to nothing; the relay has told its log
                finally:
                    stream.close()

            self._host.listen(serve, around)
            status.started()
            await relay.stopping.wait()
            self._host.unlisten()

    def _made(self, store: LabStore | SqlLabStore) -> Relay:
        make = self.make
        peers = tuple(ConfiguredPeer(name, (RecordEndpoint(name, DEFAULT_PORT),)) for name in make.peers)
        settings = Settings(
            make.name,
            Mode.OPEN,
            make.reach,
            endpoints=(RecordEndpoint(make.name, DEFAULT_PORT),),
            peers=peers,
            rates=make.rates,
            quotas=make.quotas,
        )

        def keep(_logger: object, level: str, fields: MutableMapping[str, Any]) -> str:
            if self._store is store:  # what is left of a run that has crashed says nothing any more
                self.log(level, str(fields.pop("event", "")), fields)
            raise structlog.DropEvent

        log = structlog.wrap_logger(None, processors=[keep])
        platform = Platform(self.clock, self._fabric.network(make.name), log, random=self._rng)
        return Relay(settings, make.key, store, platform)


class _Started:
    """Tells whoever waits for the start, once."""

    def __init__(self, status: trio.TaskStatus[None]) -> None:
        self._status: trio.TaskStatus[None] | None = status

    def started(self) -> None:
        if self._status is not None:
            self._status.started()
            self._status = None


def _sighting(name: str) -> Sighting:
    return Sighting(Provider(name), (Endpoint(name, DEFAULT_PORT),), None, None, "static")


@contextmanager
def _until_crashed() -> Iterator[None]:
    """A crash ends the writer of a store by an error of its own, since nothing else can."""
    try:
        yield
    except* Crashed:
        pass


def _ignore(level: str, event: str, fields: MutableMapping[str, Any]) -> None:
    """Nobody reads the log."""
