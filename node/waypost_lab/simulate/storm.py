"""The faults of a simulation: each kind strikes each target at times of its own, and ends by itself."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

import trio

from waypost.clock import MINUTE_MS, Instant
from waypost_lab.app import App
from waypost_lab.machine import Machine
from waypost_lab.path import PERFECT, Path, Quality
from waypost_lab.simulate.health import pair
from waypost_lab.simulate.plan import Kind
from waypost_lab.simulate.world import World
from waypost_lab.timeline import Fault, Mended

_DAY_S: Final = 86_400.0

Strike = Callable[[random.Random], Awaitable[None]]


class Storm:
    """See the module. `strikes` are tasks to be run until the faults are to end."""

    def __init__(self, world: World, until: Instant) -> None:
        self._world = world
        self._until = until
        self._numbers = 0

    def strikes(self) -> Iterable[tuple[Kind, str, float, Strike]]:
        """Kind, target, how often a day, and what happens."""
        rates = self._world.plan.rates()
        for kind, target, strike in self._all():
            if kind in rates:
                yield kind, target, rates[kind], strike

    async def rage(self, kind: Kind, target: str, a_day: float, strike: Strike) -> None:
        """Strike again and again, by chance, until the faults are to end."""
        chance = self._world.plan.rng(f"{kind} {target}")
        while True:
            await self._last(chance.expovariate(a_day / _DAY_S))
            if trio.current_time() >= self._until:
                return
            await strike(chance)

    def _all(self) -> Iterable[tuple[Kind, str, Strike]]:
        for machine in self._world.machines.values():
            for kind, strike in self._of_node(machine).items():
                yield kind, machine.name, strike
        for one, other in self._world.ways():
            for kind, strike in self._of_way(one, other).items():
                yield kind, pair(one, other), strike
        for app in self._world.apps.values():
            yield Kind.APP_CUT, app.profile.address, self._app_cut(app)

    # ── one fault ───────────────────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def _fault(self, kind: Kind, targets: tuple[str, ...], detail: str = "") -> AsyncIterator[None]:
        world = self._world
        self._numbers += 1
        number = self._numbers
        nodes = tuple(target for target in targets if target in world.machines)
        world.events.add("fault", kind, *targets, detail)
        world.events.record(Fault(t=trio.current_time(), id=number, name=kind, nodes=nodes or targets, detail=detail))
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

    def _of_node(self, machine: Machine) -> dict[Kind, Strike]:
        async def down(kind: Kind, end: Callable[[], Awaitable[None] | None], seconds: float) -> None:
            if not machine.is_up:
                return
            async with self._fault(kind, (machine.name,)):
                self._world.note(machine.name, "down")
                ending = end()
                if ending is not None:
                    await ending
                await self._last(seconds)
                await self._world.start(machine)

        async def crash(chance: random.Random) -> None:
            await down(Kind.CRASH, machine.crash, chance.choice((0.1, 5.0, 60.0, 600.0)) * chance.random())

        async def power(chance: random.Random) -> None:
            await down(Kind.POWER, machine.lose_power, chance.choice((60.0, 600.0, 7_200.0)) * chance.random())

        async def stop(chance: random.Random) -> None:
            await down(Kind.STOP, machine.stop, chance.choice((1.0, 60.0, 600.0)) * chance.random())

        async def disk_full(chance: random.Random) -> None:
            async with self._fault(Kind.DISK_FULL, (machine.name,)):
                machine.disk.fill()
                await self._last(chance.expovariate(1 / 600.0))
                machine.disk.free()

        async def disk_slow(chance: random.Random) -> None:
            good, bad = machine.disk.commit_s, chance.choice((0.05, 0.3, 2.0))
            async with self._fault(Kind.DISK_SLOW, (machine.name,), f"{bad:g} s"):
                machine.disk.commit_s = bad
                await self._last(chance.expovariate(1 / 600.0))
                machine.disk.commit_s = good

        async def skew(chance: random.Random) -> None:
            minutes = chance.choice((-4.0, -1.0, 1.0, 4.0, -7.0, 7.0))
            async with self._fault(Kind.SKEW, (machine.name,), f"{minutes:+g} min"):
                machine.clock.skew_ms = round(minutes * MINUTE_MS)
                await self._last(chance.expovariate(1 / 1_800.0))
                machine.clock.skew_ms = 0

        async def leave(_: random.Random) -> None:
            world = self._world
            if not machine.is_up or len(world.left) + 2 >= len(world.machines):
                return
            world.left.add(machine.name)
            world.health.begin(machine.name)  # for good
            world.events.add("leave", machine.name)
            await machine.leave()
            world.note(machine.name, "gone")

        return {
            Kind.CRASH: crash,
            Kind.POWER: power,
            Kind.STOP: stop,
            Kind.DISK_FULL: disk_full,
            Kind.DISK_SLOW: disk_slow,
            Kind.SKEW: skew,
            Kind.LEAVE: leave,
        }

    def _of_way(self, one: str, other: str) -> dict[Kind, Strike]:
        there, back = self._world.fabric.path(one, other), self._world.fabric.path(other, one)

        async def cut(chance: random.Random) -> None:
            async with self._fault(Kind.CUT, (one, other)):
                await self._cut((there, back), chance.choice((30.0, 300.0, 5_000.0)) * chance.random())

        async def one_way(chance: random.Random) -> None:
            forth = chance.random() < 0.5
            async with self._fault(Kind.ONE_WAY, (one, other) if forth else (other, one)):
                await self._cut((there if forth else back,), chance.choice((30.0, 300.0, 5_000.0)) * chance.random())

        async def worse(kind: Kind, quality: Quality, seconds: float) -> None:
            detail = f"{quality.latency_s * 1000:.0f} ms" if quality.latency_s else f"{quality.loss:.0%}"
            async with self._fault(kind, (one, other), detail):
                there.quality = back.quality = quality
                await self._last(seconds)
                there.quality = back.quality = PERFECT

        async def slow(chance: random.Random) -> None:
            latency_s = chance.choice((0.05, 0.3, 2.0)) * chance.random()
            await worse(Kind.SLOW, Quality(latency_s, latency_s), chance.expovariate(1 / 1_200.0))

        async def loss(chance: random.Random) -> None:
            await worse(Kind.LOSS, Quality(loss=chance.choice((0.02, 0.1, 0.4))), chance.expovariate(1 / 1_200.0))

        return {Kind.CUT: cut, Kind.ONE_WAY: one_way, Kind.SLOW: slow, Kind.LOSS: loss}

    def _app_cut(self, app: App) -> Strike:
        ways = (
            self._world.fabric.path(app.profile.address, app.node),
            self._world.fabric.path(app.node, app.profile.address),
        )

        async def strike(chance: random.Random) -> None:
            async with self._fault(Kind.APP_CUT, (app.profile.address,)):
                await self._cut(ways, chance.expovariate(1 / 300.0))

        return strike

    async def _cut(self, paths: tuple[Path, ...], seconds: float) -> None:
        for path in paths:
            path.cut()
        await self._last(seconds)
        for path in paths:
            path.mend()
