"""What can go wrong in a network of the lab, in virtual time: the faults as methods, or as values for `do`."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import trio

from waypost.crypto.keys import SigningKey
from waypost.errors import Code, LocalError
from waypost.protocol.directory.trust import PeerPolicy
from waypost_lab.clock import LabClock
from waypost_lab.durable import COMMIT_S, Disk
from waypost_lab.fabric import Fabric
from waypost_lab.faults import words
from waypost_lab.faults.noted import Note, Noted
from waypost_lab.machine import Machine
from waypost_lab.names import full_name, full_node
from waypost_lab.path import Path
from waypost_lab.profile import key_of
from waypost_lab.timeline import NodeState
from waypost_lab.ways import CLEAR


class FabricFaults(ABC):
    """Paths are named by their ends: nodes (`birdy`) or users (`alice@birdy`, whose app is a machine of its own).

    Every fault lasts until it is taken back. A name that is not there is a LocalError(BAD_CONFIG).
    """

    def __init__(self, fabric: Fabric, note: Note) -> None:
        self.fabric = fabric
        self.machines: dict[str, Machine] = {}
        self._note = note
        self._noted = Noted(trio.current_time, note)
        self._backups: dict[str, Callable[[], None]] = {}  #: what restores them
        self._keys = itertools.count(2)

    @abstractmethod
    def _clock_of(self, user: str) -> LabClock:
        """The clock of the machine that a user's app runs on."""

    @abstractmethod
    async def start(self, name: str) -> None: ...

    @abstractmethod
    async def stop(self, name: str) -> None: ...

    @abstractmethod
    async def leave(self, name: str) -> None: ...

    def machine(self, name: str) -> Machine:
        """The node itself: its relay, disk, clock and log. Raises LocalError(BAD_CONFIG)."""
        machine = self.machines.get(full_node(name))
        if machine is None:
            there = ", ".join(self.machines) or "none"
            raise LocalError(Code.BAD_CONFIG, f"there is no node {name!r}; there are: {there}")
        return machine

    # ── paths ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def cut(self, one: str, other: str, *, one_way: bool = False) -> None:
        """What is sent from now on disappears: from the first to the second, and back unless `one_way`."""
        for source, target, path in self._ways(one, other, one_way=one_way):
            path.cut()
            self._noted.begin("cut", (source, target))

    def heal(self, one: str = "", other: str = "") -> None:
        """Paths are open and perfect again, both ways: those between two, or all."""
        for source, target, path in self._ways(one, other) if one else self.fabric.paths():
            path.way = CLEAR
            path.mend()
            self._noted.end([(source, target)])

    def mend(self, source: str, target: str) -> None:
        """What the first sends arrives at the second again; nothing changes on the way back."""
        for one, other, path in self._ways(source, target, one_way=True):
            path.mend()
            self._noted.end([(one, other)], "cut")

    def slow(self, one: str, other: str, seconds: float, jitter_s: float = 0.0) -> None:
        """Everything takes that long one way, and up to `jitter_s` more."""
        self._worsen("slow", one, other, f"{seconds:g} s", latency_s=seconds, jitter_s=jitter_s)

    def loss(self, one: str, other: str, share: float) -> None:
        """That share of the segments (0 to 1) must be sent again."""
        if not 0 <= share <= 1:
            raise LocalError(Code.BAD_CONFIG, f"a share lies between 0 and 1, not at {share:g}")
        self._worsen("loss", one, other, f"{share:.0%}", loss=share)

    def _worsen(self, name: str, one: str, other: str, detail: str, **change: Any) -> None:
        for source, target, path in self._ways(one, other):
            way = replace(path.way, **change)
            path.way = CLEAR if way.is_clear else way
            if any(change.values()):
                self._noted.begin(name, (source, target), detail)
            else:
                self._noted.end([(source, target)], name)

    def _ways(self, one: str, other: str, *, one_way: bool = False) -> list[tuple[str, str, Path]]:
        ends = [full_name(one), full_name(other)]
        for end in ends:
            self.machine(end.rpartition("@")[2])
        ways = [(ends[0], ends[1])] if one_way else [(ends[0], ends[1]), (ends[1], ends[0])]
        return [(source, target, self.fabric.path(source, target)) for source, target in ways]

    # ── machines ────────────────────────────────────────────────────────────────────────────────────────────────────

    def crash(self, name: str) -> None:
        """As `kill -9`: what was not committed is gone, and the kernel closes the connections."""
        machine = self.machine(name)
        machine.crash()
        self._tell_state(machine.name, "down")

    def lose_power(self, name: str) -> None:
        """As `crash`, and nobody is told: connections stay half-open on the other side."""
        machine = self.machine(name)
        machine.lose_power()
        self._tell_state(machine.name, "down")

    def skew(self, name: str, *, minutes: float = 0.0, seconds: float = 0.0) -> None:
        """How far the clock of a node, or of a user's machine, is ahead; negative: behind. 0: it is right."""
        skew_s = 60 * minutes + seconds
        whole = full_name(name)
        clock = self._clock_of(whole) if "@" in whole else self.machine(whole).clock
        clock.skew_ms = round(1000 * skew_s)
        self._change("skew", whole, f"{skew_s:+g} s" if skew_s else "")

    def lose_key(self, name: str) -> None:
        """While the node is down: its key is gone, and it comes back with a new one."""
        machine = self._stopped(name)
        seed = key_of(f"key {next(self._keys)} of {machine.name}")
        machine.make = replace(machine.make, key=seed)
        self._noted.begin("lost-key", [machine.name])

    def key_of(self, name: str) -> SigningKey:
        """The node's own."""
        return self.machine(name).make.key

    def pin(self, name: str, peer: str) -> None:
        """The operator of the first node accepts the key that the second has now."""
        self._running(name).relay.peers.set_policy(full_node(peer), PeerPolicy.NONE, self.key_of(peer).public)

    # ── disks ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def fill_disk(self, name: str) -> None:
        """There is no room for more than it holds now."""
        machine = self.machine(name)
        machine.disk.fill()
        self._noted.begin("disk-full", [machine.name])

    def free_disk(self, name: str) -> None:
        machine = self.machine(name)
        machine.disk.free()
        self._noted.end([(machine.name,)], "disk-full")

    def slow_disk(self, name: str, commit_s: float = COMMIT_S) -> None:
        """How long a commit takes from now on; without a number, as long as on a good disk."""
        machine = self.machine(name)
        machine.disk.commit_s = commit_s
        self._change("slow-disk", machine.name, f"{commit_s:g} s" if commit_s > COMMIT_S else "")

    def backup(self, name: str) -> None:
        """As `waypost backup`; the last one counts."""
        machine = self.machine(name)
        disk = machine.disk
        if isinstance(disk, Disk):
            self._backups[machine.name] = partial(disk.restore, disk.backup())
        else:
            self._backups[machine.name] = partial(disk.restore, disk.backup())

    def restore(self, name: str) -> None:
        """As `waypost restore`, while the node is down: the state of its backup, under a new epoch."""
        machine = self._stopped(name)
        if machine.name not in self._backups:
            raise LocalError(Code.BAD_CONFIG, f"{name} has no backup: call backup first")
        self._backups[machine.name]()

    # ── the inside ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _running(self, name: str) -> Machine:
        machine = self.machine(name)
        if not machine.is_up:
            raise LocalError(Code.NOT_RUNNING, f"{name} is down")
        return machine

    def _stopped(self, name: str) -> Machine:
        machine = self.machine(name)
        if machine.is_up:
            raise LocalError(Code.STATE_IN_USE, f"{name} is up: stop or crash it first")
        return machine

    def _tell_state(self, node: str, state: str) -> None:
        self._note(NodeState(t=trio.current_time(), node=node, state=state))

    def _change(self, name: str, place: str, detail: str) -> None:
        """It is so now, or no more if there is nothing to say of it."""
        if detail:
            self._noted.begin(name, [place], detail)
        else:
            self._noted.end([(place,)], name)


_AT_ONCE = {
    words.Kill: FabricFaults.crash,
    words.PowerLoss: FabricFaults.lose_power,
    words.FullDisk: FabricFaults.fill_disk,
    words.FreeDisk: FabricFaults.free_disk,
    words.LoseKey: FabricFaults.lose_key,
    words.Backup: FabricFaults.backup,
    words.Restore: FabricFaults.restore,
}


async def do(network: FabricFaults, fault: words.Fault) -> None:
    """A fault, or the end of one."""
    match fault:
        case words.Start(node) | words.Stop(node) | words.Leave(node):
            doing = {words.Start: network.start, words.Stop: network.stop, words.Leave: network.leave}
            await doing[type(fault)](node)
        case words.Cut(a, b, one_way):
            network.cut(a, b, one_way=one_way)
        case words.Mend(a, b, one_way):
            for source, to in [(a, b)] if one_way else [(a, b), (b, a)]:
                network.mend(source, to)
        case words.Slow(a, b, latency_s, jitter_s):
            network.slow(a, b, latency_s, jitter_s)
        case words.Loss(a, b, share):
            network.loss(a, b, share)
        case words.Heal(a, b):
            network.heal(a, b)
        case words.SlowDisk(node, commit_s):
            network.slow_disk(node, max(commit_s, COMMIT_S))
        case words.Skew(who, seconds):
            network.skew(who, seconds=seconds)
        case _:
            _AT_ONCE[type(fault)](network, fault.node)
