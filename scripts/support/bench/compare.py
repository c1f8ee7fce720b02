"""Two commits in one run: whose turn it is, and what their figures say of each other. Arithmetic only."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

#: Added up over the rounds; a ratio of them says nothing.
COUNTED = frozenset({"lost", "duplicates", "accepted", "delivered", "violations"})
#: A worse median than this, and the row is named at the end.
WORSE_BY = 0.05
#: Fewer rounds say nothing: where nothing changed, three agree on a direction for one figure in 4, five for one in 16.
_ENOUGH = 5


class Who(Enum):
    """NEW is the tree that the script belongs to, OLD the commit that it is held against."""

    NEW = "new"
    OLD = "old"


class Reading(Enum):
    """What a ratio says once its spread is looked at."""

    BETTER = "better"
    WORSE = "worse"
    SAME = "same"
    NOISE = "noise"  #: some rounds say better, some worse
    FEW = ""  #: too few rounds to say anything, or counted
    ONE_SIDE = "measured on one side only"


@dataclass(frozen=True)
class Spread:
    """Of several rounds."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


@dataclass(frozen=True)
class Row:
    """One figure on both sides; None where it was not measured. `ratio` is new / old, taken within each round."""

    name: str
    new: Spread | None
    old: Spread | None
    ratio: Spread | None
    rounds: int

    @property
    def more_is_better(self) -> bool:
        return self.name.rpartition(".")[2].endswith("_per_s")

    @property
    def loss(self) -> float:
        """How much worse the median of the ratios is, as a share; below 0 if it is better, 0 without a ratio."""
        if self.ratio is None:
            return 0.0
        return 1 - self.ratio.median if self.more_is_better else self.ratio.median - 1

    @property
    def reading(self) -> Reading:
        if self.new is None or self.old is None:
            return Reading.ONE_SIDE
        if self.ratio is not None and self.ratio.least == self.ratio.most == 1:
            return Reading.SAME
        if self.ratio is None or self.rounds < _ENOUGH:
            return Reading.FEW
        if self.ratio.least <= 1 <= self.ratio.most:
            return Reading.NOISE
        return Reading.WORSE if self.loss > 0 else Reading.BETTER


def turns(rounds: int) -> Iterator[tuple[Who, Who]]:
    """Who goes first in each round: they take turns, so that a machine that slows down favours neither."""
    for number in range(rounds):
        yield (Who.NEW, Who.OLD) if number % 2 == 0 else (Who.OLD, Who.NEW)


def interleaved(rounds: int, measure: Callable[[Who], dict[str, Any]]) -> list[dict[Who, dict[str, float]]]:
    """Measure both in every round; each round's figures, flat."""
    return [{who: flat(measure(who)) for who in order} for order in turns(rounds)]


def flat(result: dict[str, Any], prefix: str = "") -> dict[str, float]:
    """The numbers of a result, those within others named `outer.inner`; what is no number is left out."""
    figures: dict[str, float] = {}
    for name, value in result.items():
        if isinstance(value, dict):
            figures |= flat(value, f"{prefix}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            figures[prefix + name] = value
    return figures


def rows(measured: Sequence[dict[Who, dict[str, float]]]) -> list[Row]:
    """A row for each figure that any round has, in the order of their first appearance, the new side's first."""
    names = dict.fromkeys(name for who in Who for each in measured for name in each[who])
    return [_row(name, measured) for name in names]


def _row(name: str, measured: Sequence[dict[Who, dict[str, float]]]) -> Row:
    sides = {who: [each[who][name] for each in measured if name in each[who]] for who in Who}
    counted = name.rpartition(".")[2] in COUNTED
    new, old = (
        Spread.of([sum(values)] if counted else values) if (values := sides[who]) else None
        for who in (Who.NEW, Who.OLD)
    )
    ratios = [] if counted else [ratio for each in measured if (ratio := _ratio(name, each)) is not None]
    return Row(name, new, old, Spread.of(ratios) if ratios else None, len(ratios))


def _ratio(name: str, each: dict[Who, dict[str, float]]) -> float | None:
    new, old = each[Who.NEW].get(name), each[Who.OLD].get(name)
    if new is None or old is None:
        return None
    if new == old:
        return 1.0
    return new / old if old else None


def median_of(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over several runs of one side; what is counted is summed."""
    result: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(value, dict):
            result[name] = median_of(values)
        elif name in COUNTED:
            result[name] = sum(values)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            result[name] = statistics.median(values)
        else:
            result[name] = value
    return result
