"""The proxy in every path: one front for each node, where all others reach it, nodes and apps alike.

A node's record names its front and nothing else, so its peers know no other way to it, whoever they have the record
from. Whose connection it is, and so which pair's faults it gets, is told by `owners`. Apps are never disturbed.
"""

from __future__ import annotations

import errno
import random
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final

import trio

from waypost_lab.box.owners import Owners
from waypost_lab.ways import CLEAR, Way

LOOPBACK: Final = "127.0.0.1"
_CHUNK_BYTES: Final = 16 * 1024
#: On their way in one direction, 1 MiB. With a latency that bounds the bandwidth, as a window does.
_CHUNKS_MAX: Final = 64
#: How often a connection that waits for a cut way is looked at: whoever made it may have given up.
_GIVEN_UP_S: Final = 0.5
#: TCP_INFO begins with the state: 7 is closed, 8 is closed by the other side (net/tcp_states.h).
_CLOSED_STATES: Final = frozenset({7, 8})
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


class _End(Enum):
    """How one direction of a connection ends."""

    CLOSED = auto()
    RESET = auto()


#: Where all connections come from that are no node's. Its ways are always clear.
_APP: Final = ""

_Parcel = tuple[float, bytes | _End]  #: when it is due, and what

#: What may come out of the socket calls when the other end has gone.
_BROKEN: Final = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


@dataclass
class Ways:
    """All ways and their faults. `target` gives the port at which a node listens now; None while it does not run."""

    target: Callable[[str], int | None]
    owners: Owners
    rng: random.Random
    _ways: dict[tuple[str, str], Way] = field(default_factory=dict)
    _changed: trio.Event = field(default_factory=trio.Event)

    def way(self, source: str, to: str) -> Way:
        return self._ways.get((source, to), CLEAR)

    def shape(self, source: str, to: str, way: Way) -> None:
        """From now on; what is on its way already is not called back, but held by a cut."""
        self._ways[source, to] = way
        self._changed.set()
        self._changed = trio.Event()

    def faults(self) -> dict[tuple[str, str], Way]:
        """Those that are not clear."""
        return {pair: way for pair, way in self._ways.items() if not way.is_clear}

    async def open(self, source: str, to: str) -> None:
        """Wait until the way is not cut."""
        while self.way(source, to).cut:
            await self._changed.wait()

    async def changed(self, within_s: float) -> None:
        """Wait for any way to change, or that long."""
        with trio.move_on_after(within_s):
            await self._changed.wait()


@dataclass
class Front:
    """Where one node is reached. The port is bound when it is made, and known from then on."""

    network: Ways
    node: str
    _listener: socket.socket = field(init=False)

    def __post_init__(self) -> None:
        self._listener = socket.create_server((LOOPBACK, 0), backlog=1024)

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def close(self) -> None:
        self._listener.close()

    async def serve(self) -> None:
        """Pass on whatever comes, until cancelled."""
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self._listener))
        await trio.serve_listeners(self._attend, [listener])

    async def _attend(self, client: trio.SocketStream) -> None:
        source, server = _APP, None
        try:
            own_port = client.socket.getpeername()[1]
            source = await self.network.owners.of((own_port, self.port)) or _APP
            may_pass = await self._connected(client, source)
            # Whose a connection is can no longer be told once it is closed, so it may be anyone's.
            if may_pass and not _is_given_up(client):
                server = await self._reach()
        except _BROKEN:
            pass  # whoever dialled has gone meanwhile
        if server is None:
            reset(client)
            return
        async with server, trio.open_nursery() as nursery:
            nursery.start_soon(self._flow, client, server, (source, self.node))
            nursery.start_soon(self._flow, server, client, (self.node, source))

    async def _connected(self, client: trio.SocketStream, source: str) -> bool:
        """Wait as long as connecting takes: one packet each way. False if that comes to nothing."""
        network = self.network
        there, back = (source, self.node), (self.node, source)
        while network.way(*there).cut or network.way(*back).cut:
            await network.changed(_GIVEN_UP_S)
            if _is_given_up(client):
                return False
        times = [network.way(*pair).connect_s(network.rng) for pair in (there, back)]
        if any(time is None for time in times):
            return False
        await trio.sleep(sum(time or 0.0 for time in times))
        return True

    async def _reach(self) -> trio.SocketStream | None:
        port = self.network.target(self.node)
        if port is None:
            return None
        sock = trio.socket.socket()
        try:
            await sock.connect((LOOPBACK, port))
        except OSError:
            sock.close()
            return None
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    async def _flow(self, source: trio.SocketStream, sink: trio.SocketStream, pair: tuple[str, str]) -> None:
        """One direction, to its end."""
        send, receive = trio.open_memory_channel[_Parcel](_CHUNKS_MAX)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take, source, send, pair)
            await self._give(sink, receive, pair)
            nursery.cancel_scope.cancel()

    async def _take(
        self,
        source: trio.SocketStream,
        send: trio.MemorySendChannel[_Parcel],
        pair: tuple[str, str],
    ) -> None:
        due = 0.0
        while True:
            try:
                data: bytes | _End = bytes(await source.receive_some(_CHUNK_BYTES)) or _End.CLOSED
            except _BROKEN:
                data = _End.RESET
            takes_s = self.network.way(*pair).transit_s(len(data) if isinstance(data, bytes) else 0, self.network.rng)
            if takes_s is None:
                data, takes_s = _End.RESET, 0.0
            # Nothing overtakes.
            due = max(due, trio.current_time() + takes_s)
            await send.send((due, data))
            if isinstance(data, _End):
                return

    async def _give(
        self,
        sink: trio.SocketStream,
        receive: trio.MemoryReceiveChannel[_Parcel],
        pair: tuple[str, str],
    ) -> None:
        async for due, data in receive:
            await trio.sleep_until(due)
            await self.network.open(*pair)
            try:
                if data is _End.RESET:
                    reset(sink)
                    return
                if data is _End.CLOSED:
                    await sink.send_eof()
                    return
                await sink.send_all(data)
            except _BROKEN:
                return  # the other direction learns of it by itself


def reset(stream: trio.SocketStream) -> None:
    """End a connection as a crash does: the other side is told so, and not that all was said."""
    with suppress(*_BROKEN):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    stream.socket.close()


def _is_given_up(stream: trio.SocketStream) -> bool:
    """Whether whoever dialled has closed; what they had said before may still be unread."""
    try:
        info = stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError as error:
        return error.errno != errno.ENOPROTOOPT
    return info[0] in _CLOSED_STATES
