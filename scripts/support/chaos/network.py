"""The run with many nodes: a storm over all of them, under load between all pairs, and then the count."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio
from scripts.support.chaos.runs import LIMITS, Say, opened_with

from waypost.protocol.operator import ActOnQueue, QueueAction
from waypost_lab.app import App
from waypost_lab.box import home as homes
from waypost_lab.box.box import Box
from waypost_lab.box.disks import BoxDisk, Quota, SmallDisk
from waypost_lab.box.home import Home
from waypost_lab.box.plan import LabPlan, PlannedNode, parse, simple
from waypost_lab.box.storm import BoxStorm
from waypost_lab.box.traffic import BODY_BYTES, Crowd, Draft, account, crowd, whereabouts
from waypost_lab.box.view import View
from waypost_lab.faults.noted import Note
from waypost_lab.timeline import End
from waypost_lab.timeline import Note as Remark

#: At each node; comes online when the storm is over. Until then mail for them fills the node's database.
SLEEPER = "sleeper"
_NOBODY = "nobody"
#: Of the messages.
_TO_SLEEPERS = 0.15
_SLEEPERS_BODY_BYTES = 16 * 1024
_TO_NOBODY = 0.02
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


def run(plan: NetworkPlan, where: Path, note: Note, say: Say) -> dict[str, Any]:
    """Do it; what came of it. `holds` says whether the promises were kept."""
    home, named = Home(where / "lab"), parse(simple(plan.nodes, plan.users), where / "lab.toml")
    nodes = tuple(PlannedNode(node.name, (*node.users, SLEEPER), LIMITS) for node in named.nodes)
    lab = LabPlan(f"chaos on {plan.nodes} nodes, seed {plan.seed}", nodes)
    homes.make(home, "# chaos\n")
    with _small_disks(plan, home, lab) as disks:

        async def main() -> dict[str, Any]:
            async with opened_with(lab, home, plan.seed, note) as box:
                say(f"{plan.nodes} nodes run and are linked, after {box.now:.1f} s")
                box.disks |= {name: disks.get(name) or Quota(box, name) for name in (lab.names[0], lab.names[-1])}
                return await _stormed(plan, box, note, say)

        facts = trio.run(main)
    note(End(t=facts["seconds"], result=facts))
    return facts


@contextmanager
def _small_disks(plan: NetworkPlan, home: Home, lab: LabPlan) -> Iterator[dict[str, BoxDisk]]:
    """For the first and the last node, if they can be had and are wanted."""
    disks: dict[str, BoxDisk] = {}
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


async def _stormed(plan: NetworkPlan, box: Box, note: Note, say: Say) -> dict[str, Any]:
    rng = random.Random(plan.seed)
    rng.getrandbits(32)  # the box's
    async with trio.open_nursery() as nursery:
        storm = BoxStorm(box, random.Random(rng.random()), say)
        nursery.start_soon(storm.watch)
        nursery.start_soon(View(box).record)
        async with crowd(box.accounts, rng.getrandbits(32), (SLEEPER,)) as people:
            nursery.start_soon(people.record, note, lambda: box.now)
            facts = await _under_load(plan, box, storm, people, say)
        facts["died"] = len(storm.died)
        facts["holds"] = facts["holds"] and not storm.died
        if not facts["holds"]:
            note(Remark(t=box.now, text="a promise was broken", level="error"))
        nursery.cancel_scope.cancel()
    return facts


async def _under_load(plan: NetworkPlan, box: Box, storm: BoxStorm, people: Crowd, say: Say) -> dict[str, Any]:
    begun = trio.current_time()
    sleepers = list(people.away)
    awake = [app for app in people.apps if app not in sleepers]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(people.write, plan.rate, lambda rng: _draft(awake, sleepers, rng))
        nursery.start_soon(_tell, people, say)
        await storm.rage(plan.seconds)
        nursery.cancel_scope.cancel()
    raged_s = trio.current_time() - begun
    say(f"{box.now:6.1f} s  the faults are over")
    people.wake()
    if plan.retry:
        await _retry(box)
    await people.settled(plan.settle_s)
    await trio.sleep(_LAST_LOOK_S)
    settled_s = trio.current_time() - begun - raged_s - _LAST_LOOK_S
    waits = await trio.to_thread.run_sync(whereabouts, box.home, people.book)
    # Only what was for nobody may come back.
    letters = people.book.letters
    astray = sum(bool(each.fate) and not each.recipient.startswith(f"{_NOBODY}@") for each in letters)
    counted = account(people.book, waits)
    good = bool(counted.pop("good"))
    adds_up = counted["accepted"] == counted["delivered"] + counted["bounced"]
    return {
        "nodes": plan.nodes,
        "seed": plan.seed,
        "seconds": round(raged_s + settled_s, 1),
        "settled_s": round(settled_s, 1),
        "faults": dict(sorted(storm.counts.items())),
        "disk": "/".join(sorted({disk.kind for disk in box.disks.values()})),
        "reconnects": sum(app.connects - 1 for app in people.apps),
        **counted,
        "bounced_astray": astray,
        "holds": good and adds_up and people.book.holds and not astray,
    }


def _draft(awake: list[App], sleepers: list[App], rng: random.Random) -> Draft:
    """All to all, some to people who are away, and a few to nobody; always to another node."""
    sender, kind = rng.choice(awake), rng.random()
    to_sleeper = kind < _TO_SLEEPERS
    there = rng.choice([app for app in (sleepers if to_sleeper else awake) if app.node != sender.node])
    if to_sleeper:
        return Draft(sender, there.address, _SLEEPERS_BODY_BYTES)
    to = f"{_NOBODY}@{there.node}" if kind > 1 - _TO_NOBODY else there.address
    return Draft(sender, to, rng.choice(BODY_BYTES))


async def _tell(people: Crowd, say: Say) -> None:
    while True:
        await trio.sleep(15)
        say(f"          {people.progress}")


async def _retry(box: Box) -> None:
    for member in box.members.values():
        for other in box.plan.names:
            if other != member.name:
                await member.process.ask(ActOnQueue(other, QueueAction.RETRY))
