"""The box without its processes: what nodes are told, and what the timeline is told of faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from waypost.daemon import config
from waypost.errors import Code, Refused
from waypost_lab.box import home as homes
from waypost_lab.box.box import Box, opened
from waypost_lab.box.home import Home
from waypost_lab.box.plan import parse, simple
from waypost_lab.box.view import View
from waypost_lab.faults.words import Cut, Heal, Loss, Slow
from waypost_lab.timeline import AnyEvent, Fault, Mended
from waypost_lab.ways import CLEAR, Way

BIRDY, FINCH, ROBIN = "birdy.local", "finch.local", "robin.local"
SLOW = '[[links]]\nbetween = ["birdy", "finch"]\none_way = true\nlatency = "40ms"\n'


@asynccontextmanager
async def box(tmp_path: Path, more: str = "") -> AsyncIterator[tuple[Box, list[AnyEvent]]]:
    text = simple(3, 1) + more
    home = Home(tmp_path / "lab")
    homes.make(home, text)
    events: list[AnyEvent] = []
    async with opened(parse(text, home.plan), home, note=events.append) as made:
        yield made, events


async def test_nodes_know_each_other_by_their_fronts_alone(tmp_path: Path) -> None:
    async with box(tmp_path) as (made, _):
        fronts = {name: member.front.port for name, member in made.members.items()}
        told = config.parse(made.config(made.members[BIRDY]), Path("waypost.toml"))
    assert [(at.host, at.port) for at in told.listen or ()] == [("127.0.0.1", 0)]
    assert [(at.host, at.port) for at in told.announce] == [("127.0.0.1", fronts[BIRDY])]
    assert {(peer.provider, peer.endpoint[0].port) for peer in told.peers} == {
        (FINCH, fronts[FINCH]),
        (ROBIN, fronts[ROBIN]),
    }
    assert not told.uses_mdns


async def test_faults_add_up_and_are_healed_together(tmp_path: Path) -> None:
    async with box(tmp_path) as (made, events):
        made.faults.do(Slow("birdy", "finch", 0.2))
        made.faults.do(Loss("finch", "birdy", 0.05, one_way=True))
        assert made.network.way(BIRDY, FINCH) == Way(0.2)
        assert made.network.way(FINCH, BIRDY) == Way(0.2, loss=0.05)
        made.faults.do(Cut("birdy", "robin", one_way=True))
        assert made.faults.heal(Heal("finch", "birdy")) == [
            f"{BIRDY} → {FINCH}: 200 ms",
            f"{FINCH} → {BIRDY}: 200 ms, loss 5%",
        ]
        assert made.network.faults() == {(BIRDY, ROBIN): Way(cut=True)}
        assert made.faults.heal(Heal()) == [f"{BIRDY} → {ROBIN}: cut"]
        assert made.network.faults() == {}
        assert made.faults.heal(Heal()) == []
    faults = [event for event in events if isinstance(event, Fault)]
    assert [(fault.name, fault.nodes, fault.detail) for fault in faults] == [
        ("slow", (BIRDY, FINCH), "200 ms"),
        ("loss", (FINCH, BIRDY), "5.0% one way"),
        ("cut", (BIRDY, ROBIN), "one way"),
    ]
    assert [event.id for event in events if isinstance(event, Mended)] == [fault.id for fault in faults]


async def test_a_fault_that_is_taken_back_or_replaced_is_over(tmp_path: Path) -> None:
    async with box(tmp_path) as (made, events):
        made.faults.do(Slow("birdy", "finch", 0.2))
        made.faults.do(Slow("birdy", "finch", 0.1, one_way=True))
        made.faults.do(Slow("finch", "birdy", 0.1, one_way=True))
        made.faults.do(Cut("birdy", "finch"))
        assert [event.id for event in events if isinstance(event, Mended)] == [1]
        made.faults.do(Slow("birdy", "finch", 0))
        assert [event.id for event in events if isinstance(event, Mended)] == [1, 2, 3]
        assert made.network.way(BIRDY, FINCH) == Way(cut=True)
    assert len([event for event in events if isinstance(event, Fault)]) == 4


async def test_what_the_file_says_is_so_from_the_start(tmp_path: Path) -> None:
    async with box(tmp_path, SLOW) as (made, events):
        assert made.network.faults() == {(BIRDY, FINCH): Way(0.04)}
        assert made.network.way(FINCH, BIRDY) == CLEAR
        [fault] = [event for event in events if isinstance(event, Fault)]
        assert (fault.name, fault.nodes, fault.detail) == ("slow", (BIRDY, FINCH), "40 ms one way")
        made.faults.heal(Heal())
        assert events[-1] == Mended(t=events[-1].t, id=fault.id)


async def test_what_makes_no_sense_is_refused(tmp_path: Path) -> None:
    async with box(tmp_path) as (made, _):
        for senseless in (lambda: made.faults.do(Cut("birdy", "birdy")), lambda: made.faults.heal(Heal("birdy"))):
            with pytest.raises(Refused) as caught:
                senseless()
            assert caught.value.code is Code.BAD_REQUEST
        for verb in (made.stop, made.kill):
            with pytest.raises(Refused, match="does not run"):
                await verb("birdy")


async def test_nodes_that_do_not_run_are_shown_as_such(tmp_path: Path) -> None:
    async with box(tmp_path) as (made, _):
        made.faults.do(Cut("birdy", "finch"))
        seen = await View(made).look()
    assert {node.state for node in seen.nodes} == {"down"}
    assert {node.pid for node in seen.nodes} == {None}
    assert len(seen.links) == 6
    cut = {(link.source, link.to) for link in seen.links if link.fault == "cut"}
    assert cut == {(BIRDY, FINCH), (FINCH, BIRDY)}
