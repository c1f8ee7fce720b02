"""The box: its nodes, the fronts before them, and its users."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

import trio

from waypost.errors import Code, Refused
from waypost.protocol.operator import AddUser, GetStatus
from waypost_lab.box import owners
from waypost_lab.box.disks import BoxDisk
from waypost_lab.box.home import Home, save_users
from waypost_lab.box.owners import Owners
from waypost_lab.box.plan import LabPlan, PlannedNode, find
from waypost_lab.box.process import NodeProcess
from waypost_lab.box.proxy import LOOPBACK, Front, Ways
from waypost_lab.driver import Account, join
from waypost_lab.faults.box import BoxFaults
from waypost_lab.faults.noted import Note
from waypost_lab.faults.words import Cut, Fault, FreeDisk, FullDisk, Heal, Kill, Loss, Mend, Slow, Start, Stop
from waypost_lab.timeline import AnyEvent, NodeState

#: Starting is work for the processor alone.
_STARTS_AT_ONCE: Final = max(2, os.cpu_count() or 2) + 1
_JOINS_AT_ONCE: Final = 8
_LOOK_EVERY_S: Final = 0.25

Progress = Callable[[str], None]


class State(Enum):
    """Of a node, as the lab wants it."""

    DOWN = "down"
    STARTING = "starting"
    UP = "up"


@dataclass
class Member:
    """One node of the box."""

    planned: PlannedNode
    process: NodeProcess
    front: Front
    state: State = State.DOWN
    busy: trio.Lock = field(default_factory=trio.Lock)

    @property
    def name(self) -> str:
        return self.planned.name

    @property
    def has_died(self) -> bool:
        """It has ended by itself."""
        return self.state is State.UP and not self.process.is_running


class Box:
    """Made by `opened`. Names of nodes are taken with or without `.local`."""

    def __init__(self, plan: LabPlan, home: Home, seed: int, note: Note) -> None:
        owners.check()
        self.plan = plan
        self.home = home
        self.began = trio.current_time()
        self.accounts: list[Account] = []
        self.disks: dict[str, BoxDisk] = {}  #: those that can be full, by node
        self._note = note
        self.network = Ways(self._target, Owners(self._pids), random.Random(seed))
        self.members = {node.name: self._member(node) for node in plan.nodes}
        self.faults = BoxFaults(self.network, plan.names, lambda: self.now, note)
        for source, to, way in plan.ways:
            self.faults.apply(source, to, way)

    def _member(self, node: PlannedNode) -> Member:
        process = NodeProcess(node.name, self.home.state(node.name).path)
        return Member(node, process, Front(self.network, node.name))

    def _target(self, name: str) -> int | None:
        return self.members[name].process.listening

    def _pids(self) -> dict[int, str]:
        return {pid: name for name, member in self.members.items() if (pid := member.process.pid) is not None}

    @property
    def now(self) -> float:
        """Seconds since the box was opened."""
        return trio.current_time() - self.began

    def find(self, given: str) -> Member:
        """Raises LocalError(BAD_REQUEST)."""
        return self.members[find(self.plan.names, given)]

    def note(self, event: AnyEvent) -> None:
        """Write it down."""
        self._note(event)

    async def do(self, fault: Fault) -> None:
        """A fault, or the end of one. Raises Refused(UNSUPPORTED) for what processes do not have."""
        match fault:
            case Kill(node):
                await self.kill(node)
            case Stop(node):
                await self.stop(node)
            case Start(node):
                await self.start(node)
            case Cut() | Mend() | Slow() | Loss():
                self.faults.do(fault)
            case Heal():
                self.faults.heal(fault)
            case FullDisk(node) if node in self.disks:
                await self.disks[node].fill()
            case FreeDisk(node) if node in self.disks:
                await self.disks[node].free()
            case _:
                raise Refused(Code.UNSUPPORTED, f"a box cannot do {fault}")

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def start_all(self, progress: Progress = lambda _: None) -> None:
        """Those that the plan wants to run. Raises LocalError(NOT_RUNNING)."""
        places = trio.CapacityLimiter(_STARTS_AT_ONCE)
        wanted = [member for member in self.members.values() if member.planned.runs]
        begun = 0

        async def start(member: Member) -> None:
            nonlocal begun
            async with places:
                await self.start(member.name)
            begun += 1
            progress(f"{begun} of {len(wanted)} nodes run")

        async with trio.open_nursery() as nursery:
            for member in wanted:
                nursery.start_soon(start, member)

    async def start(self, name: str) -> None:
        """Raises LocalError(NOT_RUNNING), Refused(BAD_REQUEST) if it runs already."""
        member = self.find(name)
        async with member.busy:
            if member.process.is_running:
                raise Refused(Code.BAD_REQUEST, f"{member.name} runs already")
            member.state = State.STARTING
            try:
                await member.process.start(self.config(member))
                member.state = State.UP
            finally:
                if member.state is not State.UP:
                    member.state = State.DOWN
            self._note(NodeState(t=self.now, node=member.name, state="up"))

    async def stop(self, name: str) -> None:
        """In good order. Raises Refused(BAD_REQUEST) if it does not run."""
        member = self.find(name)
        await self._end(member, member.process.stop)

    async def kill(self, name: str) -> None:
        """As a crash would. Raises Refused(BAD_REQUEST) if it does not run."""
        member = self.find(name)
        await self._end(member, member.process.kill)

    async def _end(self, member: Member, how: Callable[[], Awaitable[None]]) -> None:
        async with member.busy:
            if not member.process.is_running:
                raise Refused(Code.BAD_REQUEST, f"{member.name} does not run")
            member.state = State.DOWN
            self._note(NodeState(t=self.now, node=member.name, state="down"))
            await how()

    def reconfigure(self, name: str, config: str) -> None:
        """What its configuration says besides addresses and peers, from its next start on."""
        member = self.find(name)
        member.planned = replace(member.planned, config=config)

    def config(self, member: Member) -> str:
        """Its waypost.toml. What it listens at is known to its front alone."""
        lines = [
            f'name = "{member.name}"',
            f'listen = ["{LOOPBACK}:0"]',
            f'announce = ["{LOOPBACK}:{member.front.port}"]',
            member.planned.config,
            "[mdns]\nenabled = false",
        ]
        others = (other for other in self.members.values() if other is not member)
        lines += [f'[[peers]]\nprovider = "{each.name}"\nendpoint = "{LOOPBACK}:{each.front.port}"' for each in others]
        return "\n".join(lines) + "\n"

    async def close(self) -> None:
        """Stop all nodes, however long it takes."""
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                for member in self.members.values():
                    member.state = State.DOWN
                    nursery.start_soon(member.process.stop)

    # ── meeting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def introduced(self, within_s: float, progress: Progress = lambda _: None) -> list[tuple[str, str]]:
        """Wait until all that can be linked are; returns the pairs that are not, after that long."""
        missing: list[tuple[str, str]] = []
        with trio.move_on_after(within_s):
            while True:
                missing = await self._missing()
                if not missing:
                    break
                progress(f"{len(missing)} links to come")
                await trio.sleep(_LOOK_EVERY_S)
        return missing

    async def _missing(self) -> list[tuple[str, str]]:
        linked: set[tuple[str, str]] = set()
        running = [member for member in self.members.values() if member.process.is_running]
        for member in running:
            status = await member.process.ask(GetStatus())
            linked |= {(member.name, peer.provider) for peer in status.peers if peer.linked}
        names = sorted(member.name for member in running)
        cut = {frozenset(pair) for pair, way in self.network.faults().items() if way.cut}
        pairs = ((a, b) for a in names for b in names if a < b and frozenset((a, b)) not in cut)
        return [(a, b) for a, b in pairs if (a, b) not in linked or (b, a) not in linked]

    async def join_users(self, progress: Progress = lambda _: None) -> None:
        """Each user of the plan joins the node, which must run, by an invite and with a key of their own."""
        places = trio.CapacityLimiter(_JOINS_AT_ONCE)
        wanted = [(member, user) for member in self.members.values() for user in member.planned.users]

        async def enter(member: Member, user: str) -> None:
            async with places:
                invite = (await member.process.ask(AddUser(user))).invite
                self.accounts.append(await join(invite, os.urandom(32)))
                progress(f"{len(self.accounts)} of {len(wanted)} users have joined")

        async with trio.open_nursery() as nursery:
            for member, user in wanted:
                if member.process.is_running:
                    nursery.start_soon(enter, member, user)
        self.accounts.sort(key=lambda account: account.address)
        save_users(self.home, self.accounts)


@asynccontextmanager
async def opened(plan: LabPlan, home: Home, seed: int = 0, note: Note = lambda _: None) -> AsyncIterator[Box]:
    """The fronts are served while the block runs; at its end all nodes are stopped. Nothing is started yet.

    Raises LocalError(UNSUPPORTED) on a system where the nodes' connections cannot be told apart.
    """
    box = Box(plan, home, seed, note)
    async with trio.open_nursery() as nursery:
        for member in box.members.values():
            nursery.start_soon(member.front.serve)
        try:
            yield box
        finally:
            await box.close()
            nursery.cancel_scope.cancel()
            for member in box.members.values():
                member.front.close()
