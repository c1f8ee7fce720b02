"""Where the checker and the node meet."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import trio

from waypost.clock import DAY_MS, WallMs
from waypost.crypto.certificate import private_key_pem, self_signed
from waypost.crypto.keys import SigningKey
from waypost.links import tcp
from waypost.links.stream import Stream
from waypost.links.tls import TlsConfig
from waypost.protocol.directory.record import RecordEndpoint

Handler = Callable[[Stream], Awaitable[None]]


class Ground(Protocol):
    """How to reach the node, and how it may reach us."""

    @property
    def can_listen(self) -> bool: ...

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the node for what is done to TLS itself; None where there is no TLS."""

    def wall_ms(self) -> WallMs: ...

    async def dial(self) -> Stream:
        """A connection to the node. Raises LinkBroken."""

    def listen(self, handler: Handler) -> AbstractAsyncContextManager[RecordEndpoint]:
        """Take connections from the node; each runs the handler, and is closed when that returns."""

    async def restart(self) -> None:
        """Kill the node and start it again with the same state. Only where Need.RESTART is met."""


def throwaway_tls(not_before_ms: WallMs, not_after_ms: WallMs) -> TlsConfig:
    """A certificate for a key that is used for nothing else."""
    key = SigningKey(secrets.token_bytes(32))
    der = self_signed(key, "checker.local", not_before_ms, not_after_ms, secrets.randbits(64) | 1)
    return TlsConfig(der, private_key_pem(key))


class TlsGround:
    """A real node. `listen_host`: where it can dial us, if anywhere."""

    def __init__(
        self,
        host: str,
        port: int,
        listen_host: str | None = None,
        restart: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._host = host
        self._port = port
        self._listen_host = listen_host
        self._restart = restart
        now_ms = self.wall_ms()
        self._tls = throwaway_tls(now_ms - DAY_MS, now_ms + DAY_MS)
        # Whoever dials must take any certificate: this one has expired years ago.
        self._stale_tls = throwaway_tls(now_ms - 3_000 * DAY_MS, now_ms - 2_000 * DAY_MS)

    @property
    def can_listen(self) -> bool:
        return self._listen_host is not None

    @property
    def can_restart(self) -> bool:
        return self._restart is not None

    @property
    def address(self) -> tuple[str, int]:
        return self._host, self._port

    def wall_ms(self) -> WallMs:
        return time.time_ns() // 1_000_000

    async def dial(self) -> Stream:
        return await tcp.connect(self._host, self._port, self._tls)

    @asynccontextmanager
    async def listen(self, handler: Handler) -> AsyncIterator[RecordEndpoint]:
        host = self._listen_host or "127.0.0.1"
        listeners = await tcp.listen(host, 0)

        async def attend(stream: Stream, proven: Callable[[], None]) -> None:
            proven()
            await handler(stream)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(tcp.serve, listeners, attend, self._stale_tls)
            yield RecordEndpoint(host, tcp.port_of(listeners))
            nursery.cancel_scope.cancel()

    async def restart(self) -> None:
        if self._restart is not None:
            self._port = await self._restart()
