"""What the page shows of a run: aggregates of bounded size, whatever the run was."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

from waypost_lab.report.grid import Grid

BUCKETS: Final = 160  #: in time, at most: one is some 7 pixels of a wide screen
QUEUES: Final = 6  #: that have a line of their own; as many as there are colours that anyone can tell apart
BANDS: Final = 60  #: faults drawn one by one; more are shown as how many were active
LANES: Final = 8  #: rows of bands, of faults at the same time; if they need more, as above
KINDS: Final = 9  #: kinds of faults with a row of their own
LISTED: Final = 100  #: rows of a table of faults or notes
NODES: Final = 200  #: in the picture and the table
LINKS: Final = 5_000  #: in the picture
WORDS: Final = 400  #: characters of a note or a detail


class Fate(Enum):
    """How a link fared."""

    STEADY = "up throughout"
    BROKEN = "was interrupted"
    DOWN = "down at the end"
    UNSEEN = "messages only"  #: nobody wrote down when it was up


@dataclass(frozen=True)
class Figure:
    """A headline. `bad`: it should be 0 and is not; None if any value is fine."""

    name: str
    value: float
    bad: bool | None = None


@dataclass(frozen=True)
class Flows:
    """Messages of each bucket."""

    accepted: tuple[float, ...]
    delivered: tuple[float, ...]
    bounced: tuple[float, ...]
    expired: tuple[float, ...]

    @property
    def any(self) -> bool:
        return any(map(any, (self.accepted, self.delivered, self.bounced, self.expired)))

    def settled(self, index: int) -> float:
        return self.delivered[index] + self.bounced[index] + self.expired[index]


@dataclass(frozen=True)
class QueueLine:
    """What waited for a peer on all nodes together, the highest of each bucket."""

    peer: str
    peak: float
    values: tuple[float, ...]


@dataclass(frozen=True)
class Latencies:
    """From sending to delivery, in ms, of `count` messages. `exact`: as it was written down; else from a histogram."""

    count: float
    p50: float
    p90: float
    p99: float
    most: float
    exact: bool = False


@dataclass(frozen=True)
class Bin:
    """Of a distribution: how many messages took from `low` to `high` ms."""

    low: float
    high: float
    count: float


@dataclass(frozen=True)
class Band:
    """One fault, from `start` to `stop` seconds. `lane`: bands in the same lane do not overlap."""

    name: str
    nodes: tuple[str, ...]
    detail: str
    start: float
    stop: float
    mended: bool
    lane: int = 0


@dataclass(frozen=True)
class Strip:
    """All faults of a kind: how many were active, the mean of each bucket."""

    name: str
    count: int
    seconds: float
    active: tuple[float, ...]


@dataclass(frozen=True)
class Faults:
    """`bands` are all faults, or none if they are too many to be drawn; `longest` are for the table."""

    count: int
    bands: tuple[Band, ...]
    strips: tuple[Strip, ...]
    longest: tuple[Band, ...]
    active: tuple[float, ...]  #: of any kind, the mean of each bucket


@dataclass(frozen=True)
class LinkSummary:
    a: str
    b: str
    fate: Fate
    drops: int
    messages: int


@dataclass(frozen=True)
class Node:
    """`state`: up, down or gone, at the end."""

    name: str
    state: str
    downs: int
    down_s: float
    faults: int
    sent: int
    received: int
    waiting: int  #: the most that waited here at once


@dataclass(frozen=True)
class Said:
    """A note. `error`: a promise was not kept."""

    t: float
    text: str
    error: bool


@dataclass(frozen=True)
class Picture:
    """Everything on the page. Tuples of values have one for each bucket of `grid`."""

    title: str
    source: str
    seed: int
    started_ms: int
    ended: bool  #: False: the run was cut off
    events: int
    grid: Grid
    figures: tuple[Figure, ...]
    result: tuple[tuple[str, str], ...]  #: what else the run printed
    flows: Flows
    custody: tuple[float, ...]  #: accepted and not settled, at the end of each bucket
    queues: tuple[QueueLine, ...]  #: the longest first
    rest: QueueLine | None  #: all others together
    latency: tuple[Latencies | None, ...]
    overall: Latencies | None
    distribution: tuple[Bin, ...]
    faults: Faults
    down: tuple[float, ...]  #: nodes that were down, the most of each bucket
    links: tuple[LinkSummary, ...]
    nodes: tuple[Node, ...]
    node_count: int
    notes: tuple[Said, ...]  #: violated promises first
    unheard: int  #: notes that are left out
    steps: bool  #: whether single messages were written down, so that nodes have counts
