"""What a simulation is to play. A plan is all that decides a run: equal plans, equal runs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The kinds of fault, each with its own stream of chance, so that leaving one out does not change the others."""

    CRASH = "crash"  #: kill -9 of a node
    POWER = "power"  #: a machine loses its power: connections stay half-open
    STOP = "stop"  #: a node stops in good order
    CUT = "cut"  #: two nodes cannot reach each other
    ONE_WAY = "one-way"  #: one of two cannot reach the other
    SLOW = "slow"  #: latency and jitter between two nodes
    LOSS = "loss"  #: segments are lost between two nodes
    DISK_FULL = "disk-full"
    DISK_SLOW = "disk-slow"
    SKEW = "skew"  #: a node's clock is wrong
    APP_CUT = "app-cut"  #: an app's network goes away without a word
    LEAVE = "leave"  #: a node leaves for good, with a tombstone


#: Of a single target, on the average: times a day.
STORM: Final[dict[Kind, float]] = {
    Kind.CRASH: 3.0,
    Kind.POWER: 1.0,
    Kind.STOP: 1.0,
    Kind.CUT: 1.5,
    Kind.ONE_WAY: 1.0,
    Kind.SLOW: 1.0,
    Kind.LOSS: 1.0,
    Kind.DISK_FULL: 1.0,
    Kind.DISK_SLOW: 1.0,
    Kind.SKEW: 0.5,
    Kind.APP_CUT: 1.0,
    Kind.LEAVE: 0.02,
}
WEATHERS: Final[dict[str, dict[Kind, float]]] = {
    "none": {},
    "rain": {kind: rate / 5 for kind, rate in STORM.items() if kind is not Kind.LEAVE},
    "storm": STORM,
}


@dataclass(frozen=True)
class Plan:
    """`faults` names a weather; `without` leaves kinds out. Times are virtual."""

    nodes: int = 10
    users: int = 50
    hours: float = 6.0
    seed: int = 1
    faults: str = "storm"
    without: frozenset[Kind] = frozenset()
    messages_a_day: float = 12.0  #: of each user
    neighbours: float = 2.4  #: nodes that each node's users write to, on the average
    squeeze: float = 1.0  #: how much more often faults come than the weather says; for short runs
    online: float = 0.03  #: share of users whose app never closes; between two of them a message must be prompt
    sqlite: float = 0.0  #: share of nodes whose store is SQLite, as it ships; the others' is in memory

    def rng(self, purpose: str) -> random.Random:
        """A stream of chance for one purpose, which no other purpose disturbs."""
        return random.Random(f"{self.seed} {purpose}")

    def command(self) -> str:
        """What to type for it."""
        given = (
            ("nodes", self.nodes),
            ("users", self.users),
            ("hours", f"{self.hours:g}"),
            ("seed", self.seed),
            ("faults", self.faults),
            ("messages", f"{self.messages_a_day:g}"),
            ("squeeze", f"{self.squeeze:g}"),
            ("neighbours", f"{self.neighbours:g}"),
            ("online", f"{self.online:g}"),
            ("sqlite", f"{self.sqlite:g}"),
            *(("without", kind) for kind in sorted(self.without)),
        )
        return "waypost lab simulate " + " ".join(f"--{name} {value}" for name, value in given)

    def rates(self) -> dict[Kind, float]:
        """Faults a day, by kind, of each target."""
        weather = WEATHERS[self.faults]
        return {kind: rate * self.squeeze for kind, rate in weather.items() if kind not in self.without}


def piece(seed: int) -> Plan:
    """A plan that takes seconds, of which each seed is another: a few nodes in a storm, harder than any real one."""
    chance = random.Random(f"size {seed}")
    nodes = chance.choice((2, 3, 3, 4, 5, 7))
    return Plan(
        nodes=nodes,
        users=nodes * chance.choice((2, 4, 6)),
        hours=chance.choice((2.0, 3.0, 5.0)),
        seed=seed,
        messages_a_day=chance.choice((30.0, 80.0, 160.0)),
        neighbours=min(nodes - 1, 4),
        squeeze=chance.choice((2.0, 5.0, 10.0)),
        sqlite=chance.choice((0.0, 0.5, 1.0)),
        online=chance.choice((0.03, 0.4, 1.0)),
    )
