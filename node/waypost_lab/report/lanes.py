"""Bars with labels, laid out so that none covers another."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from waypost_lab.report.model import Band
from waypost_lab.report.words import listed, short

WIDE_PX, NARROW_PX = 1040, 300  #: how wide a plot is on a desk and in a hand, about
_LETTER_PX: Final = 6.3  #: of a label, on average


def label_of(band: Band) -> str:
    """What stands on a band: the fault and whom it hits."""
    return short(f"{band.name} {listed(band.nodes, 2)}".strip(), 34)


def label_s(band: Band, end_s: float, plot_px: float = WIDE_PX) -> float:
    """How many seconds of a plot the label covers."""
    return (len(label_of(band)) * _LETTER_PX + 14) * end_s / plot_px


def label_start(band: Band, end_s: float) -> float:
    """Where the label begins: with the band, or earlier if it would stick out at the end."""
    return min(band.start, max(0.0, end_s - label_s(band, end_s)))


def lanes(bands: Iterable[Band], end_s: float) -> list[Band]:
    """Each band in the lowest lane where neither it nor its label covers another, in the order of their starts."""
    taken: list[list[tuple[float, float]]] = []
    placed = []
    for band in sorted(bands, key=lambda each: (each.start, -each.stop)):
        start = label_start(band, end_s)
        stop = max(band.stop, start + label_s(band, end_s))
        lane = next((n for n, row in enumerate(taken) if all(b <= start or a >= stop for a, b in row)), len(taken))
        if lane == len(taken):
            taken.append([])
        taken[lane].append((start, stop))
        placed.append(replace(band, lane=lane))
    return placed
