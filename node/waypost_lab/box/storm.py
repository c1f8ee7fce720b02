"""Faults at random on a whole box: each kind in turn, somewhere, for a while. Everything is decided by the seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations
from typing import Final

import trio

from waypost_lab.box.box import Box
from waypost_lab.faults.words import Cut, Fault, FullDisk, Heal, Kill, Loss, Slow, Stop, undo

Say = Callable[[str], None]

#: Each comes once before any comes again.
_KINDS: Final = ("kill", "kill", "stop", "cut", "cut one way", "disk full", "slow", "loss")
_ON_NODES: Final[dict[str, Callable[[str], Fault]]] = {"kill": Kill, "stop": Stop, "disk full": FullDisk}
#: A fault lasts so long at the most, so that links also die of silence (a minute).
_LASTS_MAX_S: Final = 90.0
#: And this part of the run, so that a short run sees each kind too.
_LASTS_PART: Final = 0.15
_GAP_MIN_S: Final = 0.2
_GAP_MAX_S: Final = 3.0
_GAP_PART: Final = 0.07
_WATCH_S: Final = 0.5


@dataclass
class BoxStorm:
    """Runs on an open box. `counts`: faults so far, by kind; `died`: nodes that ended by themselves."""

    box: Box
    rng: random.Random
    say: Say
    counts: Counter[str] = field(default_factory=Counter)
    died: list[str] = field(default_factory=list)
    _busy: set[str | tuple[str, str]] = field(default_factory=set)
    _bag: list[str] = field(default_factory=list)

    async def rage(self, seconds: float) -> None:
        """For so long; returns when all faults are mended and all nodes run."""
        lasts_s = min(_LASTS_MAX_S, seconds * _LASTS_PART)
        gap_max_s = max(_GAP_MIN_S, min(_GAP_MAX_S, seconds * _GAP_PART))
        async with trio.open_nursery() as nursery:
            with trio.move_on_after(seconds):
                while True:
                    await trio.sleep(self.rng.uniform(_GAP_MIN_S, gap_max_s))
                    self._one_more(nursery, lasts_s)
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

    def _one_more(self, nursery: trio.Nursery, lasts_s: float) -> None:
        if not self._bag:
            self._bag = list(_KINDS)
            self.rng.shuffle(self._bag)
        kind = self._bag.pop()
        lasts_s *= self.rng.uniform(0.1, 1.0)
        on_node = kind in _ON_NODES
        places: list[str | tuple[str, str]] = [*combinations(self.box.plan.names, 2)]
        if on_node:
            places = [*(self.box.disks if kind == "disk full" else self.box.members)]
        free = sorted(set(places) - self._busy, key=str)
        down = sum(isinstance(place, str) for place in self._busy)
        # Most of the network goes on.
        if not free or (on_node and down * 2 >= len(self.box.members)):
            self._bag.insert(0, kind)
            return
        place = self.rng.choice(free)
        self._busy.add(place)
        fault = _ON_NODES[kind](place) if isinstance(place, str) else self._on_way(kind, place)
        self.counts[kind] += 1
        where = place if isinstance(place, str) else " → ".join(place)
        self.say(f"{self.box.now:6.1f} s  {kind}: {where}, {lasts_s:.1f} s")
        nursery.start_soon(self._for_a_while, fault, place, kind, lasts_s)

    def _on_way(self, kind: str, pair: tuple[str, str]) -> Fault:
        source, to = self.rng.sample(pair, 2)
        match kind:
            case "slow":
                return Slow(source, to, self.rng.uniform(0.02, 0.5), self.rng.uniform(0, 0.1))
            case "loss":
                return Loss(source, to, self.rng.uniform(0.01, 0.2))
            case _:
                return Cut(source, to, one_way=kind == "cut one way")

    async def _for_a_while(self, fault: Fault, place: str | tuple[str, str], kind: str, lasts_s: float) -> None:
        if isinstance(place, str):
            number = self.box.faults.begin(kind.replace(" ", "-"), [place])
            await self.box.do(fault)
            # Many are killed and started again at once.
            await trio.sleep(lasts_s * self.rng.choice((0.0, 0.1, 1.0)) if kind == "kill" else lasts_s)
            await self.box.do(undo(fault))
            self.box.faults.over(number)
        else:
            await self.box.do(fault)
            await trio.sleep(lasts_s)
            await self.box.do(Heal(*place))
        self._busy.discard(place)
