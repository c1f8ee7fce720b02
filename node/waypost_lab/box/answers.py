"""What a running lab answers, over the Unix socket in its directory.

`waypost lab … --json` prints the answers, so a name here is never changed; docs/lab.md has what they mean.
"""

from __future__ import annotations

from msgspec import field

from waypost.protocol.operator import Shape


class NodeFigures(Shape, frozen=True):
    """What a node says of itself, in short; zeros for one that does not run."""

    users: int = 0
    devices: int = 0
    links: int = 0
    waiting: int = 0
    stored: int = 0
    accepted: int = 0
    refused: int = 0
    accepted_per_s: float = 0.0
    given_per_s: float = 0.0


class LabNode(NodeFigures, frozen=True, kw_only=True):
    name: str
    state: str
    pid: int | None
    endpoint: str
    rss: int
    pss: int
    error: str


class LabLink(Shape, frozen=True):
    """One direction; `given`, `waiting`, `error`: as the first of the two says."""

    source: str = field(name="from")
    to: str
    state: str
    linked: bool
    waiting: int
    given: int
    given_per_s: float
    fault: str
    error: str


class LabNow(Shape, frozen=True):
    title: str
    directory: str
    uptime_s: float
    users: int
    nodes: tuple[LabNode, ...]
    links: tuple[LabLink, ...]


class Done(Shape, frozen=True, kw_only=True):
    """What was done, in words too."""

    text: str


class NodeDone(Done, frozen=True):
    node: str
    action: str


class LinkShaped(Done, frozen=True):
    source: str = field(name="from")
    to: str
    one_way: bool


class Healed(Done, frozen=True):
    healed: tuple[str, ...]


class LabEnds(Shape, frozen=True):
    pid: int
    pids: dict[str, int]
