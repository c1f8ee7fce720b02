"""A network inside one process: hosts, the paths between them, and whatever goes wrong there.

Nothing in the relay or the SDK knows of it: both get a `Network` and a `Stream` as they do outside. With trio's
`MockClock` days pass in seconds.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b

import trio

from waypost.clock import NEVER
from waypost.limits import CONNECT_TIMEOUT_S
from waypost.links.errors import LinkBroken, Trouble
from waypost_lab.path import Path
from waypost_lab.wire import LabStream, connection

#: Serves one incoming connection until it ends.
Serve = Callable[[LabStream], Awaitable[None]]


@dataclass(eq=False)
class Host:
    """A machine. `serve` is set while a program listens there; `nursery` is that program's."""

    name: str
    powered: bool = True
    serve: Serve | None = None
    nursery: trio.Nursery | None = None
    streams: dict[LabStream, None] = field(default_factory=dict)  #: its ends of connections

    def listen(self, serve: Serve, nursery: trio.Nursery) -> None:
        """From now on connections are accepted, each served in a task of `nursery`."""
        self.powered, self.serve, self.nursery = True, serve, nursery

    @property
    def accepts(self) -> bool:
        return self.serve is not None

    def accept(self, stream: LabStream) -> None:
        """Have it served. While it `accepts`."""
        if self.serve is None or self.nursery is None:
            raise RuntimeError(f"nobody listens on {self.name}")
        self.nursery.start_soon(self.serve, stream)

    def unlisten(self) -> None:
        self.serve = self.nursery = None

    def die(self) -> None:
        """Its program has ended: the kernel tells everyone who is connected."""
        self.unlisten()
        for stream in self._gone():
            stream.close()

    def lose_power(self) -> None:
        """Nobody is told anything."""
        self.unlisten()
        self.powered = False
        for stream in self._gone():
            stream.vanish(lambda: self.powered)

    def _gone(self) -> Iterator[LabStream]:
        streams, self.streams = self.streams, {}
        yield from streams


class Fabric:
    """See the module. `rng` decides what chance decides."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._hosts: dict[str, Host] = {}
        self._paths: dict[tuple[str, str], Path] = {}
        self._connections = 0

    def host(self, name: str) -> Host:
        """Made when it is first asked for."""
        if name not in self._hosts:
            self._hosts[name] = Host(name)
        return self._hosts[name]

    def path(self, source: str, target: str) -> Path:
        """From one host to another."""
        path = self._paths.get((source, target))
        if path is None:
            path = self._paths[source, target] = Path(self._rng)
        return path

    def paths(self) -> list[tuple[str, str, Path]]:
        """Those that were ever used or changed."""
        return [(source, target, path) for (source, target), path in self._paths.items()]

    def network(self, source: str) -> HostNetwork:
        """How programs on that host dial."""
        return HostNetwork(self, self.host(source))

    async def dial(self, source: Host, target: str) -> LabStream:
        """Raises LinkBroken."""
        await trio.lowlevel.checkpoint()
        where = f"{target} from {source.name}"
        host = self._hosts.get(target)
        if host is None:
            raise LinkBroken(Trouble.NO_ADDRESS, where)
        with trio.move_on_after(CONNECT_TIMEOUT_S):
            return await self._connect(source, host, where)
        raise LinkBroken(Trouble.TIMED_OUT, where)

    async def _connect(self, source: Host, host: Host, where: str) -> LabStream:
        there, back = self.path(source.name, host.name), self.path(host.name, source.name)
        await _travel(there)
        if not host.powered:
            await trio.sleep_forever()
        if not host.accepts:
            await _travel(back)
            raise LinkBroken(Trouble.REFUSED, where)
        await _travel(back)
        if not _alive(source, host):  # one of them ended while this was under way
            raise LinkBroken(Trouble.LOST, where)
        self._connections += 1
        exporter = blake2b(self._connections.to_bytes(8, "big"), digest_size=32, person=b"lab exporter").digest()
        near, far = connection(exporter, there, back)
        source.streams[near] = None
        host.streams[far] = None
        near.closed = lambda: source.streams.pop(near, None)
        far.closed = lambda: host.streams.pop(far, None)
        host.accept(far)
        return near


@dataclass(frozen=True)
class HostNetwork:
    """A `Network` of the relay, and a dialler of the SDK; the port is not looked at: a host has one program."""

    fabric: Fabric
    host: Host

    async def dial(self, host: str, port: int) -> LabStream:
        """Raises LinkBroken."""
        del port
        return await self.fabric.dial(self.host, host)


def _alive(source: Host, host: Host) -> bool:
    return source.powered and host.accepts


async def _travel(path: Path) -> None:
    """One segment of a connection that is being made."""
    while True:
        await path.opened()
        delay_s = path.delay_s()
        if delay_s == NEVER:
            await trio.sleep_forever()
        if delay_s:
            await trio.sleep(delay_s)
        if not path.is_cut:
            return
