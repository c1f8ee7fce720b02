"""Faults: each of them while they are few, and how many of each kind were active when they are many."""

from __future__ import annotations

import heapq
from collections import defaultdict

from waypost_lab.report.grid import Grid, Tally
from waypost_lab.report.lanes import lanes
from waypost_lab.report.model import BANDS, KINDS, LANES, LISTED, WORDS, Band, Faults, Strip
from waypost_lab.report.words import short
from waypost_lab.timeline import Fault, Mended

_OPEN = 100_000  #: faults at the same time
_NODES_OF_ONE = 12  #: that are named
_KINDS_KNOWN = 200
OTHER = "other"


class Trouble:
    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._open: dict[int, Fault] = {}
        self._bands: list[Band] = []
        self._longest: list[tuple[float, int, Band]] = []
        self._active: dict[str, list[float]] = defaultdict(lambda: [0.0] * grid.count)
        self._seconds: dict[str, float] = defaultdict(float)
        self._counts: dict[str, int] = defaultdict(int)
        self._ended = 0
        self.by_node: Tally[str] = Tally()

    def begin(self, event: Fault) -> None:
        if len(self._open) >= _OPEN:
            return
        if event.id in self._open:
            self._end(self._open.pop(event.id), event.t)
        self._open[event.id] = event
        for node in set(event.nodes):
            self.by_node.add(node)

    def mend(self, event: Mended) -> None:
        fault = self._open.pop(event.id, None)
        if fault is not None:
            self._end(fault, event.t)

    def finish(self) -> Faults:
        """What has not been mended lasts to the end."""
        for fault in self._open.values():
            self._end(fault, self._grid.end_s, mended=False)
        self._open = {}
        count = sum(self._counts.values())
        placed = lanes(self._bands, self._grid.end_s)
        few = count <= BANDS and max((band.lane for band in placed), default=0) < LANES
        strips = self._strips()
        return Faults(
            count=count,
            bands=tuple(placed) if few else (),
            strips=strips,
            longest=tuple(band for _, _, band in sorted(self._longest, key=lambda row: (-row[0], -row[1]))),
            active=tuple(sum(strip.active[n] for strip in strips) for n in range(self._grid.count)),
        )

    def _end(self, fault: Fault, stop: float, *, mended: bool = True) -> None:
        stop = max(stop, fault.t)
        name = short(fault.name or "fault", 40)
        nodes = tuple(short(node, 80) for node in fault.nodes[:_NODES_OF_ONE])
        band = Band(name, nodes, short(fault.detail, WORDS), fault.t, stop, mended)
        kind = name if name in self._counts or len(self._counts) < _KINDS_KNOWN else OTHER
        self._counts[kind] += 1
        self._seconds[kind] += stop - fault.t
        for index, inside in self._grid.overlaps(fault.t, stop):
            self._active[kind][index] += inside / self._grid.seconds(index)
        if len(self._bands) <= BANDS:
            self._bands.append(band)
        self._ended += 1
        row = (stop - fault.t, -self._ended, band)
        (heapq.heappush if len(self._longest) < LISTED else heapq.heappushpop)(self._longest, row)

    def _strips(self) -> tuple[Strip, ...]:
        """Kinds by how long they lasted; the least of them together as `other`."""
        by_time = sorted((name for name in self._counts if name != OTHER), key=lambda n: (-self._seconds[n], n))
        strips = [self._strip(name, [name]) for name in by_time[:KINDS]]
        left = [*by_time[KINDS:], *([OTHER] if OTHER in self._counts else [])]
        return tuple([*strips, self._strip(OTHER, left)] if left else strips)

    def _strip(self, name: str, kinds: list[str]) -> Strip:
        rows = [self._active[kind] for kind in kinds]
        return Strip(
            name,
            sum(self._counts[kind] for kind in kinds),
            sum(self._seconds[kind] for kind in kinds),
            tuple(sum(row[n] for row in rows) for n in range(self._grid.count)),
        )
