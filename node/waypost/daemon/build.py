"""The only place where concrete classes meet: from a configuration to a relay with store, links and sources."""

from __future__ import annotations

import random
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

import structlog
import trio
from anyio.abc import SocketAttribute, SocketListener

from waypost.clock import DAY_MS, Instant, WallMs
from waypost.crypto.certificate import private_key_pem, self_signed
from waypost.crypto.keys import SigningKey
from waypost.daemon.plan import At, Plan
from waypost.daemon.state import StateDir, read_seed
from waypost.discovery.source import Endpoint, Sighting, Source
from waypost.discovery.static import StaticPeer, StaticSource
from waypost.discovery.txt import Announcement
from waypost.errors import Code, LocalError
from waypost.ids import Provider, is_lan
from waypost.limits import DEFAULT_PORT, RECORD_ENDPOINTS_MAX
from waypost.links import tcp
from waypost.links.tls import TlsConfig, TlsStream
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.signed import Signed
from waypost.relay.node import Relay
from waypost.relay.settings import Dns, Platform, Settings
from waypost.storage.sqlite.engine import open_store

_CERTIFICATE_DAYS: Final = 3_650
_SERIAL_BITS: Final = 120
_UNSPECIFIED: Final = ("0.0.0.0", "::")  # noqa: S104 - the default
_LISTEN: Final = tuple(At(host, DEFAULT_PORT) for host in _UNSPECIFIED)
#: Reserved for documentation (RFC 5737, RFC 3849). Nothing is sent: the kernel only says by which address it would be.
_ELSEWHERE: Final = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))

_log = structlog.get_logger("waypost")


class SystemClock:
    """This machine's time; the monotonic part is trio's, as for everything else that waits."""

    def instant(self) -> Instant:
        return trio.current_time()

    def wall_ms(self) -> WallMs:
        return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class TlsNetwork:
    """Dials by TCP and TLS."""

    tls: TlsConfig

    async def dial(self, host: str, port: int) -> TlsStream:
        return await tcp.connect(host, port, self.tls)


class LanSource:
    """mDNS for a node whose record is signed when it starts. Without multicast the node goes on. See `Source`."""

    def __init__(self, announcement: Callable[[], Announcement], interfaces: Sequence[str] | None) -> None:
        self._announcement = announcement
        self._interfaces = interfaces
        self._mdns: Source | None = None

    async def run(self, found: Callable[[Sighting], None]) -> None:
        from waypost.discovery.mdns import MdnsSource  # noqa: PLC0415 - 3 MiB that only those who use it hold

        self._mdns = MdnsSource(self._announcement(), self._interfaces)
        try:
            await self._mdns.run(found)
        except LocalError as error:
            _log.warning(
                "other nodes on this network are not looked for", reason=error.detail, remedy="write [[peers]]"
            )
            await trio.sleep_forever()

    def failed(self, provider: Provider) -> None:
        if self._mdns is not None:
            self._mdns.failed(provider)


class LazyDns:
    """The DNS, once it is needed: a node among `.local` peers never does, and saves 4 MiB. See `relay.settings.Dns`."""

    async def look_up(self, provider: Provider) -> Sighting | None:
        return await self._lookup.look_up(provider) if self._lookup is not None else None

    @cached_property
    def _lookup(self) -> Dns | None:
        from waypost.discovery.dns import DnsLookup  # noqa: PLC0415 - see the class

        try:
            return DnsLookup()
        except LocalError as error:
            if error.code is not Code.UNSUPPORTED:
                raise
            _log.warning("providers cannot be looked up in the DNS", reason=error.detail)
            return None


@dataclass(frozen=True)
class Built:
    """A node that listens and is ready to run."""

    relay: Relay
    listeners: Sequence[SocketListener]
    tls: TlsConfig

    @property
    def ports(self) -> list[int]:
        """Those bound to, each once."""
        return list(dict.fromkeys(int(each.extra(SocketAttribute.local_port)) for each in self.listeners))  # noqa: S610

    async def serve(self) -> None:
        """Take links until cancelled."""
        await tcp.serve(self.listeners, self.relay.accept, self.tls)


@asynccontextmanager
async def built(state: StateDir, plan: Plan) -> AsyncIterator[Built]:
    """Open everything.

    Raises LocalError: CANNOT_LISTEN, STATE_MISSING, STATE_DAMAGED, STATE_TOO_NEW.
    """
    key = SigningKey(read_seed(state))
    tls = _tls(key, plan.provider)
    async with (
        open_store(state.database, max_bytes=plan.store.storage_max_bytes, report=_report) as store,
        _listening(plan) as listeners,
    ):
        endpoints = _announced(plan, listeners)
        settings = Settings(plan.provider, plan.policy, plan.reach, endpoints, plan.peers, plan.rates, plan.quotas)
        sources: list[Source] = [StaticSource(_static_peers(plan))]
        if plan.mdns:
            port = int(listeners[0].extra(SocketAttribute.local_port))  # noqa: S610 - not Django's
            sources.append(LanSource(lambda: _announcement(relay, port), plan.mdns_interfaces))
        platform = Platform(SystemClock(), TlsNetwork(tls), _log, sources, LazyDns(), random.SystemRandom())
        relay = Relay(settings, key, store, platform)
        yield Built(relay, listeners, tls)


def _tls(key: SigningKey, provider: Provider) -> TlsConfig:
    now_ms = time.time_ns() // 1_000_000
    serial = secrets.randbits(_SERIAL_BITS) + 1
    # A day of slack for peers whose clock is behind; nobody checks the dates, but other software may complain.
    certificate = self_signed(key, provider, now_ms - DAY_MS, now_ms + _CERTIFICATE_DAYS * DAY_MS, serial)
    return TlsConfig(certificate, private_key_pem(key))


@asynccontextmanager
async def _listening(plan: Plan) -> AsyncIterator[list[SocketListener]]:
    wanted = plan.listen or [at for at in _LISTEN if at.host != "::" or _has_ipv6()]
    listeners: list[SocketListener] = []
    try:
        for at in wanted:
            listeners += await tcp.listen(at.host, at.port)
        yield listeners
    finally:
        for listener in listeners:
            with trio.CancelScope(shield=True):
                await listener.aclose()


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as tried:
            tried.bind(("::", 0))
    except OSError:
        return False
    return True


def _announced(plan: Plan, listeners: Sequence[SocketListener]) -> tuple[RecordEndpoint, ...]:
    """Where others and our users' apps are told to find the node."""
    if plan.announce:
        return plan.announce
    found: list[RecordEndpoint] = []
    for listener in listeners:
        host = str(listener.extra(SocketAttribute.local_address)[0])  # noqa: S610 - not Django's
        port = int(listener.extra(SocketAttribute.local_port))  # noqa: S610
        if host not in _UNSPECIFIED:
            found.append(RecordEndpoint(host, port))
        elif is_lan(plan.provider):
            found += [RecordEndpoint(own, port) for own in _own_addresses(v6=":" in host)]
        else:
            found.append(RecordEndpoint(plan.provider, port))
    unique = list(dict.fromkeys((each.host, each.port) for each in found))
    return tuple(RecordEndpoint(host, port) for host, port in unique[:RECORD_ENDPOINTS_MAX])


def _own_addresses(*, v6: bool) -> list[str]:
    """The address by which this machine speaks to others, or its loopback one."""
    for family, elsewhere in _ELSEWHERE:
        if (family == socket.AF_INET6) is v6:
            with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
                probe.connect((elsewhere, 9))
                return [str(probe.getsockname()[0])]
    return [] if v6 else ["127.0.0.1"]


def _static_peers(plan: Plan) -> list[StaticPeer]:
    return [
        StaticPeer(peer.provider, tuple(Endpoint(at.host, at.port) for at in peer.endpoints), peer.key)
        for peer in plan.peers
    ]


def _announcement(relay: Relay, port: int) -> Announcement:
    fingerprint = blake2b(read(relay.record, Signed).payload, digest_size=16).digest()
    return Announcement(relay.settings.provider, port, relay.key.public, fingerprint)


def _report(error: Exception) -> None:
    """Of what follows from a commit, to nobody who waits."""
    _log.error("unforeseen trouble", where="after a commit", exc_info=error)
