"""What `scripts/bench --record` writes down: throughput and latency over time, from the drivers' notes, afterwards."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scripts.support.driver import percentile

from waypost.lab import timeline
from waypost.lab.timeline import AnyEvent, End, Flow, Latency, Note, Run

EVERY_S = 0.25


def counts(rows: Iterable[tuple[int, int]]) -> dict[int, int]:
    """(monotonic ns, how many) → how many in each slot of EVERY_S."""
    slots: dict[int, int] = defaultdict(int)
    for at_ns, many in rows:
        slots[_slot(at_ns)] += many
    return dict(slots)


def summaries(batches: Iterable[tuple[int, int]], latencies_ms: list[float]) -> dict[int, list[float]]:
    """Of each slot: count, p50, p90, p99 and the greatest. The latencies stand in the order of the batches."""
    slots: dict[int, list[float]] = defaultdict(list)
    taken = 0
    for at_ns, many in batches:
        slots[_slot(at_ns)] += latencies_ms[taken : taken + many]
        taken += many
    return {
        slot: [float(len(each)), *(percentile(each, share) for share in (0.5, 0.9, 0.99)), max(each)]
        for slot, each in slots.items()
        if each
    }


def merged(parts: Iterable[dict[int, int]]) -> dict[int, int]:
    """The sum of each slot."""
    return counts((slot * round(EVERY_S * 1e9), many) for part in parts for slot, many in part.items())


def _slot(at_ns: int) -> int:
    return int(at_ns / 1e9 / EVERY_S)


@dataclass
class Record:
    """Everything that a benchmark's drivers have noted, phase by phase."""

    title: str
    started_ms: int = field(default_factory=lambda: time.time_ns() // 1_000_000)
    _begin_s: float = field(default_factory=time.monotonic)
    _events: list[AnyEvent] = field(default_factory=list)

    def phase(self, text: str) -> None:
        """What begins now."""
        self._events.append(Note(t=time.monotonic() - self._begin_s, text=text))

    def add(self, sent: dict[str, Any], received: dict[str, Any]) -> None:
        """What a sender (`done`) and a receiver (`received`) have said."""
        accepted = {int(slot): many for slot, many in sent.get("accepted_in", {}).items()}
        summaries_ = {int(slot): row for slot, row in received.get("latency_in", {}).items()}
        for slot in sorted(accepted.keys() | summaries_.keys()):
            t = max(0.0, (slot + 1) * EVERY_S - self._begin_s)
            row = summaries_.get(slot)
            arrived = int(row[0]) if row else 0
            self._events.append(Flow(t=t, every_s=EVERY_S, accepted=accepted.get(slot, 0), delivered=arrived))
            if row:
                figures = dict(zip(("p50_ms", "p90_ms", "p99_ms", "max_ms"), row[1:], strict=True))
                self._events.append(Latency(t=t, every_s=EVERY_S, count=arrived, **figures))

    def write(self, path: Path, result: dict[str, Any]) -> None:
        """Raises OSError."""
        head = Run(title=self.title, source="bench", nodes=("birdy.local", "finch.local"), started_ms=self.started_ms)
        events = sorted(self._events, key=lambda event: event.t)
        end = End(t=time.monotonic() - self._begin_s, result=result)
        timeline.write(path, [head, *events, end])
