"""Nodes on the same LAN, by multicast DNS (RFC 6762) and service discovery (RFC 6763).

Everything here runs inside `trio_asyncio.open_loop()`, which the caller holds around the whole node.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import structlog
import trio
from trio_asyncio import aio_as_trio
from zeroconf import DNSQuestionType, Error, InterfaceChoice, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from waypost.crypto.keys import key_text
from waypost.discovery.source import Endpoint, Sighting
from waypost.discovery.txt import Announcement, lan_properties, parse_lan_properties
from waypost.errors import Code, LocalError
from waypost.ids import Provider
from waypost.limits import (
    MDNS_CLOSE_TIMEOUT_S,
    MDNS_REFRESH_MIN_S,
    MDNS_RESOLVE_TIMEOUT_S,
    MDNS_RESOLVES_AT_ONCE,
    MDNS_SEEN_MAX,
    MDNS_TXT_MAX_BYTES,
    RECORD_ENDPOINTS_MAX,
)

SERVICE_TYPE: Final = "_waypost._tcp.local."

_log = structlog.get_logger(__name__)
_GROUP = "224.0.0.251"  # RFC 6762 §3
_Found = Callable[[Sighting], None]
_T = TypeVar("_T")


@dataclass(slots=True)
class _Seen:
    """One instance name that was announced."""

    sighting: Sighting
    asked_at: float = float("-inf")  #: trio's clock, when a failed connect last made us ask again
    doubted: bool = False


class MdnsSource:
    """Announces this node on the LAN, and reports the others there. See `Source`.

    With no announcement it only looks. `interfaces` are IP addresses of this machine; None means all of IPv4.
    Raises LocalError(BAD_CONFIG) for an interface that is not an IP address.
    """

    def __init__(self, announcement: Announcement | None, interfaces: Sequence[str] | None = None) -> None:
        for address in interfaces or ():
            _checked(address)
        self._announcement = announcement
        self._interfaces = None if interfaces is None else list(interfaces)
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._own_addresses: frozenset[str] = frozenset()
        self._broadcast: asyncio.Future[None] | None = None
        self._announced: Announcement | None = None
        self._starting = trio.Lock()
        self._woken = trio.Event()
        self._renewed = trio.Event()
        self._changes: OrderedDict[str, ServiceStateChange] = OrderedDict()
        self._unresolved: OrderedDict[str, None] = OrderedDict()
        self._resolving: set[str] = set()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def start(self) -> None:
        """Open the sockets, begin to look, and announce. `run` does it too; here its failure can be told apart.

        Raises LocalError(UNSUPPORTED) if multicast cannot be had on this machine; nothing is left open then.
        """
        # Whoever has made a source may start it while it is being run: one of them opens it, the other waits for that.
        async with self._starting:
            if self._zeroconf is None:
                await self._start()

    async def _start(self) -> None:
        try:
            _join_once(self._interfaces or ())
            await aio_as_trio(self._open)()
            if not self._own_addresses:
                raise LocalError(Code.UNSUPPORTED, "mDNS: no network interface can do multicast")
            await self._announce()
        except (OSError, RuntimeError, Error) as error:
            await self.aclose()
            raise LocalError(Code.UNSUPPORTED, f"mDNS: {error}") from error
        except BaseException:
            await self.aclose()
            raise

    async def run(self, found: _Found) -> None:
        try:
            await self.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_announced)
                while True:
                    self._take_changes(found)
                    while self._unresolved and len(self._resolving) < MDNS_RESOLVES_AT_ONCE:
                        name, _ = self._unresolved.popitem(last=False)
                        if name not in self._resolving:
                            self._resolving.add(name)
                            nursery.start_soon(self._resolve, name, found)
                    await self._woken.wait()
                    self._woken = trio.Event()
        finally:
            await self.aclose()

    def failed(self, provider: Provider) -> None:
        """Drop what is cached of the provider's nodes and ask the LAN again (RFC 6762 §10.4), at a bounded rate."""
        now = trio.current_time()
        for name, seen in self._seen.items():
            if seen.sighting.provider == provider and now - seen.asked_at >= MDNS_REFRESH_MIN_S:
                seen.asked_at, seen.doubted = now, True
                _put(self._unresolved, name, None)
                self._woken.set()

    def announce(self, announcement: Announcement) -> None:
        """Announce this from now on, as after a new record. Raises ValueError if the provider or the key is another."""
        old = self._announcement
        if old is None or (old.provider, old.key) != (announcement.provider, announcement.key):
            raise ValueError("a running node keeps its name and its key")
        self._announcement = announcement
        self._renewed.set()

    async def aclose(self) -> None:
        """Say goodbye and close; bounded in time, and done even when cancelled. `run` does it at its end."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is None:
            return
        self._announced = None
        with trio.move_on_after(MDNS_CLOSE_TIMEOUT_S, shield=True):
            await aio_as_trio(self._close)(zeroconf)

    # ── zeroconf: these run as asyncio ──────────────────────────────────────────────────────────────────────────────

    async def _open(self) -> None:
        self._zeroconf = AsyncZeroconf(interfaces=self._interfaces or InterfaceChoice.All)
        core = self._zeroconf.zeroconf
        await core.async_wait_for_start()
        self._own_addresses = frozenset(str(sender.sock_name[0]) for sender in core.engine.senders)
        # Looking begins before announcing: what is said in between is heard. The questions ask for multicast answers:
        # of several processes that share port 5353 on one machine, a unicast answer reaches only one.
        self._browser = AsyncServiceBrowser(
            core, SERVICE_TYPE, handlers=[self._on_change], question_type=DNSQuestionType.QM
        )

    async def _register(self, zeroconf: AsyncZeroconf, info: AsyncServiceInfo, *, again: bool) -> None:
        if self._broadcast is not None:
            await self._broadcast
        if again:
            self._broadcast = asyncio.ensure_future(await zeroconf.async_update_service(info))
            return
        # No probing, which would take 1.6 s: the names contain our key, so they are known to be unique by other means,
        # and RFC 6762 §8.1 says to skip it then. Someone who copies them on purpose would not be stopped by it.
        registered = await zeroconf.async_register_service(info, cooperating_responders=True)
        self._broadcast = asyncio.ensure_future(registered)

    async def _close(self, zeroconf: AsyncZeroconf) -> None:
        if self._broadcast is not None:
            self._broadcast.cancel()
            await asyncio.wait([self._broadcast])
            self._broadcast = None
        if self._browser is not None:
            await self._browser.async_cancel()
        await zeroconf.async_close()

    def _on_change(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        try:
            _put(self._changes, name, state_change)
            self._woken.set()
        except Exception:  # noqa: BLE001
            # reason: whatever escapes from a callback ends the asyncio loop, and the node with it
            _log.exception("mdns-callback-failed")

    # ── our side: trio ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _announce(self) -> None:
        new, old = self._announcement, self._announced
        if new is None or new == old or self._zeroconf is None:
            return
        info = _service_info(new, self._own_addresses)
        self._announced = new
        await aio_as_trio(self._register)(self._zeroconf, info, again=old is not None)

    async def _keep_announced(self) -> None:
        while True:
            await self._renewed.wait()
            self._renewed = trio.Event()
            await self._announce()

    def _take_changes(self, found: _Found) -> None:
        changes, self._changes = self._changes, OrderedDict()
        for name, change in changes.items():
            if change is ServiceStateChange.Removed:
                self._lose(name, found)
            elif (info := _info(name)) is None or self._zeroconf is None:
                continue
            elif info.load_from_cache(self._zeroconf.zeroconf):
                self._report(name, info, found)
            else:
                _put(self._unresolved, name, None)

    async def _resolve(self, name: str, found: _Found) -> None:
        try:
            info, zeroconf = _info(name), self._zeroconf
            if info is None or zeroconf is None:
                return
            seen = self._seen.get(name)
            if seen is not None and seen.doubted:
                _forget(zeroconf.zeroconf, name)
            answered = await aio_as_trio(info.async_request)(
                zeroconf.zeroconf, MDNS_RESOLVE_TIMEOUT_S * 1_000, DNSQuestionType.QM
            )
            if answered:
                self._report(name, info, found)
            elif seen is not None and seen.doubted:
                self._lose(name, found)
        finally:
            self._resolving.discard(name)
            self._woken.set()

    def _report(self, name: str, info: AsyncServiceInfo, found: _Found) -> None:
        sighting = sighting_of(info, self._own_addresses)
        own = self._announcement
        if sighting is None or (own is not None and sighting.key == own.key):
            return
        old = self._seen.get(name)
        if old is not None and old.sighting == sighting and not old.doubted:
            return
        _put(self._seen, name, _Seen(sighting, old.asked_at if old else float("-inf")))
        found(sighting)

    def _lose(self, name: str, found: _Found) -> None:
        self._unresolved.pop(name, None)
        if seen := self._seen.pop(name, None):
            found(replace(seen.sighting, gone=True))


def sighting_of(info: AsyncServiceInfo, own_addresses: Iterable[str]) -> Sighting | None:
    """What a resolved announcement says; None if it is not one of ours, or malformed, or leads nowhere."""
    text = info.text or b""
    if len(text) > MDNS_TXT_MAX_BYTES or not info.port:
        return None
    announced = parse_lan_properties(info.properties)
    local = any(ipaddress.ip_address(address).is_loopback for address in own_addresses)
    hosts = sorted(
        {host for host in info.parsed_scoped_addresses() if _is_dialable(host, local=local)}, key=_host_order
    )
    if announced is None or not hosts:
        return None
    endpoints = tuple(Endpoint(host, info.port) for host in hosts[:RECORD_ENDPOINTS_MAX])
    return Sighting(announced.provider, endpoints, announced.key, announced.record_fingerprint, "mdns")


def _is_dialable(host: str, *, local: bool) -> bool:
    """Not our own services: a loopback address makes sense only to those who look on loopback."""
    address = ipaddress.ip_address(host)
    if address.is_loopback:
        return local
    return not (address.is_multicast or address.is_unspecified or address.is_reserved)


def _host_order(host: str) -> tuple[bool, int, str]:
    """The same order however the answers came in, so that a repetition is known as one; link-local addresses last."""
    address = ipaddress.ip_address(host)
    return address.is_link_local, address.version, host


def _service_info(announcement: Announcement, addresses: Iterable[str]) -> AsyncServiceInfo:
    # Two nodes that claim one provider name must both be seen, so the key is in the name. A label has 63 bytes.
    short = key_text(announcement.key)[:20]
    label = announcement.provider.partition(".")[0][:40].strip("-_")
    # A LAN peer cannot use a loopback address; it is announced only where there is nothing else.
    parsed = sorted(addresses)
    outside = [address for address in parsed if not ipaddress.ip_address(address).is_loopback]
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{label}-{short}.{SERVICE_TYPE}",
        port=announcement.port,
        properties=lan_properties(announcement),
        server=f"waypost-{short}.local.",
        parsed_addresses=outside or parsed,
    )


def _info(name: str) -> AsyncServiceInfo | None:
    try:
        return AsyncServiceInfo(SERVICE_TYPE, name)
    except Error:
        return None  # not a name of that type, whoever said so


def _forget(zeroconf: Zeroconf, name: str) -> None:
    """Drop the cached SRV, TXT and address records of an instance, so that only an answer brings them back."""
    cache = zeroconf.cache
    info = AsyncServiceInfo(SERVICE_TYPE, name)
    info.load_from_cache(zeroconf)
    for owner in {name, info.server or name}:
        cache.async_remove_records(list(cache.async_entries_with_name(owner)))


def _put(table: OrderedDict[str, _T], name: str, value: _T) -> None:
    """Bounded by MDNS_SEEN_MAX: the oldest entry goes. What it stood for has been reported, or is announced again."""
    table[name] = value
    if len(table) > MDNS_SEEN_MAX:
        table.popitem(last=False)


def _join_once(interfaces: Iterable[str]) -> None:
    """Raise OSError if multicast cannot be joined there: zeroconf would raise it too, but leave its socket open."""
    for address in interfaces:
        if ipaddress.ip_address(address).version == 4:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                membership = socket.inet_aton(_GROUP) + socket.inet_aton(address)
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)


def _checked(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise LocalError(Code.BAD_CONFIG, f"interface {address!r} is not an IP address of this machine") from None
