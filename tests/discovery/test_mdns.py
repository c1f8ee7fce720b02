"""Real multicast on loopback. Other programs may be heard there too, so each test looks for its own keys only."""

import ipaddress
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from zeroconf import DNSOutgoing, DNSPointer, ServiceInfo, ServiceStateChange  # type: ignore[attr-defined]

from waypost.discovery.mdns import MdnsSource, sighting_of
from waypost.discovery.responder import SERVICE_TYPE, InstanceChanges
from waypost.discovery.source import Endpoint, Sighting
from waypost.discovery.txt import Announcement, lan_properties
from waypost.errors import Code, LocalError
from waypost.ids import Provider
from waypost.limits import MDNS_RESOLVE_TIMEOUT_S, MDNS_SEEN_MAX, MDNS_TXT_MAX_BYTES, RECORD_ENDPOINTS_MAX

LOOPBACK = ["127.0.0.1"]
GROUP = ("224.0.0.251", 5353)


def node(name: str = "birdy.local", port: int = 7711) -> Announcement:
    return Announcement(Provider(name), port, os.urandom(32), b"r" * 16)


def seen(announcement: Announcement) -> Sighting:
    return Sighting(
        announcement.provider,
        (Endpoint("127.0.0.1", announcement.port),),
        announcement.key,
        announcement.record_fingerprint,
        "mdns",
    )


def gone(announcement: Announcement) -> Sighting:
    return replace(seen(announcement), gone=True)


class Ears:
    """Keeps what was sighted of some nodes, and waits for more."""

    def __init__(self, *nodes: Announcement) -> None:
        self._keys = {announcement.key for announcement in nodes}
        self.heard: list[Sighting] = []
        self._changed = trio.Event()

    def __call__(self, sighting: Sighting) -> None:
        if sighting.key in self._keys:
            self.heard.append(sighting)
            self._changed.set()

    async def until(self, count: int) -> list[Sighting]:
        with trio.fail_after(10):
            while len(self.heard) < count:
                await self._changed.wait()
                self._changed = trio.Event()
        return self.heard


@asynccontextmanager
async def running(source: MdnsSource, found: Callable[[Sighting], None]) -> AsyncIterator[None]:
    """Leaving the block stops the source, goodbyes said."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(source.run, found)
        yield
        nursery.cancel_scope.cancel()


def deaf(sighting: Sighting) -> None:
    pass


def multicast_socket() -> socket.socket:
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    return sender


@pytest.fixture(scope="module")
def multicast() -> None:
    """Skips unless a multicast datagram sent on loopback arrives there."""
    try:
        with multicast_socket() as sender, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("", 0))
            receiver.settimeout(2)
            membership = socket.inet_aton(GROUP[0]) + socket.inet_aton("127.0.0.1")
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
            sender.sendto(b"?", (GROUP[0], receiver.getsockname()[1]))
            receiver.recv(1)
    except OSError as error:
        pytest.skip(f"no multicast on loopback: {error}")


async def test_two_nodes_find_each_other_quickly(multicast: None) -> None:
    birdy, finch = node("birdy.local", 7711), node("finch.local", 7712)
    by_birdy, by_finch = Ears(birdy, finch), Ears(birdy, finch)
    async with running(MdnsSource(birdy, LOOPBACK), by_birdy), running(MdnsSource(finch, LOOPBACK), by_finch):
        # Generous on a busy machine; with the probing of RFC 6762 §8.1 it could not be met.
        with trio.fail_after(1.5):
            assert await by_birdy.until(1) == [seen(finch)]
            assert await by_finch.until(1) == [seen(birdy)]


async def test_a_late_comer_finds_who_is_there_and_hears_of_changes_and_the_end(multicast: None) -> None:
    birdy, finch = node("birdy.local"), node("finch.local")
    ears = Ears(finch)
    watcher = MdnsSource(birdy, LOOPBACK)
    source = MdnsSource(finch, LOOPBACK)
    async with running(source, deaf):
        await source.start()
        async with running(watcher, ears):
            assert await ears.until(1) == [seen(finch)]
            renewed = replace(finch, record_fingerprint=b"s" * 16)
            source.announce(renewed)
            assert await ears.until(2) == [seen(finch), seen(renewed)]
            moved = replace(renewed, port=9999)
            source.announce(moved)
            assert await ears.until(3) == [seen(finch), seen(renewed), seen(moved)]
            late = Ears(finch)
            async with running(MdnsSource(None, LOOPBACK), late):
                assert (await late.until(1))[0] == seen(moved)


async def test_a_node_that_leaves_says_goodbye(multicast: None) -> None:
    birdy, finch = node("birdy.local"), node("finch.local")
    ears = Ears(birdy, finch)
    async with running(MdnsSource(birdy, LOOPBACK), ears):
        async with running(MdnsSource(finch, LOOPBACK), deaf):
            await ears.until(1)
        assert await ears.until(2) == [seen(finch), gone(finch)]


async def test_two_nodes_that_claim_one_name_are_both_seen(multicast: None) -> None:
    one, two = node("birdy.local", 1), node("birdy.local", 2)
    ears = Ears(one, two)
    async with (
        running(MdnsSource(None, LOOPBACK), ears),
        running(MdnsSource(one, LOOPBACK), deaf),
        running(MdnsSource(two, LOOPBACK), deaf),
    ):
        heard = await ears.until(2)
        assert {sighting.key for sighting in heard} == {one.key, two.key}


async def test_after_a_failed_connect_a_peer_is_asked_for_again_but_not_too_often(multicast: None) -> None:
    finch = node("finch.local")
    ears = Ears(finch)
    watcher = MdnsSource(None, LOOPBACK)
    async with running(MdnsSource(finch, LOOPBACK), deaf), running(watcher, ears):
        await ears.until(1)
        watcher.failed(finch.provider)
        assert await ears.until(2) == [seen(finch), seen(finch)]
        watcher.failed(finch.provider)
        assert not watcher._unresolved
        watcher.failed(Provider("nobody.local"))
        assert not watcher._unresolved


async def test_a_peer_that_died_without_goodbye_is_given_up_after_a_failed_connect(
    multicast: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("waypost.discovery.responder.MDNS_RESOLVE_TIMEOUT_S", 0.3)
    ghost = node("ghost.local")
    ears, watcher = Ears(ghost), MdnsSource(None, LOOPBACK)
    async with running(watcher, ears):
        await watcher.start()
        with multicast_socket() as sender:
            sender.sendto(packets([instance(ghost, f"ghost-{ghost.key.hex()[:20]}")])[0], GROUP)
        await ears.until(1)
        watcher.failed(ghost.provider)
        assert await ears.until(2) == [seen(ghost), gone(ghost)]


async def test_stopping_while_a_question_is_open_takes_no_time_and_leaves_nothing(
    multicast: None, caplog: pytest.LogCaptureFixture
) -> None:
    before, watcher = set(threading.enumerate()), MdnsSource(None, LOOPBACK)
    async with running(watcher, deaf):
        await watcher.start()
        with multicast_socket() as sender:
            sender.sendto(packets([], [pointer("ghost-that-nobody-answers-for")])[0], GROUP)
        with trio.fail_after(10):
            while not watcher._resolving:
                await watcher._woken.wait()
        began = trio.current_time()
    assert trio.current_time() - began < MDNS_RESOLVE_TIMEOUT_S / 2
    left = {thread for thread in set(threading.enumerate()) - before if not thread.name.startswith("Trio")}
    assert left == set()
    assert not caplog.records


async def test_a_source_can_run_again(multicast: None) -> None:
    finch = node("finch.local")
    source, ears = MdnsSource(finch, LOOPBACK), Ears(finch)
    async with running(MdnsSource(None, LOOPBACK), ears):
        for count in (1, 3):
            async with running(source, deaf):
                await ears.until(count)
            await ears.until(count + 1)
    assert [sighting.gone for sighting in ears.heard] == [False, True, False, True]


async def test_garbage_on_the_multicast_port_does_no_harm(multicast: None) -> None:
    finch, ghost = node("finch.local"), node("ghost.local")
    ears, rng = Ears(finch), random.Random(7)
    valid = packets([instance(ghost, "ghost")])[0]
    watcher = MdnsSource(None, LOOPBACK)
    async with running(watcher, ears):
        await watcher.start()
        with multicast_socket() as sender:
            for n in range(1_500):
                bad = bytearray(valid if n % 2 else rng.randbytes(rng.randrange(1, 1_400)))
                for _ in range(rng.randrange(1, 8)):
                    bad[rng.randrange(len(bad))] = rng.randrange(256)
                sender.sendto(bytes(bad[: rng.randrange(1, len(bad) + 1)]), GROUP)
                if n % 50 == 0:
                    await trio.lowlevel.checkpoint()
        async with running(MdnsSource(finch, LOOPBACK), deaf):
            assert (await ears.until(1))[0] == seen(finch)


async def test_thousands_of_services_are_bounded_and_hide_nobody(multicast: None) -> None:
    finch, crowd = node("finch.local"), Ears()
    ears, watcher = Ears(finch), MdnsSource(None, LOOPBACK)
    names = [f"crowd-{n}" for n in range(MDNS_SEEN_MAX + 500)]
    # Every third has no SRV or TXT record and would have to be asked for.
    infos = [instance(node("crowd.local"), name) for name in names[::3]]
    pointers = [pointer(name) for name in names if name not in names[::3]]

    def found(sighting: Sighting) -> None:
        ears(sighting)
        if sighting.provider == "crowd.local":
            crowd.heard.append(sighting)

    async with running(watcher, found):
        await watcher.start()
        with multicast_socket() as sender:
            for packet in [*packets(infos), *packets([], pointers)]:
                sender.sendto(packet, GROUP)
                await trio.lowlevel.checkpoint()
        async with running(MdnsSource(finch, LOOPBACK), deaf):
            assert (await ears.until(1))[0] == seen(finch)
        assert crowd.heard
        assert len(watcher._seen) <= MDNS_SEEN_MAX
        assert len(watcher._unresolved) <= MDNS_SEEN_MAX
        assert watcher._responder is not None
        assert len(watcher._responder.changes.take()) <= MDNS_SEEN_MAX


def test_changes_that_nobody_takes_are_bounded() -> None:
    changes = InstanceChanges()
    for n in range(MDNS_SEEN_MAX + 7):
        changes.add(f"n{n}.{SERVICE_TYPE}", ServiceStateChange.Added)
    taken = changes.take()
    assert len(taken) == MDNS_SEEN_MAX
    assert f"n0.{SERVICE_TYPE}" not in taken
    assert not changes.take()


async def test_without_multicast_it_says_so_and_leaves_nothing_open() -> None:
    source = MdnsSource(node(), ["192.0.2.254"])
    with pytest.raises(LocalError) as caught:
        await source.start()
    assert caught.value.code is Code.UNSUPPORTED
    assert source._responder is None


def test_an_interface_is_an_ip_address() -> None:
    with pytest.raises(LocalError) as caught:
        MdnsSource(None, ["eth0"])
    assert caught.value.code is Code.BAD_CONFIG
    assert "eth0" in caught.value.detail


def test_a_running_node_keeps_its_name_and_key() -> None:
    birdy = node("birdy.local")
    for other in (replace(birdy, provider=Provider("finch.local")), replace(birdy, key=bytes(32))):
        with pytest.raises(ValueError, match="keeps its name"):
            MdnsSource(birdy).announce(other)


# ── one announcement, as values ─────────────────────────────────────────────────────────────────────────────────────


def instance(announcement: Announcement, name: str = "x", **changes: object) -> ServiceInfo:
    fields: dict[str, object] = {
        "port": announcement.port,
        "properties": lan_properties(announcement),
        "server": f"{name}.local.",
        "parsed_addresses": ["127.0.0.1"],
    }
    return ServiceInfo(SERVICE_TYPE, f"{name}.{SERVICE_TYPE}", **(fields | changes))  # type: ignore[arg-type]


def pointer(name: str) -> DNSPointer:
    return DNSPointer(SERVICE_TYPE, 12, 1, 4500, f"{name}.{SERVICE_TYPE}")


def packets(infos: list[ServiceInfo], pointers: list[DNSPointer] | None = None) -> list[bytes]:
    out = DNSOutgoing(0x8400)
    for info in infos:
        for record in (info.dns_pointer(), info.dns_service(), info.dns_text(), *info.dns_addresses()):
            out.add_answer_at_time(record, 0)
    for record in pointers or []:
        out.add_answer_at_time(record, 0)
    return out.packets()


def test_a_resolved_announcement_is_a_sighting() -> None:
    birdy = node()
    assert sighting_of(instance(birdy), LOOPBACK) == seen(birdy)


@pytest.mark.parametrize(
    ("addresses", "hosts"),
    [
        (["127.0.0.1", "::1", "192.0.2.1"], ["192.0.2.1"]),
        (["fe80::1", "fd00::1", "192.0.2.2", "192.0.2.1"], ["192.0.2.1", "192.0.2.2", "fd00::1", "fe80::1"]),
        (["0.0.0.0", "224.0.0.251", "255.255.255.255", "240.0.0.1", "::", "ff02::fb", "::ffff:127.0.0.1"], None),
        (["127.0.0.1"], None),
        ([], None),
    ],
)
def test_only_addresses_that_can_be_dialled_from_here_are_reported(
    addresses: list[str], hosts: list[str] | None
) -> None:
    sighting = sighting_of(instance(node(), parsed_addresses=addresses), ["192.0.2.7"])
    assert (sighting and [at.host for at in sighting.endpoints]) == hosts


def test_endpoints_are_bounded() -> None:
    many = [f"192.0.2.{n}" for n in range(1, 100)]
    sighting = sighting_of(instance(node(), parsed_addresses=many), many)
    assert sighting is not None
    assert len(sighting.endpoints) == RECORD_ENDPOINTS_MAX


@pytest.mark.parametrize(
    "changes",
    [
        {"port": 0},
        {"port": None},
        {"properties": {}},
        {"properties": b""},
        {"properties": b"\xff" * 300},
        {"properties": b"\x05v=way"},
        {"properties": {"name": "birdy.example"}},
        {"properties": {**lan_properties(node()), "x": "y" * 200, "z": "y" * 200}},
    ],
)
def test_a_bad_announcement_is_no_sighting(changes: dict[str, object]) -> None:
    assert sighting_of(instance(node(), "x", **changes), LOOPBACK) is None


@given(st.binary(max_size=MDNS_TXT_MAX_BYTES + 20))
def test_garbage_in_txt_is_no_sighting(text: bytes) -> None:
    assert sighting_of(instance(node(), properties=text), LOOPBACK) is None


@given(st.lists(st.ip_addresses(), max_size=12))
def test_endpoints_come_in_one_order_whatever_the_answers_did(addresses: list[ipaddress.IPv4Address]) -> None:
    texts = [str(address) for address in addresses]
    birdy = node()
    forward = sighting_of(instance(birdy, parsed_addresses=texts), LOOPBACK)
    assert forward == sighting_of(instance(birdy, parsed_addresses=texts[::-1]), LOOPBACK)
