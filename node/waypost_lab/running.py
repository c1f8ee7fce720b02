"""Programs of users in the lab: the SDK's client, or the light app, each in a task of its own until it is ended."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import trio

from waypost.client import Client, Parts, connect, join
from waypost_lab.app import App
from waypost_lab.clock import LabClock
from waypost_lab.fabric import Fabric
from waypost_lab.profile import Profile, new_profile

T = TypeVar("T")


async def inline(work: Callable[[], T]) -> T:
    """At once: in virtual time a worker thread would let the clock run on."""
    await trio.lowlevel.checkpoint()
    return work()


@dataclass(frozen=True)
class Surroundings:
    """What all programs of a network share."""

    fabric: Fabric
    rng: random.Random
    directory: Path  #: of the SDK's profiles
    nursery: trio.Nursery


@dataclass(eq=False)
class User:
    """One user with one device: the SDK's, whose profile is a directory, or a light one. Never both."""

    address: str
    around: Surroundings
    clock: LabClock = field(default_factory=LabClock)
    profiles: int = 1  #: the number of the present one; earlier ones are of no more use
    client: Client | None = None  #: while it runs
    app: App | None = None
    joined: bool = False
    _light: Profile | None = None
    _leaving: trio.Event = field(default_factory=trio.Event)
    _scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    _ended: trio.Event = field(default_factory=trio.Event)

    @property
    def is_running(self) -> bool:
        return self.client is not None or self.app is not None

    @property
    def is_light(self) -> bool:
        return self._light is not None

    @property
    def profile(self) -> Path:
        """The directory of the SDK's profile."""
        return self.around.directory / (self.address if self.profiles == 1 else f"{self.address}-{self.profiles}")

    @property
    def parts(self) -> Parts:
        """What the SDK gets here in place of the machine's network, clock and threads."""
        dial = self.around.fabric.network(self.address).dial
        return Parts(lambda *_: dial, self.clock.wall_ms, self.around.rng.randbytes, inline)

    async def run_client(self, invite: str) -> Client:
        """Join if that was not done yet, and start the client. Raises what `join` and `connect` raise."""
        if not self.joined:
            await join(invite, self.profile, parts=self.parts)
            self.joined = True
        return await self.around.nursery.start(self._run_client)  # type: ignore[no-any-return] # trio says Any

    async def run_app(self, invite: str) -> App:
        """The same for a light one, whose profile is in memory. Raises WaypostError."""
        light = self._light = self._light or new_profile(self.address)
        app = App(light, self.around.fabric.network(self.address), self.clock, self.around.rng)
        if not self.joined:
            await app.join(invite)
            self.joined = True
        await self.around.nursery.start(self._run_app, app)
        return app

    async def close(self) -> None:
        """End it in good order."""
        if self.is_running:
            self._leaving.set()
            await self._ended.wait()

    async def kill(self) -> None:
        """As if its process had died."""
        if self.is_running:
            self._scope.cancel()
            await self._ended.wait()

    async def _run_client(self, *, task_status: trio.TaskStatus[Client]) -> None:
        self._begin()
        try:
            with self._scope:
                async with connect(self.profile, parts=self.parts) as self.client:
                    task_status.started(self.client)
                    await self._leaving.wait()
        finally:
            self.client = None
            self._ended.set()

    async def _run_app(self, app: App, *, task_status: trio.TaskStatus[None]) -> None:
        self._begin()
        self.app = app
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(app.stay)
                    task_status.started()
                    await self._leaving.wait()
                    app.leave()
                    with trio.move_on_after(1):
                        await app.until(lambda: not app.connected)
                    nursery.cancel_scope.cancel()
        finally:
            self.app = None
            self._ended.set()

    def _begin(self) -> None:
        self._leaving, self._scope, self._ended = trio.Event(), trio.CancelScope(), trio.Event()
