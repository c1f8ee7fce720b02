"""Plays a plan: builds the world, lets it storm, lets it calm down, and says what became of the promises."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio

from waypost_lab import deterministic
from waypost_lab.simulate.events import Events
from waypost_lab.simulate.people import People
from waypost_lab.simulate.plan import Plan
from waypost_lab.simulate.promises import Violation
from waypost_lab.simulate.storm import Storm
from waypost_lab.simulate.watch import Watch
from waypost_lab.simulate.world import World
from waypost_lab.timeline import End, Recorder, Run

_HOUR_S: Final = 3_600.0
#: After the last fault, every queue must be empty within this time: the longest step of the retry schedule, and a bit.
DRAIN_S: Final = 8 * _HOUR_S
_LOOK_S: Final = 30.0


@dataclass(frozen=True)
class Result:
    """What came of a plan. `last`: the last events up to the first broken promise, for whoever has to find out why."""

    plan: Plan
    digest: str
    events: int
    figures: dict[str, int]
    violations: tuple[Violation, ...]
    counts: dict[str, int]
    virtual_s: float
    wall_s: float
    broken_at: int = 0  #: the number of the event with which the first promise was broken
    last: tuple[str, ...] = ()

    @property
    def holds(self) -> bool:
        return not self.violations

    def summary(self) -> dict[str, Any]:
        """The object that `--json` ends with."""
        return {
            "digest": self.digest,
            "events": self.events,
            **self.figures,
            "violations": len(self.violations),
            "broken": [{"promise": v.promise, "at_s": v.at_s, "text": v.text} for v in self.violations],
            "seed": self.plan.seed,
            "nodes": self.plan.nodes,
            "users": self.plan.users,
            "hours": self.plan.hours,
            "faults": self.plan.faults,
            "virtual_s": round(self.virtual_s, 1),
            "wall_s": round(self.wall_s, 2),
        }


def simulate(plan: Plan, recorder: Recorder | None = None) -> Result:
    """Play it. What nobody foresaw is raised; a broken promise is in the result."""
    begun = time.perf_counter()
    events = Events(recorder)
    with _little_collecting():
        world, virtual_s = deterministic.run(_play, plan, events, seed=plan.seed)
    result = Result(
        plan,
        events.digest,
        events.count,
        world.promises.figures(),
        tuple(world.promises.violations),
        dict(world.promises.counts),
        virtual_s,
        time.perf_counter() - begun,
        *(events.before or (0, tuple(events.last))),
    )
    events.record(End(t=virtual_s, result=result.summary()))
    return result


@contextmanager
def _little_collecting() -> Iterator[None]:
    """A world is hundreds of thousands of objects that stay: looking through them again and again costs a fifth."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


async def _play(plan: Plan, events: Events) -> tuple[World, float]:
    async with trio.open_nursery() as nursery:
        world = World(plan, nursery, events)
        title = f"{plan.nodes} nodes, {plan.users} users, {plan.hours:g} h, {plan.faults}"
        events.record(Run(title=title, source="simulate", nodes=tuple(world.machines), seed=plan.seed))
        watch = Watch(world)
        await world.build()
        for app in world.apps.values():
            app.tell = watch.told
        until = trio.current_time() + plan.hours * _HOUR_S
        people, storm = People(world, until), Storm(world, until)
        world.started = lambda machine: nursery.start_soon(watch.links, machine.name)
        nursery.start_soon(watch.run)
        nursery.start_soon(watch.bounds)
        for app in world.apps.values():
            nursery.start_soon(people.live, app)
        await storm.rage()
        await _drain(world, watch)
        world.promises.settle(world.left)
        await watch.traces()
        nursery.cancel_scope.cancel()
    return world, trio.current_time()


async def _drain(world: World, watch: Watch) -> None:
    """All nodes are up, all paths whole: nothing may be left waiting for long."""
    world.events.add("calm")
    for name in world.machines:
        await world.start(name)
    with trio.move_on_after(DRAIN_S):
        while await watch.waiting():  # noqa: ASYNC110 - nobody tells when the last item leaves the last mailbox
            await trio.sleep(_LOOK_S)
        world.events.add("drained")
        return
    world.promises.broken("undrained", f"{DRAIN_S / _HOUR_S:g} h after the last fault: {await watch.waiting()}")
