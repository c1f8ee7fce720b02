"""A node of the lab: it starts, ends in every way there is, and comes back with what was durable."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import trio
import trio.testing

from waypost.ids import Provider
from waypost.relay.settings import Quotas
from waypost_lab.fabric import Fabric
from waypost_lab.machine import Machine, Make
from waypost_lab.profile import key_of

Autojump = trio.testing.MockClock
BIRDY, FINCH = Provider("birdy.local"), Provider("finch.local")


@dataclass
class Two:
    birdy: Machine
    finch: Machine
    fabric: Fabric
    lines: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    def link(self, machine: Machine) -> object:
        other = FINCH if machine is self.birdy else BIRDY
        peer = machine.relay.peers.get(other)
        return peer.link if peer else None

    async def linked(self, seconds: float = 10) -> None:
        with trio.fail_after(seconds):
            while not (self.link(self.birdy) and self.link(self.finch)):  # noqa: ASYNC110 - a relay has no event for it
                await trio.sleep(0.01)

    async def unlinked(self, machine: Machine, seconds: float) -> None:
        with trio.fail_after(seconds):
            while self.link(machine):  # noqa: ASYNC110 - as above
                await trio.sleep(0.01)


@asynccontextmanager
async def two() -> AsyncIterator[Two]:
    rng = random.Random(1)
    fabric = Fabric(rng)
    async with trio.open_nursery() as nursery:
        birdy, finch = (Machine(Make(name, key_of(name)), fabric, rng, nursery) for name in (BIRDY, FINCH))
        made = Two(birdy, finch, fabric)
        birdy.log = lambda level, event, fields: made.lines.append((level, event, dict(fields)))
        await birdy.start()
        await finch.start()
        birdy.introduce(FINCH)
        await made.linked()
        yield made
        nursery.cancel_scope.cancel()


async def test_nodes_that_hear_of_each_other_link(autojump_clock: Autojump) -> None:
    async with two() as net:
        assert ("info", "link up") in [line[:2] for line in net.lines]
        assert (net.birdy.is_up, net.birdy.starts) == (True, 1)
        await net.birdy.start()
        assert net.birdy.starts == 1


async def test_a_node_that_stops_says_so(autojump_clock: Autojump) -> None:
    async with two() as net:
        unanswered: list[int] = []
        net.finch.stopped = unanswered.append
        await net.finch.stop()
        assert not net.finch.is_up
        assert unanswered == [0]
        with pytest.raises(RuntimeError):
            _ = net.finch.relay
        await net.unlinked(net.birdy, 0.1)
        await net.finch.stop()
        await net.finch.start()
        await net.linked(60)


async def test_a_node_that_crashes_is_missed_at_once(autojump_clock: Autojump) -> None:
    async with two() as net:
        net.finch.crash()
        await net.unlinked(net.birdy, 0.1)
        await net.finch.start()
        await net.linked(60)
        assert net.finch.starts == 2


async def test_a_node_without_power_is_missed_when_it_is_silent(autojump_clock: Autojump) -> None:
    async with two() as net:
        net.finch.lose_power()
        await trio.sleep(50)
        assert net.link(net.birdy)
        await net.unlinked(net.birdy, 30)
        await net.finch.start()
        await net.linked(3_600)


async def test_a_node_comes_back_with_what_was_durable(autojump_clock: Autojump) -> None:
    async with two() as net:
        await net.finch.relay.add_user("bob")
        net.finch.crash()
        await net.finch.start()
        assert net.finch.relay.accounts.get("bob") is not None
        # A verb that the disk has not taken yet is gone.
        net.finch.disk.commit_s = 10.0

        async def add() -> None:
            await net.finch.relay.add_user("carol")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(add)
            await trio.sleep(1)
            net.finch.crash()
            await trio.sleep(60)
            nursery.cancel_scope.cancel()
        await net.finch.start()
        assert net.finch.relay.accounts.get("carol") is None


async def test_a_node_may_crash_and_start_at_any_moment(autojump_clock: Autojump) -> None:
    async with two() as net:
        for number in range(60):
            with trio.move_on_after(number / 5_000):
                await net.finch.start()
                await trio.sleep(1)
            (net.finch.crash, net.finch.lose_power)[number % 2]()
        net.finch.disk.commit_s = 0.002
        await net.finch.start()
        await net.linked(2 * 3_600)


async def test_a_node_that_leaves_is_buried(autojump_clock: Autojump) -> None:
    async with two() as net:
        await net.finch.leave()
        assert not net.finch.is_up
        known = net.birdy.relay.peers.get(FINCH)
        assert known is not None
        assert known.gone


async def test_a_node_is_made_as_it_was_asked_for(autojump_clock: Autojump) -> None:
    async with trio.open_nursery() as nursery:
        rng = random.Random(1)
        make = Make(BIRDY, key_of("birdy"), quotas=Quotas(mailbox_envelopes=7), peers=(FINCH,), skew_ms=5_000)
        birdy = Machine(make, Fabric(rng), rng, nursery)
        await birdy.start()
        assert birdy.relay.settings.quotas.mailbox_envelopes == 7
        assert birdy.relay.peers.get(FINCH) is not None
        right = Machine(Make(FINCH, key_of("finch")), Fabric(rng), rng, nursery)
        assert birdy.clock.wall_ms() - right.clock.wall_ms() == 5_000
        birdy.clock.skew_ms = 0
        assert birdy.clock.wall_ms() == right.clock.wall_ms()
        nursery.cancel_scope.cancel()
