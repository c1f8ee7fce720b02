"""What `scripts/bench --record` writes down: throughput and latency over time, from the drivers' notes, afterwards."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from waypost_lab.driver import percentile
from waypost_lab.timeline import AnyEvent, End, Flow, Latency, Note, Run

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
    """Everything that a benchmark's drivers have noted, phase by phase. Its time begins with the first phase."""

    title: str
    _started_ms: int = 0
    _events: list[AnyEvent] = field(default_factory=list)  #: at monotonic seconds until they are written

    def phase(self, text: str) -> None:
        """What begins now."""
        self._started_ms = self._started_ms or time.time_ns() // 1_000_000
        self._events.append(Note(t=_slot(time.monotonic_ns()) * EVERY_S, text=text))

    def add(self, sent: dict[str, Any], received: dict[str, Any]) -> None:
        """What a sender (`done`) and a receiver (`received`) have said."""
        accepted = {int(slot): many for slot, many in sent["accepted_in"].items()}
        rows = {int(slot): row for slot, row in received["latency_in"].items()}
        for slot in sorted(accepted.keys() | rows.keys()):
            t, row = (slot + 1) * EVERY_S, rows.get(slot)
            arrived = int(row[0]) if row else 0
            self._events.append(Flow(t=t, every_s=EVERY_S, accepted=accepted.get(slot, 0), delivered=arrived))
            if row:
                p50, p90, p99, most = row[1:]
                self._events.append(
                    Latency(t=t, every_s=EVERY_S, count=arrived, p50_ms=p50, p90_ms=p90, p99_ms=p99, max_ms=most)
                )

    def events(self, result: dict[str, Any]) -> list[AnyEvent]:
        """The timeline, from the first phase to the last message."""
        nodes = ("birdy.local", "finch.local")
        begin = self._events[0].t if self._events else 0.0
        noted = [msgspec.structs.replace(event, t=event.t - begin) for event in self._events]
        noted.sort(key=lambda event: event.t)
        end = noted[-1].t if noted else 0.0
        head = Run(title=self.title, source="bench", nodes=nodes, started_ms=self._started_ms)
        return [head, *noted, End(t=end, result=result)]
