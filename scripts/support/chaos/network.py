"""The run with many nodes: a storm over all of them, under load between all pairs, and then the count."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from scripts.support.chaos.disks import Disk, Quota, SmallDisk
from scripts.support.chaos.load import SLEEPER, Load, is_for_nobody
from scripts.support.chaos.storm import Say, Storm

from waypost.errors import WaypostError
from waypost.protocol.operator import ActOnQueue, QueueAction
from waypost_lab.box import home as homes
from waypost_lab.box.box import Box, opened
from waypost_lab.box.faults import Note
from waypost_lab.box.home import Home
from waypost_lab.box.plan import LabPlan, PlannedNode, parse, simple
from waypost_lab.box.traffic import Crowd, account, crowd, record, whereabouts
from waypost_lab.box.view import View
from waypost_lab.timeline import End, Run
from waypost_lab.timeline import Note as Remark

_CONFIG = (
    "[limits]\naccount_rate_per_s = 0\npeer_rate_per_s = 0\n"
    "mailbox_max_envelopes = 10000000\noutbox_max_envelopes = 10000000\n"
)
_INTRODUCED_S = 60.0
#: The timeline looks once a second, and should see the end.
_LAST_LOOK_S = 1.2


@dataclass(frozen=True)
class NetworkPlan:
    """What is to happen. `retry`: once the faults are over the operators say `waypost queue retry`."""

    nodes: int
    users: int
    seconds: float
    rate: float
    seed: int
    settle_s: float
    disk: str  #: tmpfs, quota, or auto
    retry: bool = False


@dataclass(frozen=True)
class Stage:
    """A run, and where it tells of itself."""

    plan: NetworkPlan
    lab: LabPlan
    home: Home
    note: Note
    say: Say


def run(plan: NetworkPlan, where: Path, note: Note, say: Say) -> dict[str, Any]:
    """Do it; what came of it. `holds` says whether the promises were kept."""
    home, lab = Home(where / "lab"), _lab(plan, where)
    homes.make(home, simple(plan.nodes, plan.users))
    with _small_disks(plan, home, lab) as disks:
        facts = trio.run(_main, Stage(plan, lab, home, note, say), disks)
    note(End(t=facts["seconds"], result=facts))
    return facts


def _lab(plan: NetworkPlan, where: Path) -> LabPlan:
    named = parse(simple(plan.nodes, plan.users), where / "lab.toml")
    nodes = tuple(PlannedNode(node.name, (*node.users, SLEEPER), _CONFIG) for node in named.nodes)
    return LabPlan(f"chaos on {plan.nodes} nodes, seed {plan.seed}", nodes)


@contextmanager
def _small_disks(plan: NetworkPlan, home: Home, lab: LabPlan) -> Iterator[dict[str, Disk]]:
    """For the first and the last node, if they can be had and are wanted."""
    disks: dict[str, Disk] = {}
    try:
        for name in (lab.names[0], lab.names[-1]):
            if plan.disk != "quota":
                try:
                    disks[name] = SmallDisk(home.state(name).path)
                except OSError:
                    if plan.disk == "tmpfs":
                        raise
        yield disks
    finally:
        for disk in disks.values():
            disk.close()


async def _main(stage: Stage, disks: dict[str, Disk]) -> dict[str, Any]:
    plan, lab, note, say = stage.plan, stage.lab, stage.note, stage.say
    rng = random.Random(plan.seed)
    note(Run(title=lab.title, source="chaos", nodes=lab.names, seed=plan.seed))
    async with opened(lab, stage.home, rng.getrandbits(32), note) as box, trio.open_nursery() as nursery:
        await box.start_all()
        await box.introduced(_INTRODUCED_S)
        await box.join_users()
        say(f"{plan.nodes} nodes run and are linked, after {box.now:.1f} s")
        for name in (lab.names[0], lab.names[-1]):
            disks.setdefault(name, Quota(box, name))
        storm = Storm(box, disks, random.Random(rng.random()), say)
        nursery.start_soon(storm.watch)
        nursery.start_soon(View(box).record)
        async with crowd(box.accounts, rng.getrandbits(32)) as people:
            nursery.start_soon(record, people.tally, note, lambda: box.now)
            facts = await _under_load(plan, box, storm, people, say)
        facts["died"] = len(storm.died)
        facts["holds"] = facts["holds"] and not storm.died
        if not facts["holds"]:
            note(Remark(t=box.now, text="a promise was broken", level="error"))
        nursery.cancel_scope.cancel()
    return facts


async def _under_load(plan: NetworkPlan, box: Box, storm: Storm, people: Crowd, say: Say) -> dict[str, Any]:
    begun, load = trio.current_time(), Load(people)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(people.write, plan.rate, load.letter)
        nursery.start_soon(_tell, people, say)
        await storm.rage(plan.seconds)
        nursery.cancel_scope.cancel()
    raged_s = trio.current_time() - begun
    say(f"{box.now:6.1f} s  the faults are over")
    load.wake()
    if plan.retry:
        await _retry(box)
    await people.settled(plan.settle_s)
    await trio.sleep(_LAST_LOOK_S)
    settled_s = trio.current_time() - begun - raged_s - _LAST_LOOK_S
    waits = await trio.to_thread.run_sync(whereabouts, box.home, people.tally)
    tally = people.tally
    # Only what was for nobody may come back.
    astray = sum(bool(code) and not is_for_nobody(tally.between[id_][1]) for id_, code in tally.outcomes.items())
    counted = account(tally, waits)
    good = bool(counted.pop("good"))
    adds_up = counted["accepted"] == counted["delivered"] + counted["bounced"]
    return {
        "nodes": plan.nodes,
        "seed": plan.seed,
        "seconds": round(raged_s + settled_s, 1),
        "settled_s": round(settled_s, 1),
        "faults": dict(sorted(storm.counts.items())),
        "disk": "/".join(sorted({disk.kind for disk in storm.disks.values()})),
        "reconnects": sum(device.connects - 1 for device in people.devices),
        **counted,
        "bounced_astray": astray,
        "holds": good and adds_up and tally.holds and not astray,
    }


async def _tell(people: Crowd, say: Say) -> None:
    while True:
        await trio.sleep(15)
        tally = people.tally
        say(f"          written {len(tally.written)}, accepted {len(tally.accepted)}, shown {len(tally.shown)}")


async def _retry(box: Box) -> None:
    for member in box.members.values():
        for other in box.plan.names:
            if other != member.name:
                try:
                    await member.process.ask(ActOnQueue(other, QueueAction.RETRY))
                except WaypostError as error:
                    raise RuntimeError(f"{member.name}: {error}") from error
