"""What is said to a running lab over the Unix socket in its directory: as `protocol.admin`, with other requests."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from waypost.protocol.frames.codec import Name
from waypost.protocol.frames.messages import Text


class _Request(Struct, frozen=True, array_like=True, gc=False):
    """Base of all; holds the encoding options in one place."""


class ShowLab(_Request, frozen=True, tag=1):
    """Nodes, links, queues, rates and faults."""


class ActOnNode(_Request, frozen=True, tag=2):
    """Done when the answer comes."""

    node: Name
    action: Literal["start", "stop", "kill"]


class ShapeLink(_Request, frozen=True, tag=3):
    """`value`: for slow a latency such as "200ms", and in `more` perhaps a jitter; for loss a share such as "5%"."""

    a: Name
    b: Name
    action: Literal["cut", "slow", "loss"]
    value: Text = ""
    more: Text = ""
    one_way: bool = False


class Heal(_Request, frozen=True, tag=4):
    """Both ways between two nodes; between all if none are named."""

    a: Text = ""
    b: Text = ""


class EndLab(_Request, frozen=True, tag=5):
    """Stop everything. `keep`: leave states and logs in the directory."""

    keep: bool = False


Request = ShowLab | ActOnNode | ShapeLink | Heal | EndLab
