"""Nodes and links: when they were up, and how often they were not.

What ends at the very end of a run ends because the run is taken down, and counts as up.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from waypost_lab.report.grid import Grid, Level, Tally
from waypost_lab.report.model import Fate
from waypost_lab.timeline import LinkState, NodeState

_KNOWN = 5_000  #: nodes, and
_PAIRS = 20_000  #: pairs of them, of which the state is kept


def ends_with(grid: Grid, t: float) -> bool:
    """Whether that is the run's last second, or the last thousandth of a shorter one."""
    return t >= grid.end_s - min(1.0, grid.end_s / 1_000)


class Nodes:
    """A node is up until something else is said."""

    def __init__(self, names: Iterable[str], grid: Grid) -> None:
        self._grid = grid
        self._down_since: dict[str, float] = {}
        self._level = Level(grid)
        self.state: dict[str, str] = dict.fromkeys(list(names)[:_KNOWN], "up")
        self.down_s: dict[str, float] = defaultdict(float)
        self.downs: Tally[str] = Tally()

    def note(self, event: NodeState) -> None:
        name = event.node
        if event.state == "down" and ends_with(self._grid, event.t):
            return
        if name not in self.state and len(self.state) >= _KNOWN:
            return
        self.state[name] = event.state
        if event.state == "up":
            self._rise(name, event.t)
        elif name not in self._down_since:
            self._down_since[name] = event.t
            if event.state == "down":
                self.downs.add(name)
        self._level.set(event.t, len(self._down_since))

    def finish(self) -> tuple[float, ...]:
        """How many were down, the most of each bucket."""
        for name in list(self._down_since):
            self._rise(name, self._grid.end_s)
        return self._level.values()

    def _rise(self, name: str, t: float) -> None:
        since = self._down_since.pop(name, None)
        if since is not None:
            self.down_s[name] += max(0.0, t - since)


class Links:
    """By pairs of names in order."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._up: dict[tuple[str, str], bool] = {}
        self.drops: Tally[tuple[str, str]] = Tally()

    def note(self, event: LinkState) -> None:
        pair = (min(event.a, event.b), max(event.a, event.b))
        if not event.up and ends_with(self._grid, event.t):
            return
        if pair not in self._up and len(self._up) >= _PAIRS:
            return
        if self._up.get(pair, False) and not event.up:
            self.drops.add(pair)
        self._up[pair] = event.up

    def fate(self, pair: tuple[str, str]) -> Fate:
        if pair not in self._up:
            return Fate.UNSEEN
        if not self._up[pair]:
            return Fate.DOWN
        return Fate.BROKEN if self.drops[pair] else Fate.STEADY

    def pairs(self) -> Iterable[tuple[str, str]]:
        return self._up.keys()
