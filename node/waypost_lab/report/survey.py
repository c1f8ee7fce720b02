"""The first reading of a timeline: how long it is, what it has, and which queues grew longest.

With that known, the second reading (`collect`) needs memory for what is drawn and no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from waypost.errors import Code, LocalError
from waypost_lab.report.grid import Grid
from waypost_lab.report.model import BUCKETS, QUEUES
from waypost_lab.report.waiting import Waiting
from waypost_lab.timeline import AnyEvent, End, Flow, Latency, Queue, Run, Step

_TEN_YEARS_S = 10 * 365 * 86_400
_FEWEST = 24
_STEPS_PER_BUCKET = 6
_PEAKS = 20_000  #: peers whose longest queue is remembered during the reading; the shortest are forgotten


@dataclass(frozen=True)
class Survey:
    run: Run
    grid: Grid
    events: int
    flows: int
    latencies: int
    steps: int
    ended: bool
    longest: tuple[str, ...]  #: peers with the longest queues, the longest first


def survey(events: Iterable[AnyEvent]) -> Survey:
    """Raises LocalError(BAD_CONFIG) if there is no event, or one from outside of ten years."""
    run: Run | None = None
    counts: dict[type, int] = {}
    end_s = every_s = 0.0
    peaks = _Peaks()
    for event in events:
        if run is None and isinstance(event, Run):
            run = event
        if not 0 <= event.t <= _TEN_YEARS_S:
            raise LocalError(Code.BAD_CONFIG, f"an event at {event.t:g} s: a run lasts from 0 s to ten years")
        end_s = max(end_s, event.t)
        kind = type(event)
        counts[kind] = counts.get(kind, 0) + 1
        if kind is Queue:
            peaks.note(event)  # type: ignore[arg-type]  # mypy does not narrow by `type() is`, which is the quick way
        elif isinstance(event, Flow | Latency):
            every_s = max(every_s, event.every_s)
    if run is None:
        raise LocalError(Code.BAD_CONFIG, "a timeline begins with its run")
    steps, aggregates = counts.get(Step, 0), counts.get(Flow, 0) + counts.get(Latency, 0)
    buckets = BUCKETS if aggregates else min(BUCKETS, max(_FEWEST, steps // _STEPS_PER_BUCKET))
    return Survey(
        run=run,
        grid=Grid.over(end_s, buckets, min(every_s, end_s)),
        events=sum(counts.values()),
        flows=counts.get(Flow, 0),
        latencies=counts.get(Latency, 0),
        steps=steps,
        ended=counts.get(End, 0) > 0,
        longest=peaks.longest(QUEUES),
    )


class _Peaks:
    """The most that waited for each peer."""

    def __init__(self) -> None:
        self._waiting = Waiting()
        self._peaks: dict[str, int] = {}

    def note(self, event: Queue) -> None:
        self._waiting.note(event)
        now = self._waiting.by_peer.get(event.peer, 0)
        if now > self._peaks.get(event.peer, 0):
            self._peaks[event.peer] = now
            if len(self._peaks) > _PEAKS:
                self._peaks = {peer: self._peaks[peer] for peer in self.longest(_PEAKS // 2)}

    def longest(self, most: int) -> tuple[str, ...]:
        return tuple(sorted(self._peaks, key=lambda peer: (-self._peaks[peer], peer))[:most])
