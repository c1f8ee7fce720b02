"""The users: when their apps are open, what they write, and to whom."""

from __future__ import annotations

import random
from typing import Final

import trio

from waypost.clock import Instant
from waypost_lab.app import App
from waypost_lab.simulate.world import World

_SESSION_S: Final = 300.0
_BETWEEN_S: Final = 9_000.0
_BURST: Final = 20
_LAST_SESSION_S: Final = 120.0
#: Seconds; what has not been delivered by then bounces, and is what tests expiry in a run of hours.
_SHORT_LIVES_S: Final = (300, 1_800, 7_200)


class People:
    """Tasks that play the users until the faults are over; then their apps stay connected."""

    def __init__(self, world: World, until: Instant) -> None:
        self._world = world
        self._until = until
        self._circle: dict[str, list[str]] = {}
        by_node: dict[str, list[str]] = {}
        for address in world.apps:
            by_node.setdefault(address.rpartition("@")[2], []).append(address)
        for address in world.apps:
            node = address.rpartition("@")[2]
            near = [other for other in by_node[node] if other != address]
            far = [other for name in world.neighbours[node] for other in by_node.get(name, [])]
            self._circle[address] = (near[:2] + far) or near

    async def live(self, app: App) -> None:
        """One user, until cancelled."""
        chance = self._world.plan.rng(f"user {app.profile.address}")
        always_on = chance.random() < self._world.plan.online
        day_s = 86_400.0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write, app, chance, day_s / self._world.plan.messages_a_day)
            while trio.current_time() < self._until:
                length_s = self._until if always_on else chance.expovariate(1 / _SESSION_S)
                if chance.random() < 0.3:
                    self._keys(app, chance)
                await app.stay(min(self._until, trio.current_time() + length_s))
                if not always_on:
                    await self._sleep(chance.expovariate(1 / _BETWEEN_S))
        await self._finish(app)

    async def _finish(self, app: App) -> None:
        """The faults are over: be there whenever there is something to be told or to be sent."""
        while True:
            if self._world.is_waiting(app):
                await app.stay(trio.current_time() + _LAST_SESSION_S)
            await trio.sleep(_LAST_SESSION_S)

    async def _sleep(self, seconds: float) -> None:
        await trio.sleep(max(0.0, min(seconds, self._until - trio.current_time())))

    async def _write(self, app: App, chance: random.Random, every_s: float) -> None:
        circle = self._circle[app.profile.address]
        while True:
            await self._sleep(chance.expovariate(1 / every_s))
            if trio.current_time() >= self._until:
                return
            count = _BURST if chance.random() < 0.02 else 1
            for _ in range(count):
                self._write_one(app, chance, circle)

    def _write_one(self, app: App, chance: random.Random, circle: list[str]) -> None:
        dice = chance.random()
        to = chance.choice(circle) if circle else f"nobody@{app.node}"
        if dice < 0.02:
            to = f"nobody@{to.rpartition('@')[2]}"
        elif dice < 0.03:
            to = "somebody@nowhere.local"
        body = chance.randbytes(chance.choice((32, 256, 256, 1024)))
        if chance.random() < 0.15:
            app.write(to, body, expires_s=chance.choice(_SHORT_LIVES_S))
        else:
            app.write(to, body)

    def _keys(self, app: App, chance: random.Random) -> None:
        """Publish keys, ask for somebody's, and ask again what has been answered: it must be the same."""
        profile, circle = app.profile, self._circle[app.profile.address]
        if not profile.published or chance.random() < 0.1:
            app.publish()
        if circle and chance.random() < 0.5:
            app.claim(chance.choice(circle))
        for request in list(profile.answers)[-3:]:
            if chance.random() < 0.5:
                app.repeat_claim(request)
