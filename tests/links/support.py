"""What the tests of links share: event loops, keys, pairs of streams."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeVar

import anyio
import trio.testing
from anyio.abc import ByteStream

from waypost.crypto.certificate import private_key_pem, self_signed
from waypost.crypto.keys import SigningKey
from waypost.links import tls
from waypost.links.errors import LinkBroken
from waypost.links.memory import MemoryStream, memory_link
from waypost.links.pump import greet
from waypost.links.stream import Stream
from waypost.links.tls import TlsConfig, TlsStream
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Role
from waypost.protocol.frames.session import Session

T = TypeVar("T")

BACKENDS = ("trio", "asyncio")
NOW_MS = 1_800_000_000_000
EXPORTER = bytes(range(32))


def run(backend: str, main: Callable[[], Awaitable[T]]) -> T:
    """In real time, for real sockets."""

    async def bounded() -> T:
        with anyio.fail_after(60):
            return await main()

    return anyio.run(bounded, backend=backend)


def run_virtual(main: Callable[[], Awaitable[T]]) -> T:
    """In virtual time, which starts at 0 and jumps whenever all tasks wait."""
    clock = trio.testing.MockClock(autojump_threshold=0)
    return anyio.run(main, backend="trio", backend_options={"clock": clock})


def signing_key(number: int) -> SigningKey:
    return SigningKey(bytes([number]) * 32)


def tls_config(number: int) -> TlsConfig:
    key = signing_key(number)
    der = self_signed(key, f"node{number}.example", NOW_MS - 1000, NOW_MS + 10**9, serial=number)
    return TlsConfig(der, private_key_pem(key))


@dataclass(frozen=True)
class Pair:
    """Both ends of a link, and how to break it from outside."""

    dialer: Stream
    answerer: Stream
    cut: Callable[[], Awaitable[None]]


class Transport(ByteStream):
    """A memory stream as anyio's byte stream, so that TLS runs in virtual time."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self._left = b""

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        try:
            data = self._left or await self.stream.receive()
        except LinkBroken as broken:
            raise anyio.BrokenResourceError from broken
        if not data:
            raise anyio.EndOfStream
        self._left = data[max_bytes:]
        return data[:max_bytes]

    async def send(self, item: bytes) -> None:
        try:
            await self.stream.send(item)
        except LinkBroken as broken:
            raise anyio.BrokenResourceError from broken

    async def send_eof(self) -> None:
        await self.stream.send_eof()

    async def aclose(self) -> None:
        await self.stream.aclose()


def transports() -> tuple[Transport, Transport]:
    left, right = memory_link(EXPORTER)
    return Transport(left), Transport(right)


async def both(first: Callable[[], Awaitable[T]], second: Callable[[], Awaitable[T]]) -> tuple[T, T]:
    """The results of two things that must happen at once."""
    results: dict[int, T] = {}

    async def keep(number: int, what: Callable[[], Awaitable[T]]) -> None:
        results[number] = await what()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keep, 0, first)
        tasks.start_soon(keep, 1, second)
    return results[0], results[1]


async def outcome(what: Awaitable[object]) -> Exception | None:
    """The error that it ends with, as a value."""
    try:
        await what
    except Exception as error:  # noqa: BLE001  # reason: whatever it is, the test looks at it
        return error
    return None


async def tls_over(left: ByteStream, right: ByteStream) -> tuple[TlsStream, TlsStream]:
    return await both(
        lambda: tls.handshake(left, tls_config(1), dials=True, server_name="node2.example"),
        lambda: tls.handshake(right, tls_config(2), dials=False),
    )


@asynccontextmanager
async def memory_pair() -> AsyncIterator[Pair]:
    dialer, answerer = memory_link(EXPORTER)

    async def cut() -> None:
        dialer.cut()

    yield Pair(dialer, answerer, cut)


def handshake(stream: Stream, number: int, expected_key: bytes | None = None) -> Handshake:
    own = Own(Role.NODE, f"node{number}.example", signing_key(number))
    return Handshake(own, stream.channel, NOW_MS, expected_key)


async def sessions(left: Stream, right: Stream) -> tuple[Session, Session]:
    """Two sessions with each other, node1's first."""
    handshakes = handshake(left, 1), handshake(right, 2)
    await both(lambda: greet(left, handshakes[0]), lambda: greet(right, handshakes[1]))
    now = anyio.current_time()
    return handshakes[0].finish(now), handshakes[1].finish(now)
