"""Where a value lies on an axis, and where the axis has its marks. Values in, values out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

_TIME_STEPS: Final = (
    *(mantissa * 10.0**power for power in (-3, -2, -1) for mantissa in (1, 2, 5)),
    *(1, 2, 5, 10, 15, 30),
    *(60 * n for n in (1, 2, 5, 10, 15, 30)),
    *(3600 * n for n in (1, 2, 3, 6, 12)),
    *(86400 * n for n in (1, 2, 7, 14, 28, 91, 182, 364, 1820)),
)
_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_LATENCIES: Final = (
    *(10.0**power for power in range(-3, 5)),
    *(60_000.0 * n for n in (1, 10, 60, 600)),
    *(86_400_000.0 * 10**power for power in range(6)),
)


@dataclass(frozen=True)
class Axis:
    """An upright axis: its marks, from pixel `floor` up to pixel `top`."""

    ticks: Sequence[float]
    floor: float
    top: float = 6  #: room above the highest mark for half of its label
    logarithmic: bool = False

    def y(self, value: float) -> float:
        low, high = self.ticks[0], self.ticks[-1]
        share = log_share(value, low, high) if self.logarithmic else value / high
        return self.top + (self.floor - self.top) * (1 - share)

    def heights(self, values: Iterable[float]) -> list[float]:
        return [self.y(value) for value in values]

    def marks(self, said: Callable[[float], str]) -> list[tuple[float, str]]:
        return [(self.y(tick), said(tick)) for tick in self.ticks]


def log_share(value: float, low: float, high: float) -> float:
    """How far between `low` (0) and `high` (1) it lies on a logarithmic axis; beyond an end: at that end."""
    return math.log(min(max(value, low), high) / low) / math.log(high / low)


def nice_step(span: float, most: int) -> float:
    """The smallest 1, 2 or 5 times a power of ten that cuts `span` into at most `most` parts."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= rough * (1 - 1e-9))


def linear_ticks(peak: float, most: int = 4) -> tuple[float, ...]:
    """From 0 to at least `peak`, evenly; (0, 1) where nothing is."""
    if peak <= 0:
        return (0.0, 1.0)
    step = nice_step(peak, most)
    return tuple(n * step for n in range(math.ceil(peak / step - 1e-9) + 1))


def count_ticks(peak: float, most: int = 4) -> tuple[float, ...]:
    """As `linear_ticks`, for what comes in whole numbers: no step below 1."""
    return linear_ticks(peak, most) if peak > most else tuple(float(n) for n in range(max(1, math.ceil(peak)) + 1))


def latency_ticks(low_ms: float, high_ms: float, most: int = 6) -> tuple[float, ...]:
    """For a logarithmic axis: powers of ten of µs, ms, seconds up to 10, then 1 and 10 min, 1 and 10 h, days.

    From at most `low_ms` (positive) to at least `high_ms`; every second or third if they would be more than `most`.
    """
    first = max(0, sum(tick <= low_ms * (1 + 1e-9) for tick in _LATENCIES) - 1)
    last = next((n for n, tick in enumerate(_LATENCIES) if tick >= high_ms * (1 - 1e-9)), len(_LATENCIES) - 1)
    last = max(last, first + 1)
    step = -(-(last - first) // (most - 1))
    last = min(first + -(-(last - first) // step) * step, len(_LATENCIES) - 1)
    return tuple(_LATENCIES[n] for n in (*range(first, last, step), last))


def time_step(span_s: float, most: int) -> float:
    """A step that a clock or calendar has, in seconds, which cuts `span_s` into at most `most` parts."""
    rough = span_s / most * (1 - 1e-9)
    return float(next((step for step in _TIME_STEPS if step >= rough), _TIME_STEPS[-1] * math.ceil(rough / _DAY)))


def time_ticks(end_s: float, most: int) -> tuple[float, ...]:
    """From 0 up to `end_s` at most."""
    step = time_step(end_s, most)
    return tuple(n * step for n in range(math.floor(end_s / step + 1e-9) + 1))


def time_label(t: float, step: float, end_s: float) -> str:
    """A mark on a time axis whose marks are `step` seconds apart: `2.5 s`, `40 s`, `1:30`, `10 min`, `18 h`, `3 d`.

    `1:30` is m:ss where the axis is shorter than an hour and h:mm else; `time_unit` says which.
    """
    if step < 1:
        digits = max(0, -math.floor(math.log10(step) + 1e-9))
        return f"{t:.{digits}f} s"
    whole = round(t)
    unit = time_unit(step, end_s)
    if unit == "m:ss":
        return f"{whole // _MINUTE}:{whole % _MINUTE:02d}"
    if unit == "h:mm":
        return f"{whole // _HOUR}:{whole % _HOUR // _MINUTE:02d}"
    size = {"s": 1, "min": _MINUTE, "h": _HOUR, "d": _DAY}[unit]
    return f"{whole // size} {unit}"


def time_unit(step: float, end_s: float) -> str:
    """How the marks of a time axis are to be read: s, m:ss, min, h:mm, h or d."""
    if step >= _DAY:
        return "d"
    if step >= _HOUR:
        return "h"
    if step >= _MINUTE:
        return "h:mm" if end_s >= _HOUR else "min"
    return "m:ss" if end_s > _MINUTE else "s"
