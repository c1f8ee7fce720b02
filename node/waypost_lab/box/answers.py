"""What a running lab answers, over the Unix socket in its directory.

`waypost lab … --json` prints the answers, so a name here is never changed; docs/json.md is made from them.
"""

from __future__ import annotations

from typing import Final

from msgspec import field

from waypost.protocol.operator import Shape


class NodeFigures(Shape, frozen=True):
    """What a node says of itself, in short; zeros for one that does not run."""

    users: int = 0
    devices: int = 0  #: that are connected
    links: int = 0
    waiting: int = 0  #: envelopes for its peers
    stored: int = 0  #: envelopes in all mailboxes
    accepted: int = 0  #: envelopes since it started
    refused: int = 0
    accepted_per_s: float = 0.0  #: since the look before
    given_per_s: float = 0.0  #: to its peers


class LabNode(NodeFigures, frozen=True, kw_only=True):
    name: str
    state: str  #: `up`, `starting`, `down`, `died` …
    pid: int | None  #: of its process; null if it does not run
    endpoint: str  #: host:port, of the proxy before it
    rss: int  #: memory in bytes; 0: not known
    pss: int  #: the same, with shared parts counted in part
    error: str  #: the last trouble, in words


class LabLink(Shape, frozen=True):
    """One direction; `given`, `waiting`, `error`: as the first of the two says."""

    source: str = field(name="from")
    to: str
    state: str  #: as `peers[].state` of `status`, or `unknown`
    linked: bool
    waiting: int  #: envelopes
    given: int  #: envelopes, of this link
    given_per_s: float  #: since the look before
    fault: str  #: what is done to this direction; empty: nothing
    error: str  #: the last trouble, in words


class LabNow(Shape, frozen=True):
    title: str
    directory: str
    uptime_s: float
    users: int
    nodes: tuple[LabNode, ...]
    links: tuple[LabLink, ...]


class Done(Shape, frozen=True, kw_only=True):
    """What was done, in words too."""

    text: str  #: for people


class NodeDone(Done, frozen=True):
    node: str
    action: str


class LinkShaped(Done, frozen=True):
    source: str = field(name="from")
    to: str
    one_way: bool


class Healed(Done, frozen=True):
    healed: tuple[str, ...]  #: what was taken back


class LabEnds(Shape, frozen=True):
    pid: int
    pids: dict[str, int]


#: What `--json` of these verbs prints.
SHAPES: Final[dict[str, type[Shape]]] = {
    "lab status": LabNow,
    "lab kill": NodeDone,
    "lab stop": NodeDone,
    "lab start": NodeDone,
    "lab cut": LinkShaped,
    "lab slow": LinkShaped,
    "lab loss": LinkShaped,
    "lab heal": Healed,
}
