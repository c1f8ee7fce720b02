"""The network of a simulation: nodes, who knows whom, and the apps of their users."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import trio

from waypost.ids import Provider
from waypost.relay.settings import Quotas
from waypost_lab.app import App
from waypost_lab.clock import LabClock
from waypost_lab.fabric import Fabric
from waypost_lab.faults.fabric import FabricFaults
from waypost_lab.machine import Engine, Machine, Make
from waypost_lab.profile import key_of, new_profile
from waypost_lab.simulate.events import Events
from waypost_lab.simulate.health import Health
from waypost_lab.simulate.plan import Plan
from waypost_lab.simulate.promises import NodeObserver, Promises
from waypost_lab.timeline import NodeState

#: Small enough that some mailboxes fill in a storm.
_QUOTAS = Quotas(mailbox_envelopes=60, outbox_envelopes=400)


class World(FabricFaults):
    """See the module. `machines` by name, `apps` by address; those of a node that has left stay."""

    def __init__(self, plan: Plan, nursery: trio.Nursery, events: Events) -> None:
        super().__init__(Fabric(plan.rng("network")), lambda _event: None)  # `Storm` notes its faults
        self.plan = plan
        self.events = events
        self.promises = Promises(events)
        self.health = Health()
        self.apps: dict[str, App] = {}
        self.left: set[str] = set()  #: nodes that have left for good
        self.started: Callable[[Machine], None] = lambda _machine: None  #: told of each start but the first
        self._nursery = nursery
        self._clock = LabClock()
        names = [f"node-{number:03}.local" for number in range(plan.nodes)]
        self.neighbours = _circles(names, plan)
        for name in names:
            self._add(name)

    def _add(self, name: str) -> None:
        chance = self.plan.rng(f"node {name}")
        neighbours = tuple(Provider(other) for other in self.neighbours[name])
        engine = Engine.SQLITE if chance.random() < self.plan.sqlite else Engine.MEMORY
        make = Make(Provider(name), key_of(name), quotas=_QUOTAS, peers=neighbours, engine=engine)
        machine = self.machines[name] = Machine(make, self.fabric, chance, self._nursery)
        machine.observer = NodeObserver(name, self.promises)
        machine.log = partial(self.promises.logged, name)
        machine.stopped = partial(self.promises.stopped, name)

    async def build(self) -> None:
        """Start all nodes and join all users, who are spread evenly."""
        for machine in self.machines.values():
            await self.start(machine.name)
        names = list(self.machines)
        for number in range(self.plan.users):
            await self._join(f"user-{number:04}", self.machines[names[number % len(names)]])

    async def _join(self, user: str, machine: Machine) -> None:
        address = f"{user}@{machine.name}"
        app = App(new_profile(address), self.fabric.network(address), self._clock, self.plan.rng(f"app {address}"))
        app.tell = self.promises.told
        await app.join(await machine.relay.add_user(user))
        self.apps[address] = app

    async def start(self, name: str) -> None:
        """Unless it has left."""
        machine = self.machines[name]
        if name in self.left or machine.is_up:
            return
        await machine.start()
        self._tell_state(name, "up")
        self.started(machine)

    async def stop(self, name: str) -> None:
        self._tell_state(name, "down")
        await self.machines[name].stop()

    async def leave(self, name: str) -> None:
        await self.machines[name].leave()
        self._tell_state(name, "gone")

    def _clock_of(self, user: str) -> LabClock:
        return self._clock

    def is_waiting(self, app: App) -> bool:
        """Whether there is something that it has to send or to be told; not if its node has left."""
        if app.node in self.left:
            return False
        profile, disk = app.profile, self.machines[app.node].disk
        if profile.unsent or disk.waiting_for(profile.key.public):
            return True
        return any(not self._is_settled(id_, app) for id_ in profile.accepted)

    def _is_settled(self, id_: bytes, app: App) -> bool:
        letter = self.promises.by_id[id_]
        return id_ in app.profile.fates or letter.recipient.rpartition("@")[2] in self.left

    def _tell_state(self, node: str, state: str) -> None:
        """A node is up, down or gone."""
        self.events.add("node", node, state)
        self.events.record(NodeState(t=trio.current_time(), node=node, state=state))

    def ways(self) -> list[tuple[str, str]]:
        """Each pair of neighbours, once."""
        return [(one, other) for one in self.neighbours for other in self.neighbours[one] if one < other]


def _circles(names: list[str], plan: Plan) -> dict[str, list[str]]:
    """Who writes to whom: a ring, so that all hang together, and chords by chance."""
    chance = plan.rng("circles")
    known: dict[str, set[str]] = {name: set() for name in names}
    chords = max(0, round(len(names) * plan.neighbours / 2) - len(names))
    pairs = [(name, names[(number + 1) % len(names)]) for number, name in enumerate(names)]
    if len(names) > 3:
        pairs += [tuple(chance.sample(names, 2)) for _ in range(chords)]  # type: ignore[misc] # two of them
    for one, other in pairs:
        if one != other:
            known[one].add(other)
            known[other].add(one)
    return {name: sorted(others) for name, others in known.items()}
