"""Faults at random on a whole network: each kind in turn, somewhere, for a while. Everything is decided by the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import trio
from scripts.support.chaos.disks import Disk

from waypost_lab.box.box import Box

Say = Callable[[str], None]

#: Each comes once before any comes again.
_KINDS: Final = ("kill", "kill", "stop", "cut", "cut one way", "disk full", "slow", "loss")
#: A fault lasts so long at the most, so that links also die of silence (a minute).
_LASTS_MAX_S: Final = 90.0
#: And this part of the run, so that a short run sees each kind too.
_LASTS_PART: Final = 0.15
_GAP_MIN_S: Final = 0.2
_GAP_MAX_S: Final = 3.0
_GAP_PART: Final = 0.07
_WATCH_S: Final = 0.5


@dataclass
class Storm:
    """Runs on an open box. `counts`: faults so far, by kind; `died`: nodes that ended by themselves."""

    box: Box
    disks: dict[str, Disk]
    rng: random.Random
    say: Say
    counts: Counter[str] = field(default_factory=Counter)
    died: list[str] = field(default_factory=list)
    _busy_nodes: set[str] = field(default_factory=set)
    _busy_pairs: set[tuple[str, str]] = field(default_factory=set)
    _bag: list[str] = field(default_factory=list)
    _lasts_s: float = 0.0

    async def rage(self, seconds: float) -> None:
        """For so long; returns when all faults are mended and all nodes run."""
        self._lasts_s = min(_LASTS_MAX_S, seconds * _LASTS_PART)
        gap_max_s = max(_GAP_MIN_S, min(_GAP_MAX_S, seconds * _GAP_PART))
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(seconds):
                while True:
                    await trio.sleep(self.rng.uniform(_GAP_MIN_S, gap_max_s))
                    self._one_more(nursery)
            # What has begun is mended in its time, but not much later than the end.
            nursery.cancel_scope.deadline = trio.current_time() + _LASTS_MAX_S + 60

    async def watch(self) -> None:
        """Note nodes that end by themselves, and start them again; until cancelled."""
        while True:
            await trio.sleep(_WATCH_S)
            for member in self.box.members.values():
                if member.has_died:
                    self.died.append(f"{member.name} ({member.process.exit_code}): {member.process.last_words()}")
                    self.say(f"DIED: {self.died[-1]}")
                    await self.box.start(member.name)

    def _one_more(self, nursery: trio.Nursery) -> None:
        if not self._bag:
            self._bag = list(_KINDS)
            self.rng.shuffle(self._bag)
        kind = self._bag.pop()
        lasts_s = self.rng.uniform(0.1, 1.0) * self._lasts_s
        if kind in ("kill", "stop", "disk full"):
            self._to_a_node(nursery, kind, lasts_s)
        else:
            self._to_a_link(nursery, kind, lasts_s)

    # ── nodes ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _to_a_node(self, nursery: trio.Nursery, kind: str, lasts_s: float) -> None:
        candidates = self.disks if kind == "disk full" else self.box.members
        free = sorted(set(candidates) - self._busy_nodes)
        # Most of the network goes on.
        if not free or len(self._busy_nodes) * 2 >= len(self.box.members):
            self._bag.insert(0, kind)
            return
        node = self.rng.choice(free)
        self._busy_nodes.add(node)
        act = {"kill": self._killed, "stop": self._stopped, "disk full": self._full}[kind]
        nursery.start_soon(self._for_a_while, act, node, kind, lasts_s)

    async def _for_a_while(
        self, act: Callable[[str, float], Awaitable[None]], node: str, kind: str, lasts_s: float
    ) -> None:
        self.counts[kind] += 1
        self.say(f"{self.box.now:6.1f} s  {kind}: {node}, {lasts_s:.1f} s")
        number = self.box.faults.begin(kind.replace(" ", "-"), [node])
        await act(node, lasts_s)
        self.box.faults.over(number)
        self._busy_nodes.discard(node)

    async def _killed(self, node: str, lasts_s: float) -> None:
        await self.box.kill(node)
        await trio.sleep(lasts_s * self.rng.choice((0.0, 0.1, 1.0)))
        await self.box.start(node)

    async def _stopped(self, node: str, lasts_s: float) -> None:
        await self.box.stop(node)
        await trio.sleep(lasts_s)
        await self.box.start(node)

    async def _full(self, node: str, lasts_s: float) -> None:
        await self.disks[node].fill()
        await trio.sleep(lasts_s)
        await self.disks[node].free()

    # ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _to_a_link(self, nursery: trio.Nursery, kind: str, lasts_s: float) -> None:
        free = sorted(set(combinations(self.box.plan.names, 2)) - self._busy_pairs)
        if not free:
            self._bag.insert(0, kind)
            return
        pair = self.rng.choice(free)
        self._busy_pairs.add(pair)
        source, to = self.rng.sample(pair, 2)
        self.counts[kind] += 1
        self.say(f"{self.box.now:6.1f} s  {kind}: {source} → {to}, {lasts_s:.1f} s")
        match kind:
            case "cut":
                self.box.faults.cut(source, to)
            case "cut one way":
                self.box.faults.cut(source, to, one_way=True)
            case "slow":
                self.box.faults.slow(source, to, self.rng.uniform(0.02, 0.5), self.rng.uniform(0, 0.1))
            case _:
                self.box.faults.lose(source, to, self.rng.uniform(0.01, 0.2))
        nursery.start_soon(self._healed, pair, lasts_s)

    async def _healed(self, pair: tuple[str, str], lasts_s: float) -> None:
        await trio.sleep(lasts_s)
        self.box.faults.heal(*pair)
        self._busy_pairs.discard(pair)
