"""Look-ups against a small nameserver on loopback."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
import trio
from trio.testing import MockClock

from waypost.discovery.dns import DnsLookup
from waypost.discovery.source import Endpoint, Sighting
from waypost.discovery.txt import dns_value
from waypost.errors import Code, LocalError, Refused
from waypost.ids import Provider
from waypost.limits import DEFAULT_PORT, DNS_MISS_S, DNS_MISSES_MAX, DNS_TIMEOUT_S, RECORD_ENDPOINTS_MAX

KEY = bytes(range(32))
FINCH = Provider("finch.example")
SRV, TXT = "_waypost._tcp.finch.example.", "_waypost.finch.example."
KEY_RECORD = f'"{dns_value(KEY)}"'


@dataclass
class Zone:
    """What the nameserver knows. A name that it does not know is NXDOMAIN."""

    records: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    broken: dict[tuple[str, str], dns.rcode.Rcode] = field(default_factory=dict)
    silent: bool = False
    asked: Counter[tuple[str, str]] = field(default_factory=Counter)

    def answer(self, question: bytes) -> bytes | None:
        query = dns.message.from_wire(question)
        name, kind = query.question[0].name.to_text().lower(), dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked[name, kind] += 1
        if self.silent:
            return None
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        if (name, kind) in self.broken:
            response.set_rcode(self.broken[name, kind])
        elif (name, kind) in self.records:
            response.answer.append(dns.rrset.from_text_list(name, 60, "IN", kind, self.records[name, kind]))
        elif all(known != name for known, _ in self.records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response.to_wire()


@asynccontextmanager
async def serving(zone: Zone) -> AsyncIterator[DnsLookup]:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as socket:
        await socket.bind(("127.0.0.1", 0))

        async def serve() -> None:
            while True:
                question, sender = await socket.recvfrom(4096)
                if (response := zone.answer(question)) is not None:
                    await socket.sendto(response, sender)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve)
            yield DnsLookup([Endpoint("127.0.0.1", socket.getsockname()[1])])
            nursery.cancel_scope.cancel()


async def look_up(records: dict[tuple[str, str], list[str]], provider: Provider = FINCH) -> Sighting | None:
    async with serving(Zone(records)) as lookup:
        return await lookup.look_up(provider)


async def test_services_come_by_priority_with_the_key() -> None:
    sighting = await look_up(
        {
            (SRV, "SRV"): ["20 0 7713 c.finch.example.", "10 0 7711 A.finch.example.", "15 0 7712 b.other.example."],
            (TXT, "TXT"): ['"v=spf1 -all"', f'"{dns_value(KEY)[:20]}" "{dns_value(KEY)[20:]}"'],
        }
    )
    endpoints = (
        Endpoint("a.finch.example", 7711),
        Endpoint("b.other.example", 7712),
        Endpoint("c.finch.example", 7713),
    )
    assert sighting == Sighting(FINCH, endpoints, KEY, None, "dns")


async def test_weights_share_the_load() -> None:
    zone = Zone({(SRV, "SRV"): ["10 0 1 never.finch.example.", "10 65535 2 often.finch.example."]})
    async with serving(zone) as lookup:
        firsts = Counter([(await lookup.look_up(FINCH)).endpoints[0].port for _ in range(20)])  # type: ignore[union-attr]
    # RFC 2782: weight 0 has a very small chance of being selected first.
    assert firsts[2] > firsts[1]


@pytest.mark.parametrize(("kind", "address"), [("A", "192.0.2.1"), ("AAAA", "2001:db8::1")])
async def test_without_services_it_is_the_providers_own_host(kind: str, address: str) -> None:
    sighting = await look_up({("finch.example.", kind): [address], (TXT, "TXT"): [KEY_RECORD]})
    assert sighting == Sighting(FINCH, (Endpoint("finch.example", DEFAULT_PORT),), KEY, None, "dns")


async def test_no_key_in_dns_is_no_key() -> None:
    sighting = await look_up({("finch.example.", "A"): ["192.0.2.1"]})
    assert sighting is not None
    assert sighting.key is None


@pytest.mark.parametrize(
    "records",
    [
        {},
        {("finch.example.", "TXT"): ['"no address"']},
        {(TXT, "TXT"): [KEY_RECORD]},
        # RFC 2782: the root as target says that the service is decidedly not available, host or not.
        {(SRV, "SRV"): ["0 0 0 ."], ("finch.example.", "A"): ["192.0.2.1"]},
        {(SRV, "SRV"): ["0 0 22 localhost."], ("finch.example.", "A"): ["192.0.2.1"]},
        {(SRV, "SRV"): ["0 0 0 a.finch.example."], ("finch.example.", "A"): ["192.0.2.1"]},
        {(SRV, "SRV"): ["0 0 1 a\\000b.finch.example."], ("finch.example.", "A"): ["192.0.2.1"]},
    ],
)
async def test_no_service_for_certain(records: dict[tuple[str, str], list[str]]) -> None:
    assert await look_up(records) is None


async def test_services_are_bounded() -> None:
    sighting = await look_up({(SRV, "SRV"): [f"{n} 0 7711 h{n}.finch.example." for n in range(20)]})
    assert sighting is not None
    assert [at.host for at in sighting.endpoints] == [f"h{n}.finch.example" for n in range(RECORD_ENDPOINTS_MAX)]


async def test_dns_is_not_asked_for_lan_names_nor_for_names_too_long() -> None:
    zone = Zone()
    async with serving(zone) as lookup:
        assert await lookup.look_up(Provider("finch.local")) is None
        assert not zone.asked
        assert await lookup.look_up(Provider(".".join(["a" * 60] * 4) + ".example")) is None
    assert {kind for _, kind in zone.asked} == {"A", "AAAA"}


async def test_a_name_without_an_answer_is_not_asked_for_again_soon(mock_clock: MockClock) -> None:
    zone = Zone()
    async with serving(zone) as lookup:
        assert await lookup.look_up(FINCH) is None
        zone.records["finch.example.", "A"] = ["192.0.2.1"]
        mock_clock.jump(DNS_MISS_S - 1)
        assert await lookup.look_up(FINCH) is None
        assert zone.asked.total() == 4
        mock_clock.jump(2)
        assert await lookup.look_up(FINCH) is not None


async def test_names_without_an_answer_are_bounded() -> None:
    async with serving(Zone()) as lookup:
        for n in range(3):
            await lookup.look_up(Provider(f"n{n}.example"))
        template = lookup._misses[Provider("n0.example")]
        for n in range(3, DNS_MISSES_MAX):
            lookup._misses[Provider(f"n{n}.example")] = template
        await lookup.look_up(FINCH)
        assert len(lookup._misses) == DNS_MISSES_MAX
        assert Provider("n0.example") not in lookup._misses
        assert FINCH in lookup._misses


@pytest.mark.parametrize(("name", "kind"), [(SRV, "SRV"), (TXT, "TXT"), ("finch.example.", "A")])
async def test_trouble_in_the_dns_is_not_an_absence(name: str, kind: str) -> None:
    zone = Zone({(TXT, "TXT"): [KEY_RECORD]}, {(name, kind): dns.rcode.SERVFAIL})
    if kind != "A":
        zone.records["finch.example.", "A"] = ["192.0.2.1"]
    async with serving(zone) as lookup:
        for _ in range(2):
            with pytest.raises(Refused) as caught:
                await lookup.look_up(FINCH)
            assert caught.value.code is Code.UNREACHABLE
            assert kind in caught.value.detail
        assert zone.asked[name, kind] == 1


async def test_trouble_with_one_address_family_does_not_matter() -> None:
    zone = Zone({("finch.example.", "A"): ["192.0.2.1"]}, {("finch.example.", "AAAA"): dns.rcode.SERVFAIL})
    async with serving(zone) as lookup:
        assert await lookup.look_up(FINCH) is not None


async def test_a_silent_nameserver_costs_a_bounded_time(autojump_clock: MockClock) -> None:
    async with serving(Zone(silent=True)) as lookup:
        before = trio.current_time()
        with pytest.raises(Refused) as caught:
            await lookup.look_up(FINCH)
        assert caught.value.code is Code.UNREACHABLE
        assert trio.current_time() - before <= DNS_TIMEOUT_S


async def test_a_machine_without_nameservers_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    import dns.resolver

    def none(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.resolver.BaseResolver, "read_resolv_conf", none)
    with pytest.raises(LocalError) as caught:
        DnsLookup()
    assert caught.value.code is Code.UNSUPPORTED
