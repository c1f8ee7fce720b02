"""Connections of the lab: as any link on a perfect path, and as TCP on one that is not."""

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from tests.links.conformance import check_link
from tests.links.support import Pair, run, run_virtual

from waypost.clock import NEVER
from waypost.limits import CONNECT_TIMEOUT_S
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.memory import BUFFER_BYTES
from waypost_lab.fabric import Fabric
from waypost_lab.path import SLOW_START_MAX_S, Path
from waypost_lab.ways import LOSSES_MAX, RETRANSMIT_MIN_S, Way
from waypost_lab.wire import FIN_RETRIED_S, LabStream, connection

Autojump = trio.testing.MockClock
_NUMBERS = itertools.count()


class Wire:
    """A connection and the paths under it."""

    def __init__(self, seed: int = 1) -> None:
        rng = random.Random(seed)
        self.there, self.back = Path(rng), Path(rng)
        exporter = next(_NUMBERS).to_bytes(32, "big")
        self.near, self.far = connection(exporter, self.there, self.back)

    async def arrives(self, data: bytes, to: LabStream | None = None) -> float:
        """Send it, and say how many seconds it took."""
        began = trio.current_time()
        sender = self.far if to is self.near else self.near
        await sender.send(data)
        got = b""
        while len(got) < len(data):
            got += await (to or self.far).receive()
        assert got == data
        return trio.current_time() - began


@asynccontextmanager
async def lab_pair() -> AsyncIterator[Pair]:
    wire = Wire()

    async def cut() -> None:
        wire.near.reset()
        wire.far.reset()

    yield Pair(wire.near, wire.far, cut)


def test_a_lab_link_keeps_the_contract() -> None:
    run("trio", lambda: check_link(lab_pair))
    run_virtual(lambda: check_link(lab_pair))


async def test_bytes_take_the_time_of_their_way(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.way = Way(latency_s=0.25)
    assert await wire.arrives(b"there") == 0.25
    assert await wire.arrives(b"and back", to=wire.near) == 0.0
    wire.there.way = Way(latency_s=0.25, jitter_s=0.5)
    took = [await wire.arrives(bytes([number])) for number in range(20)]
    assert 0.25 <= min(took) < max(took) <= 0.75


async def test_jitter_keeps_the_order(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.way = Way(jitter_s=1.0)
    for number in range(50):
        await wire.near.send(bytes([number]))
    got = b""
    while len(got) < 50:
        got += await wire.far.receive()
    assert got == bytes(range(50))


async def test_what_is_lost_is_sent_again_after_a_while(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.way = Way(loss=0.3)
    took = {round(await wire.arrives(b"x"), 6) for _ in range(60)}
    assert took <= {round(RETRANSMIT_MIN_S * (2**tries - 1), 6) for tries in range(LOSSES_MAX)}
    assert len(took) > 2


async def test_a_way_that_loses_everything_breaks_the_connection(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.way = Way(loss=1.0)
    await wire.near.send(b"lost")
    with pytest.raises(LinkBroken):
        await wire.near.send(b"more")
    assert wire.there.delay_s() == NEVER


async def test_a_cut_one_way_holds_bytes_until_it_is_mended(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.cut()
    await wire.near.send(b"held")
    assert await wire.arrives(b"the other way is open", to=wire.near) == 0.0
    with trio.move_on_after(3_600):
        await wire.far.receive()
        raise AssertionError("nothing can arrive")
    wire.there.mend()
    began = trio.current_time()
    assert await wire.far.receive() == b"held"
    assert trio.current_time() - began <= SLOW_START_MAX_S
    await wire.arrives(b"as before")


async def test_a_sender_waits_when_the_buffers_are_full(autojump_clock: Autojump) -> None:
    wire = Wire()
    await wire.near.send(bytes(BUFFER_BYTES))
    with trio.move_on_after(60) as scope:
        await wire.near.send(b"x")
    assert scope.cancelled_caught
    # What was acknowledged while the way back was cut cannot be known, and makes no room.
    wire = Wire()
    wire.back.cut()
    await wire.near.send(bytes(BUFFER_BYTES))
    assert len(await wire.far.receive()) == BUFFER_BYTES
    async with trio.open_nursery() as nursery:
        nursery.start_soon(wire.near.send, b"x")
        with trio.move_on_after(60):
            await wire.far.receive()
            raise AssertionError("there is no room")
        wire.back.mend()
        assert await wire.far.receive() == b"x"


async def test_who_hangs_up_behind_a_cut_is_heard_once_it_is_mended(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.cut()
    wire.near.close()
    await trio.sleep(FIN_RETRIED_S - 1)
    wire.there.mend()
    with pytest.raises(LinkBroken):
        await wire.far.receive()


async def test_nobody_says_it_was_closed_for_ever(autojump_clock: Autojump) -> None:
    wire = Wire()
    wire.there.cut()
    wire.near.close()
    await trio.sleep(FIN_RETRIED_S + 1)
    wire.there.mend()
    with trio.move_on_after(86_400):
        await wire.far.receive()
        raise AssertionError("it is half-open")
    # What is sent there is answered by a reset.
    with pytest.raises(LinkBroken):
        await wire.far.send(b"anybody there?")


# ── whole hosts ─────────────────────────────────────────────────────────────────────────────────────────────────────


class Hosts:
    """Two machines, one of which keeps what connects to it."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.fabric = Fabric(random.Random(1))
        self.host = self.fabric.host("finch")
        self.accepted: list[LabStream] = []
        self.nursery = nursery
        self.listen()

    def listen(self) -> None:
        async def serve(stream: LabStream) -> None:
            self.accepted.append(stream)

        self.host.listen(serve, self.nursery)

    async def dial(self) -> LabStream:
        stream = await self.fabric.network("birdy").dial("finch", 1)
        await trio.testing.wait_all_tasks_blocked()
        return stream


async def test_a_machine_without_power_leaves_connections_half_open(autojump_clock: Autojump) -> None:
    async with trio.open_nursery() as nursery:
        hosts = Hosts(nursery)
        stream = await hosts.dial()
        hosts.host.lose_power()
        await stream.send(b"nobody says that this is lost")
        with trio.move_on_after(86_400):
            await stream.receive()
            raise AssertionError("nobody is told")
        hosts.listen()
        with trio.move_on_after(86_400):
            await stream.receive()
            raise AssertionError("nobody has asked")
        await stream.send(b"do you know me?")
        with pytest.raises(LinkBroken):
            await stream.receive()


async def test_a_program_that_dies_is_announced_by_its_machine(autojump_clock: Autojump) -> None:
    async with trio.open_nursery() as nursery:
        hosts = Hosts(nursery)
        stream = await hosts.dial()
        hosts.host.die()
        with pytest.raises(LinkBroken):
            await stream.receive()
        with pytest.raises(LinkBroken) as caught:
            await hosts.dial()
        assert caught.value.trouble is Trouble.REFUSED


@pytest.mark.parametrize("way", [("birdy", "finch"), ("finch", "birdy")])
async def test_nobody_is_reached_over_a_way_that_is_cut(way: tuple[str, str], autojump_clock: Autojump) -> None:
    async with trio.open_nursery() as nursery:
        hosts = Hosts(nursery)
        hosts.fabric.path(*way).cut()
        began = trio.current_time()
        with pytest.raises(LinkBroken) as caught:
            await hosts.dial()
        assert (caught.value.trouble, trio.current_time() - began) == (Trouble.TIMED_OUT, CONNECT_TIMEOUT_S)
        hosts.fabric.path(*way).mend()
        await hosts.dial()
        with pytest.raises(LinkBroken) as caught:
            await hosts.fabric.network("birdy").dial("nowhere", 1)
        assert caught.value.trouble is Trouble.NO_ADDRESS


async def test_a_connection_that_is_given_up_leaves_nothing_behind(autojump_clock: Autojump) -> None:
    async with trio.open_nursery() as nursery:
        hosts = Hosts(nursery)
        for _ in range(3):
            stream = await hosts.dial()
            stream.close()
            hosts.accepted.pop().close()
        assert not hosts.host.streams
        assert [path for _, _, path in hosts.fabric.paths() if path._lanes] == []
