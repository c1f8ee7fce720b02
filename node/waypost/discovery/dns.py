"""Where the node of a DNS provider is (SRV, RFC 2782), and which key its DNS names (TXT)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

import dns.asyncbackend
import dns.asyncresolver
import dns.exception
import dns.name
import dns.nameserver
import dns.rdata
import dns.rdatatype
import dns.resolver
import trio
from dns.rdtypes.ANY.TXT import TXT
from dns.rdtypes.IN.SRV import SRV

from waypost.discovery.source import Endpoint, Sighting
from waypost.discovery.txt import parse_dns_values
from waypost.errors import Code, LocalError, Refused
from waypost.ids import Provider, is_canonical_provider, is_lan
from waypost.limits import (
    DEFAULT_PORT,
    DNS_LOOKUPS_AT_ONCE,
    DNS_MISS_S,
    DNS_MISSES_MAX,
    DNS_TIMEOUT_S,
    DNS_TROUBLE_S,
    RECORD_ENDPOINTS_MAX,
)

_Rdatas = list[dns.rdata.Rdata]


@dataclass(frozen=True, slots=True)
class _Miss:
    until: float  #: trio's clock
    trouble: str  #: empty if the DNS says for certain that there is nothing


class DnsLookup:
    """Asks the nameservers given, or those that this machine is configured for.

    Raises LocalError(UNSUPPORTED) if this machine is configured for none.
    """

    def __init__(self, nameservers: Sequence[Endpoint] = ()) -> None:
        try:
            self._resolver = dns.asyncresolver.Resolver(configure=not nameservers)
        except dns.resolver.NoResolverConfiguration as error:
            raise LocalError(Code.UNSUPPORTED, f"DNS: {error}") from None
        if nameservers:
            self._resolver.nameservers = [dns.nameserver.Do53Nameserver(at.host, at.port) for at in nameservers]
        self._resolver.lifetime = DNS_TIMEOUT_S
        self._backend = dns.asyncbackend.get_backend("trio")
        self._slots = trio.CapacityLimiter(DNS_LOOKUPS_AT_ONCE)
        self._misses: OrderedDict[Provider, _Miss] = OrderedDict()

    async def look_up(self, provider: Provider) -> Sighting | None:
        """Where to dial the provider's node, best first; without a SRV record, the provider's own host at DEFAULT_PORT.

        None if the DNS says that there is no such service or no such name; also for a `.local` name, which DNS knows
        nothing of (RFC 6762 §3). Raises Refused(UNREACHABLE) if the DNS could not be asked: that says nothing.
        """
        if is_lan(provider):
            return None
        if (miss := self._misses.get(provider)) and trio.current_time() < miss.until:
            return _nothing(miss)
        async with self._slots:
            trouble = ""
            try:
                with trio.fail_after(DNS_TIMEOUT_S):
                    sighting = await self._ask_all(provider)
            except trio.TooSlowError:
                sighting, trouble = None, "no answer in time"
            except _Trouble as error:
                sighting, trouble = None, str(error)
        self._misses.pop(provider, None)
        if sighting is not None:
            return sighting
        miss = _Miss(trio.current_time() + (DNS_TROUBLE_S if trouble else DNS_MISS_S), trouble)
        self._misses[provider] = miss
        if len(self._misses) > DNS_MISSES_MAX:
            self._misses.popitem(last=False)
        return _nothing(miss)

    async def _ask_all(self, provider: Provider) -> Sighting | None:
        answers: dict[str, _Rdatas | _Trouble] = {}
        questions = [
            (f"_waypost._tcp.{provider}", dns.rdatatype.SRV),
            (f"_waypost.{provider}", dns.rdatatype.TXT),
            (provider, dns.rdatatype.A),
            (provider, dns.rdatatype.AAAA),
        ]

        async def ask(name: str, kind: dns.rdatatype.RdataType) -> None:
            try:
                answers[kind.name] = await self._ask(name, kind)
            except _Trouble as error:
                answers[kind.name] = error

        async with trio.open_nursery() as nursery:
            for name, kind in questions:
                nursery.start_soon(ask, name, kind)
        services = _sure(answers["SRV"])
        endpoints = _endpoints(services) if services else _own_host(provider, answers)
        if not endpoints:
            return None
        key = parse_dns_values(b"".join(text.strings) for text in _sure(answers["TXT"]) if isinstance(text, TXT))
        return Sighting(provider, endpoints, key, None, "dns")

    async def _ask(self, text: str, kind: dns.rdatatype.RdataType) -> _Rdatas:
        """The records in the order in which to try them; none if there are none for certain."""
        try:
            name = dns.name.from_text(text + ".")
        except dns.name.NameTooLong:
            return []
        try:
            answer = await self._resolver.resolve(name, kind, backend=self._backend, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return []
        except (dns.exception.DNSException, OSError) as error:
            raise _Trouble(f"DNS, {kind.name} of {text}: {error}") from None
        return answer.rrset.processing_order() if answer.rrset is not None else []


class _Trouble(Exception):
    """The DNS gave no answer on which to rely."""


def _nothing(miss: _Miss) -> Sighting | None:
    if miss.trouble:
        raise Refused(Code.UNREACHABLE, miss.trouble)
    return None


def _sure(answer: _Rdatas | _Trouble) -> _Rdatas:
    if isinstance(answer, _Trouble):
        raise answer
    return answer


def _own_host(provider: Provider, answers: dict[str, _Rdatas | _Trouble]) -> tuple[Endpoint, ...]:
    found = [answers["A"], answers["AAAA"]]
    # One family may be in trouble (some servers mishandle AAAA) as long as the other has an address.
    if any(isinstance(answer, list) and answer for answer in found) or any(_sure(answer) for answer in found):
        return (Endpoint(provider, DEFAULT_PORT),)
    return ()


def _endpoints(services: _Rdatas) -> tuple[Endpoint, ...]:
    """A root target means that the service is decidedly not there; a name without a dot would lead to our own host."""
    hosts = [
        Endpoint(host, service.port)
        for service in services
        if isinstance(service, SRV)
        and is_canonical_provider(host := service.target.to_text(omit_final_dot=True).lower())
        and service.port
    ]
    return tuple(hosts[:RECORD_ENDPOINTS_MAX])
