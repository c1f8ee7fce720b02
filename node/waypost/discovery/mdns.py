"""Nodes on the same LAN, by multicast DNS (RFC 6762) and service discovery (RFC 6763)."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import trio
from zeroconf import Error, ServiceInfo, ServiceStateChange

from waypost.crypto.keys import key_text
from waypost.discovery.responder import SERVICE_TYPE, Responder, open_responder, put
from waypost.discovery.source import Endpoint, Sighting
from waypost.discovery.txt import Announcement, lan_properties, parse_lan_properties
from waypost.errors import Code, LocalError
from waypost.ids import Provider
from waypost.limits import MDNS_REFRESH_MIN_S, MDNS_RESOLVES_AT_ONCE, MDNS_TXT_MAX_BYTES, RECORD_ENDPOINTS_MAX

_Found = Callable[[Sighting], None]


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
        self._responder: Responder | None = None
        self._own_addresses: frozenset[str] = frozenset()
        self._announced: Announcement | None = None
        self._starting = trio.Lock()
        self._woken = trio.Event()
        self._renewed = trio.Event()
        self._unresolved: OrderedDict[str, None] = OrderedDict()
        self._resolving: set[str] = set()
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    async def start(self) -> None:
        """Open the sockets, begin to look, and announce. `run` does it too; here its failure can be told apart.

        Raises LocalError(UNSUPPORTED) if multicast cannot be had on this machine; nothing is left open then.
        """
        # Whoever has made a source may start it while it is being run: one of them opens it, the other waits for that.
        async with self._starting:
            if self._responder is None:
                await self._start()

    async def _start(self) -> None:
        try:
            self._responder = await open_responder(self._interfaces, self._wake)
            self._own_addresses = self._responder.addresses
            if not self._own_addresses:
                raise LocalError(Code.UNSUPPORTED, "mDNS: no network interface can do multicast")
            # Looking begins before announcing: what is said in between is heard.
            await self._responder.browse()
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
                put(self._unresolved, name, None)
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
        responder, self._responder = self._responder, None
        if responder is not None:
            self._announced = None
            await responder.close()

    def _wake(self) -> None:
        self._woken.set()

    async def _announce(self) -> None:
        new, old = self._announcement, self._announced
        if new is None or new == old or self._responder is None:
            return
        info = _service_info(new, self._own_addresses)
        self._announced = new
        await (self._responder.register(info) if old is None else self._responder.update(info))

    async def _keep_announced(self) -> None:
        while True:
            await self._renewed.wait()
            self._renewed = trio.Event()
            await self._announce()

    def _take_changes(self, found: _Found) -> None:
        responder = self._responder
        if responder is None:
            return
        for name, change in responder.changes.take().items():
            if change is ServiceStateChange.Removed:
                self._lose(name, found)
            elif (info := _info(name)) is None:
                continue
            elif responder.load(info):
                self._report(name, info, found)
            else:
                put(self._unresolved, name, None)

    async def _resolve(self, name: str, found: _Found) -> None:
        try:
            info, responder = _info(name), self._responder
            if info is None or responder is None:
                return
            seen = self._seen.get(name)
            doubted = seen is not None and seen.doubted
            if await responder.resolve(info, afresh=doubted):
                self._report(name, info, found)
            elif doubted:
                self._lose(name, found)
        finally:
            self._resolving.discard(name)
            self._woken.set()

    def _report(self, name: str, info: ServiceInfo, found: _Found) -> None:
        sighting = sighting_of(info, self._own_addresses)
        own = self._announcement
        if sighting is None or (own is not None and sighting.key == own.key):
            return
        old = self._seen.get(name)
        if old is not None and old.sighting == sighting and not old.doubted:
            return
        put(self._seen, name, _Seen(sighting, old.asked_at if old else float("-inf")))
        found(sighting)

    def _lose(self, name: str, found: _Found) -> None:
        self._unresolved.pop(name, None)
        if seen := self._seen.pop(name, None):
            found(replace(seen.sighting, gone=True))


def sighting_of(info: ServiceInfo, own_addresses: Iterable[str]) -> Sighting | None:
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


def _service_info(announcement: Announcement, addresses: Iterable[str]) -> ServiceInfo:
    # Two nodes that claim one provider name must both be seen, so the key is in the name. A label has 63 bytes.
    short = key_text(announcement.key)[:20]
    label = announcement.provider.partition(".")[0][:40].strip("-_")
    # A LAN peer cannot use a loopback address; it is announced only where there is nothing else.
    parsed = sorted(addresses)
    outside = [address for address in parsed if not ipaddress.ip_address(address).is_loopback]
    return ServiceInfo(
        SERVICE_TYPE,
        f"{label}-{short}.{SERVICE_TYPE}",
        port=announcement.port,
        properties=lan_properties(announcement),
        server=f"waypost-{short}.local.",
        parsed_addresses=outside or parsed,
    )


def _info(name: str) -> ServiceInfo | None:
    try:
        return ServiceInfo(SERVICE_TYPE, name)
    except Error:
        return None  # not a name of that type, whoever said so


def _checked(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise LocalError(Code.BAD_CONFIG, f"interface {address!r} is not an IP address of this machine") from None
