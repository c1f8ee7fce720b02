"""Messages: how many took which step, how long they took, and between which nodes."""

from __future__ import annotations

from collections import defaultdict

from waypost_lab.report.grid import Grid, Tally
from waypost_lab.report.histogram import Histogram
from waypost_lab.report.model import Bin, Flows, Latencies
from waypost_lab.report.survey import Survey
from waypost_lab.timeline import Flow, Latency, Step

_OPEN = 300_000  #: messages on their way whose start is remembered; of more the oldest are forgotten
_MOST = 10**15
_STEPS = ("accepted", "delivered", "bounced", "expired")


def node_of(address: str) -> str:
    """`alice@birdy.local` → `birdy.local`; what is no address stays as it is."""
    return address.rpartition("@")[2]


class Traffic:
    """Where there are `Flow` or `Latency` events they count, and single steps do not, so that nothing counts twice."""

    def __init__(self, survey: Survey) -> None:
        self._grid: Grid = survey.grid
        self._from_flows, self._from_summaries = survey.flows > 0, survey.latencies > 0
        self._counts = {step: [0.0] * self._grid.count for step in _STEPS}
        self._buckets: dict[int, Histogram] = defaultdict(Histogram)
        self._started: dict[tuple[str, str], float] = {}
        self.totals: Tally[str] = Tally()
        self.sent: Tally[str] = Tally()  #: accepted, by the sender's node
        self.received: Tally[str] = Tally()  #: delivered, by the recipient's node
        self.between: Tally[tuple[str, str]] = Tally()  #: delivered, by both nodes in the order of their names

    def note_flow(self, event: Flow) -> None:
        start = max(0.0, event.t - max(0.0, event.every_s))
        shares = list(self._grid.overlaps(start, event.t)) or [(self._grid.index(event.t), 1.0)]
        seconds = sum(inside for _, inside in shares)
        for step in _STEPS:
            count = min(max(0, getattr(event, step)), _MOST)
            self.totals.add(step, count)
            if count:
                for index, inside in shares:
                    self._counts[step][index] += count * inside / seconds

    def note_latency(self, event: Latency) -> None:
        if event.count > 0:
            middle = max(0.0, event.t - max(0.0, event.every_s) / 2)
            p50, p90, p99, most = (max(0.0, ms) for ms in (event.p50_ms, event.p90_ms, event.p99_ms, event.max_ms))
            summary = Latencies(float(min(event.count, _MOST)), p50, p90, p99, most, exact=True)
            self._buckets[self._grid.index(middle)].add_summary(summary)

    def note_step(self, event: Step) -> None:
        if event.step in self._counts and not self._from_flows:
            self.totals.add(event.step)
            self._counts[event.step][self._grid.index(event.t)] += 1
        if event.step == "accepted":
            self.sent.add(node_of(event.sender))
        elif event.step == "delivered":
            self._note_arrival(node_of(event.sender), node_of(event.recipient))
        if not self._from_summaries:
            self._time(event)

    def _note_arrival(self, sender: str, recipient: str) -> None:
        self.received.add(recipient)
        if sender and recipient and sender != recipient:
            self.between.add((min(sender, recipient), max(sender, recipient)))

    def _time(self, event: Step) -> None:
        key = (event.id, event.recipient)
        if event.step in ("sent", "accepted"):
            if self._started.setdefault(key, event.t) == event.t and len(self._started) > _OPEN:
                del self._started[next(iter(self._started))]
        elif event.step != "held":
            start = self._started.pop(key, None)
            if start is None and event.recipient:
                start = self._started.get((event.id, ""))
            if start is not None and event.step == "delivered":
                self._buckets[self._grid.index(event.t)].add((event.t - start) * 1000)

    def flows(self) -> Flows:
        return Flows(*(tuple(self._counts[step]) for step in _STEPS))

    def custody(self) -> tuple[float, ...]:
        """Accepted and not settled, at the end of each bucket."""
        flows, now, values = self.flows(), 0.0, []
        for index, accepted in enumerate(flows.accepted):
            now = max(0.0, now + accepted - flows.settled(index))
            values.append(now if now > 1e-6 else 0.0)
        return tuple(values)

    def latency(self) -> tuple[Latencies | None, ...]:
        empty = Histogram()
        return tuple(self._buckets.get(index, empty).summary() for index in range(self._grid.count))

    def overall(self) -> tuple[Latencies | None, tuple[Bin, ...]]:
        """Of the whole run."""
        whole = Histogram()
        for histogram in self._buckets.values():
            whole.merge(histogram)
        return whole.summary(), whole.bins()
