"""Latencies of any number of messages in little memory: counts on a logarithmic scale, 4.4 % a bin."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable

from waypost_lab.report.model import Bin, Latencies

_PER_OCTAVE = 16
_FLOOR_MS = 0.1  #: less is of no interest, and virtual time has messages that took none
_CEILING_MS = 1e12
_DRAWN = 72  #: bins of a drawn distribution, at most
#: A summary's messages between two of its percentiles; those below the median are taken to spread over one octave.
_SHARES = ((0.5, 0.5), (0.4, 0.9), (0.09, 0.99), (0.01, 1.0))


class Histogram:
    """Counts by milliseconds. Percentiles are right to a bin, and never above the greatest value."""

    __slots__ = ("_counts", "_most", "_only", "total")

    def __init__(self) -> None:
        self._counts: dict[int, float] = defaultdict(float)
        self._most = 0.0
        self._only: Latencies | None = None  #: the one summary that it is made of
        self.total = 0.0

    def add(self, ms: float, count: float = 1.0) -> None:
        self._only = None
        self._put(ms, count)

    def add_summary(self, summary: Latencies) -> None:
        """Messages of which only percentiles are known."""
        alone = not self.total
        low = summary.p50 / 2
        for (share, _), high in zip(_SHARES, (summary.p50, summary.p90, summary.p99, summary.most), strict=True):
            self._spread(low, max(low, high), summary.count * share)
            low = max(low, high)
        self._most = max(self._most, summary.most)
        self._only = summary if alone else None

    def merge(self, other: Histogram) -> None:
        if not other.total:
            return
        self._only = other._only if not self.total else None
        for index, count in other._counts.items():
            self._counts[index] += count
        self.total += other.total
        self._most = max(self._most, other._most)

    def summary(self) -> Latencies | None:
        """None if empty."""
        if not self.total:
            return None
        if self._only is not None:
            return self._only
        p50, p90, p99 = self._quantiles((0.5, 0.9, 0.99))
        return Latencies(self.total, p50, p90, p99, self._most)

    def bins(self) -> tuple[Bin, ...]:
        """Without gaps, from the least to the greatest value; several bins in one if they would be too many."""
        if not self._counts:
            return ()
        first, last = min(self._counts), max(self._counts)
        size = next(n for n in (2, 4, 8, 16, 32, 64, 128) if (last // n - first // n) < _DRAWN)
        counts: dict[int, float] = defaultdict(float)
        for index, count in self._counts.items():
            counts[index // size] += count
        drawn = range(first // size, last // size + 1)
        return tuple(Bin(_low(n * size), _low((n + 1) * size), counts.get(n, 0.0)) for n in drawn)

    def _put(self, ms: float, count: float) -> None:
        ms = min(max(ms, _FLOOR_MS), _CEILING_MS)
        self._counts[_index(ms)] += count
        self._most = max(self._most, ms)
        self.total += count

    def _spread(self, low: float, high: float, count: float) -> None:
        """Evenly on the logarithmic scale."""
        low, high = (min(max(ms, _FLOOR_MS), _CEILING_MS) for ms in (low, high))
        first, last = _index(low), _index(high)
        for index in range(first, last + 1):
            self._counts[index] += count / (last + 1 - first)
        self.total += count

    def _quantiles(self, wanted: Iterable[float]) -> list[float]:
        found, below = [], 0.0
        rows = iter(sorted(self._counts.items()))
        index, count = next(rows)
        for quantile in wanted:
            while below + count < quantile * self.total * (1 - 1e-9):
                below += count
                index, count = next(rows)
            inside = (quantile * self.total - below) / count
            found.append(min(_low(index + inside), self._most))
        return found


def _index(ms: float) -> int:
    return math.floor(math.log2(ms) * _PER_OCTAVE + 1e-9)


def _low(index: float) -> float:
    return float(2.0 ** (index / _PER_OCTAVE))
