"""An app's end of a link, as cheap as it can be: bodies are random bytes, nothing is encrypted or stored.

It speaks the device protocol over TLS as any app does, so that what a benchmark or a chaos run measures is the node.
"""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import count

import anyio
import msgpack

from waypost.crypto.certificate import private_key_pem, self_signed
from waypost.crypto.keys import SigningKey, envelope_id
from waypost.errors import Code
from waypost.links.pump import Pump, greet
from waypost.links.tcp import connect
from waypost.links.tls import TlsConfig
from waypost.protocol.directory.asks import Ask, Join
from waypost.protocol.directory.bundle import DeviceList, sign_device_list
from waypost.protocol.directory.invite import Invite, parse_invite
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Answer, Role
from waypost.protocol.frames.session import Answered, Event, Session

DAY_MS = 86_400_000
BODY_TAIL = os.urandom(64 * 1024)


def wall_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class Account:
    """What a driver needs to connect as a device that has joined."""

    address: str
    seed: bytes
    host: str
    port: int

    @property
    def key(self) -> SigningKey:
        return SigningKey(self.seed)


def tls_of(key: SigningKey, name: str) -> TlsConfig:
    """A fresh certificate for a device's key."""
    now = wall_ms()
    der = self_signed(key, name, now - DAY_MS, now + 30 * DAY_MS, int.from_bytes(os.urandom(8), "big") | 1)
    return TlsConfig(der, private_key_pem(key))


class Link:
    """A connected device. `handle` gets all events; call `wake` after saying anything through `session`."""

    def __init__(self, account: Account, tls: TlsConfig) -> None:
        self.account = account
        self._tls = tls
        self._opened: tuple[Session, Pump] | None = None
        self._answers: dict[int, tuple[anyio.Event, list[Answer]]] = {}
        self._numbers = count()

    async def open(self, handle: Callable[[list[Event]], Awaitable[None] | None], window: int = 4096) -> None:
        """Dial and prove; then call `run`. Raises LinkBroken or PeerFault."""
        stream = await connect(self.account.host, self.account.port, self._tls)
        own = Own(Role.DEVICE, self.account.address, self.account.key, (), window, 16 * 1024 * 1024)
        handshake = Handshake(own, stream.channel, wall_ms())
        await greet(stream, handshake)
        session = handshake.finish(anyio.current_time())

        def deliver(events: list[Event]) -> Awaitable[None] | None:
            for event in events:
                if isinstance(event, Answered):
                    done, box = self._answers.pop(event.token)  # type: ignore[call-overload] # what `ask` gave
                    box.append(event.answer)
                    done.set()
            return handle(events)

        self._opened = session, Pump(stream, session, deliver)

    @property
    def session(self) -> Session:
        """Raises RuntimeError before it is open."""
        return self._now()[0]

    def _now(self) -> tuple[Session, Pump]:
        if self._opened is None:
            raise RuntimeError("this link has not been opened")
        return self._opened

    async def run(self) -> None:
        """Until the link ends."""
        await self._now()[1].run()

    def wake(self) -> None:
        self._now()[1].wake()

    def close(self) -> None:
        self._now()[1].close(Code.CLOSING)

    async def ask(self, ask: Ask) -> Answer:
        token = next(self._numbers)
        done, box = self._answers[token] = (anyio.Event(), [])
        self.session.ask(ask, token, anyio.current_time())
        self.wake()
        await done.wait()
        return box[0]


async def join(invite_text: str, seed: bytes) -> Account:
    """Use an invite with a device key of this seed. Raises RuntimeError if it is refused."""
    invite: Invite = parse_invite(invite_text)
    endpoint = invite.endpoints[0]
    account = Account(invite.address, seed, endpoint.host, endpoint.port)
    identity = SigningKey(envelope_id(seed) * 2)
    devices = sign_device_list(DeviceList(1, invite.address, identity.public, 1, (account.key.public,)), identity)
    link = Link(account, tls_of(account.key, "device"))
    await link.open(lambda _events: None)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(link.run)
        answer = await link.ask(Join(invite.token, devices, "driver"))
        link.close()
    if answer.code:
        raise RuntimeError(f"join refused: {answer.code}")
    return account


class Writer:
    """Makes envelopes of one size from one sender to one recipient, each unlike any other."""

    def __init__(self, sender: str, recipient: str, body_bytes: int) -> None:
        user, _, provider = recipient.rpartition("@")
        self._sender = sender
        self._provider = provider
        self._user = user
        self._size = body_bytes
        self._salt = os.urandom(8)
        self._numbers = count()

    def write(self, how_many: int) -> tuple[list[bytes], list[bytes]]:
        """Envelopes and their ids. The first 8 bytes of a body are the time of writing, monotonic nanoseconds."""
        now_ms, stamp = wall_ms(), time.monotonic_ns().to_bytes(8, "big")
        head = msgpack.packb([1, self._provider, [self._user], self._sender, now_ms, 432_000, 0, "x-bench"])
        prefix = bytes([0x99]) + head[1:] + b"\xc5" + self._size.to_bytes(2, "big") + stamp + self._salt
        tail = BODY_TAIL[: self._size - 24]
        envelopes = [prefix + next(self._numbers).to_bytes(8, "big") + tail for _ in range(how_many)]
        return envelopes, [envelope_id(envelope) for envelope in envelopes]


def written_ns(envelope: bytes, body_bytes: int) -> int:
    """When `Writer` wrote it, monotonic nanoseconds of this machine."""
    start = len(envelope) - body_bytes
    return int.from_bytes(envelope[start : start + 8], "big")


def percentile(values: Sequence[float], part: float) -> float:
    """The value below which that part of the values lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0
