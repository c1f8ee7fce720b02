"""The faults of a simulation: each kind strikes each target at times of its own, and ends by itself."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from waypost.clock import Instant
from waypost_lab.faults.fabric import do
from waypost_lab.faults.words import Cut, Fault, FullDisk, Kill, Loss, PowerLoss, Skew, Slow, SlowDisk, Stop, undo
from waypost_lab.simulate.health import pair
from waypost_lab.simulate.plan import Kind
from waypost_lab.simulate.world import World
from waypost_lab.timeline import Fault as Begun
from waypost_lab.timeline import Mended

_DAY_S: Final = 86_400.0

#: A fault, and the seconds that it lasts.
Make = Callable[[random.Random], tuple[Fault, float]]


class Storm:
    """See the module. `rage` runs all of it until the faults are to end."""

    def __init__(self, world: World, until: Instant) -> None:
        self._world = world
        self._until = until
        self._numbers = 0

    async def rage(self) -> None:
        """Returns when the last fault is over."""
        world, rates = self._world, self._world.plan.rates()
        makes = [(name, _of_node(name)) for name in world.machines]
        makes += [(pair(*way), _of_way(*way)) for way in world.ways()]
        makes += [(address, _of_app(address, app.node)) for address, app in world.apps.items()]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep_until, self._until)
            for target, each in makes:
                for kind, make in each.items():
                    if kind in rates:
                        nursery.start_soon(self._again, kind, target, partial(self._made, kind, make))
            if Kind.LEAVE in rates:
                for name in world.machines:
                    nursery.start_soon(self._again, Kind.LEAVE, name, partial(self._left, name))

    async def _again(self, kind: Kind, target: str, strike: Callable[[random.Random], Awaitable[None]]) -> None:
        """Strike again and again, by chance, until the faults are to end."""
        chance = self._world.plan.rng(f"{kind} {target}")
        while True:
            await self._last(chance.expovariate(self._world.plan.rates()[kind] / _DAY_S))
            if trio.current_time() >= self._until:
                return
            await strike(chance)

    async def _made(self, kind: Kind, make: Make, chance: random.Random) -> None:
        await self._strike(kind, *make(chance))

    async def _left(self, name: str, _chance: random.Random) -> None:
        await self._leave(name)

    # ── one fault ───────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _fault(self, kind: Kind, targets: tuple[str, ...], detail: str = "") -> AsyncIterator[None]:
        world = self._world
        self._numbers += 1
        number = self._numbers
        nodes = tuple(target for target in targets if target in world.machines)
        world.events.add("fault", kind, *targets, detail)
        world.events.record(Begun(t=trio.current_time(), id=number, name=kind, nodes=nodes or targets, detail=detail))
        world.promises.counts[f"fault {kind}"] += 1
        hit = (*targets, *([pair(*nodes)] if len(nodes) == 2 else []))
        world.health.begin(*hit)
        try:
            yield
        finally:
            world.health.end(*hit)
            world.events.add("mended", kind, *targets)
            world.events.record(Mended(t=trio.current_time(), id=number))

    async def _last(self, seconds: float) -> None:
        """For so long, or until the faults are to end."""
        await trio.sleep(max(0.0, min(seconds, self._until - trio.current_time())))

    async def _strike(self, kind: Kind, fault: Fault, seconds: float) -> None:
        """Something is so for a while, and ends by itself."""
        match fault:
            case Kill(node) | PowerLoss(node) | Stop(node) if not self._world.machines[node].is_up:
                return
            case Kill(node) | PowerLoss(node) | Stop(node) | FullDisk(node) | SlowDisk(node) | Skew(node):
                targets: tuple[str, ...] = (node,)
            case Cut(a, b) if kind is Kind.APP_CUT:
                targets = (a,)
            case Cut(a, b) | Slow(a, b) | Loss(a, b):
                targets = (a, b)
            case _:
                raise ValueError(f"not for a while: {fault}")
        async with self._fault(kind, targets, _detail(fault)):
            await do(self._world, fault)
            await self._last(seconds)
            await do(self._world, undo(fault))

    async def _leave(self, node: str) -> None:
        world = self._world
        if not world.machines[node].is_up or len(world.left) + 2 >= len(world.machines):
            return
        world.left.add(node)
        world.health.begin(node)  # for good
        world.events.add("leave", node)
        await world.leave(node)


def _detail(fault: Fault) -> str:
    match fault:
        case Slow(_, _, latency_s):
            return f"{latency_s * 1000:.0f} ms"
        case Loss(_, _, share):
            return f"{share:.0%}"
        case SlowDisk(_, commit_s):
            return f"{commit_s:g} s"
        case Skew(_, seconds):
            return f"{seconds / 60:+g} min"
        case _:
            return ""


def _one_of(chance: random.Random, *most: float) -> float:
    return chance.choice(most) * chance.random()


def _of_node(node: str) -> dict[Kind, Make]:
    return {
        Kind.CRASH: lambda chance: (Kill(node), _one_of(chance, 0.1, 5.0, 60.0, 600.0)),
        Kind.POWER: lambda chance: (PowerLoss(node), _one_of(chance, 60.0, 600.0, 7_200.0)),
        Kind.STOP: lambda chance: (Stop(node), _one_of(chance, 1.0, 60.0, 600.0)),
        Kind.DISK_FULL: lambda chance: (FullDisk(node), chance.expovariate(1 / 600.0)),
        Kind.DISK_SLOW: lambda chance: (SlowDisk(node, chance.choice((0.05, 0.3, 2.0))), chance.expovariate(1 / 600.0)),
        Kind.SKEW: lambda chance: (
            Skew(node, 60 * chance.choice((-4.0, -1.0, 1.0, 4.0, -7.0, 7.0))),
            chance.expovariate(1 / 1_800.0),
        ),
    }


def _of_way(one: str, other: str) -> dict[Kind, Make]:
    def one_way(chance: random.Random) -> tuple[Fault, float]:
        ends = (one, other) if chance.random() < 0.5 else (other, one)
        return Cut(*ends, one_way=True), _one_of(chance, 30.0, 300.0, 5_000.0)

    def slow(chance: random.Random) -> tuple[Fault, float]:
        latency_s = _one_of(chance, 0.05, 0.3, 2.0)
        return Slow(one, other, latency_s, latency_s), chance.expovariate(1 / 1_200.0)

    return {
        Kind.CUT: lambda chance: (Cut(one, other), _one_of(chance, 30.0, 300.0, 5_000.0)),
        Kind.ONE_WAY: one_way,
        Kind.SLOW: slow,
        Kind.LOSS: lambda chance: (
            Loss(one, other, chance.choice((0.02, 0.1, 0.4))),
            chance.expovariate(1 / 1_200.0),
        ),
    }


def _of_app(address: str, node: str) -> dict[Kind, Make]:
    return {Kind.APP_CUT: lambda chance: (Cut(address, node), chance.expovariate(1 / 300.0))}
