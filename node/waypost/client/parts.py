"""What the client takes from its surroundings, so that tests and simulations can hand in their own."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

import anyio.to_thread

from waypost.clock import DAY_MS, WallMs
from waypost.crypto.certificate import private_key_pem, self_signed
from waypost.crypto.keys import SigningKey
from waypost.links.stream import Stream
from waypost.links.tcp import connect
from waypost.links.tls import TlsConfig

T = TypeVar("T")

#: Nobody checks a device's certificate, only the key in it counts; this name exists nowhere (RFC 2606).
_CERTIFICATE_NAME = "device.invalid"
_CERTIFICATE_DAYS = 3_650

#: Opens a connection to a host and port; raises LinkBroken.
Dial = Callable[[str, int], Awaitable[Stream]]


class Offload(Protocol):
    """Runs blocking work to its end, also if the caller is cancelled meanwhile."""

    async def __call__(self, work: Callable[[], T], /) -> T: ...


async def in_a_thread(work: Callable[[], T]) -> T:
    """A worker thread, so that disk and key derivation do not stop the event loop."""
    return await anyio.to_thread.run_sync(work)


def wall_ms() -> WallMs:
    """The machine's clock."""
    return time.time_ns() // 1_000_000


def dial_by_tls(device: SigningKey, now_ms: WallMs) -> Dial:
    """TLS over TCP, with a certificate that carries the device's key."""
    serial = secrets.randbits(150) + 1
    der = self_signed(device, _CERTIFICATE_NAME, now_ms - DAY_MS, now_ms + _CERTIFICATE_DAYS * DAY_MS, serial)
    return partial(_dial, TlsConfig(der, private_key_pem(device)))


async def _dial(config: TlsConfig, host: str, port: int) -> Stream:
    return await connect(host, port, config)


@dataclass(frozen=True)
class Parts:
    """`dial` makes the dialler for a device key. `random(n)` gives n bytes that nobody can guess."""

    dial: Callable[[SigningKey, WallMs], Dial] = dial_by_tls
    wall_ms: Callable[[], WallMs] = wall_ms
    random: Callable[[int], bytes] = secrets.token_bytes
    offload: Offload = in_a_thread

    def spread(self) -> float:
        """From 0 to 1, without 1: so that those who wait for the same thing do not come together."""
        return int.from_bytes(self.random(2), "big") / 2**16
