"""A link inside one process, for tests and the simulation: the same contract as TLS, in virtual time."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel

from waypost.limits import KIB
from waypost.links.errors import LinkBroken, Trouble
from waypost.protocol.frames.handshake import Channel

#: As little as a slow socket takes, so that backpressure shows early.
BUFFER_BYTES: Final = 64 * KIB
GROUP: Final = "memory"


class _Pipe:
    """One direction: bytes that were sent and not yet received, at most `capacity`."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._buffer = bytearray()
        self._at_eof = False
        self._broken: Trouble | None = None
        self._changed = anyio.Event()

    async def take(self) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._buffer:
            if self._at_eof:
                return b""
            self._check()
            await self._changed.wait()
        data = bytes(self._buffer)
        self._buffer.clear()
        self._notify()
        return data

    async def put(self, data: memoryview) -> None:
        while data:
            self._check()
            room = self._capacity - len(self._buffer)
            if room > 0:
                self._buffer += data[:room]
                data = data[room:]
                self._notify()
            else:
                await self._changed.wait()
        await anyio.lowlevel.checkpoint()

    def end(self) -> None:
        self._check()
        self._at_eof = True
        self._notify()

    def break_off(self, trouble: Trouble) -> None:
        """No more goes in. What is in it can still be received."""
        self._broken = self._broken or trouble
        self._notify()

    def lose(self, trouble: Trouble) -> None:
        self._buffer.clear()
        self._at_eof = False
        self.break_off(trouble)

    def _check(self) -> None:
        if self._broken is not None:
            raise LinkBroken(self._broken)

    def _notify(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


class MemoryStream:
    """One end of a `memory_link`; a `Stream`, which see."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, channel: Channel) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._channel = channel
        self._unsendable = ""

    @property
    def channel(self) -> Channel:
        return self._channel

    async def receive(self) -> bytes:
        return await self._incoming.take()

    async def send(self, data: bytes | memoryview) -> None:
        if self._unsendable:
            raise LinkBroken(Trouble.CLOSED, self._unsendable)
        self._unsendable = "an earlier send was cut short"
        await self._outgoing.put(memoryview(data))
        self._unsendable = ""

    async def send_eof(self) -> None:
        if self._unsendable:
            raise LinkBroken(Trouble.CLOSED, self._unsendable)
        self._outgoing.end()
        self._unsendable = "all was sent"

    async def aclose(self) -> None:
        self._unsendable = self._unsendable or "by this side"
        self._incoming.lose(Trouble.CLOSED)
        self._outgoing.break_off(Trouble.LOST)

    def cut(self) -> None:
        """Lose the connection, with whatever is under way in it, as both ends see it."""
        self._incoming.lose(Trouble.LOST)
        self._outgoing.lose(Trouble.LOST)


def memory_link(exporter: bytes, capacity: int = BUFFER_BYTES) -> tuple[MemoryStream, MemoryStream]:
    """Both ends of a new link: the one that dialled, then the one that answered.

    `exporter` (32 bytes) must differ from link to link. `capacity` is in bytes for each direction.
    """
    there, back = _Pipe(capacity), _Pipe(capacity)
    dialer = MemoryStream(back, there, Channel(exporter, GROUP, dialed=True))
    answerer = MemoryStream(there, back, Channel(exporter, GROUP, dialed=False))
    return dialer, answerer
