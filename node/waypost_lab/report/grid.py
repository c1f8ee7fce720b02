"""The time of a run, cut into equal buckets; levels and counts over it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from waypost_lab.report.scale import time_step


@dataclass(frozen=True)
class Grid:
    """`count` buckets of `width_s` seconds; the last may be cut short by `end_s`, which is positive."""

    end_s: float
    width_s: float

    @classmethod
    def over(cls, end_s: float, buckets: int, at_least_s: float = 0.0) -> Grid:
        """At most `buckets` of a width that a clock has, each at least `at_least_s` wide."""
        end_s = end_s if end_s > 0 else 1.0
        return cls(end_s, time_step(max(end_s, at_least_s * buckets), buckets))

    @property
    def count(self) -> int:
        return max(1, math.ceil(self.end_s / self.width_s - 1e-6))

    def index(self, t: float) -> int:
        """The bucket of a moment; the first or the last if it lies outside."""
        return min(max(0, int(t / self.width_s)), self.count - 1)

    def start(self, index: int) -> float:
        return index * self.width_s

    def stop(self, index: int) -> float:
        return min((index + 1) * self.width_s, self.end_s)

    def seconds(self, index: int) -> float:
        """What a bucket's counts are divided by. Half a bucket at least, so that a sliver at the end shows no peak."""
        return max(self.stop(index) - self.start(index), self.width_s / 2)

    def overlaps(self, start: float, stop: float) -> Iterator[tuple[int, float]]:
        """The buckets that an interval touches, and how many of its seconds lie in each."""
        for index in range(self.index(start), self.index(stop) + 1):
            inside = min(stop, self.stop(index)) - max(start, self.start(index))
            if inside > 0:
                yield index, inside


_K = TypeVar("_K", bound=Hashable)


class Tally(Generic[_K]):
    """Counts by name, of at most 20,000 names: those that come later are not counted."""

    _NAMES = 20_000

    def __init__(self) -> None:
        self._counts: dict[_K, int] = {}

    def add(self, name: _K, count: int = 1) -> None:
        if count and (name in self._counts or len(self._counts) < self._NAMES):
            self._counts[name] = self._counts.get(name, 0) + count

    def __getitem__(self, name: _K) -> int:
        return self._counts.get(name, 0)

    def __iter__(self) -> Iterator[_K]:
        return iter(self._counts)


@dataclass
class Level:
    """A quantity that stays as it is until it is set anew; of each bucket its highest value."""

    grid: Grid
    now: float = 0.0
    highest: list[float] = field(default_factory=lambda: [0.0])

    def set(self, t: float, value: float) -> None:
        self._reach(self.grid.index(t))
        self.now = value
        self.highest[-1] = max(self.highest[-1], value)

    def values(self) -> tuple[float, ...]:
        """Of all buckets, to the end."""
        self._reach(self.grid.count - 1)
        return tuple(self.highest)

    def _reach(self, index: int) -> None:
        self.highest.extend([self.now] * (index + 1 - len(self.highest)))
