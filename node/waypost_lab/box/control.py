"""What is said to a running lab over the Unix socket in its directory: as to a node, with other requests."""

from __future__ import annotations

from msgspec import Struct

from waypost_lab.faults.words import Heal, OnNode, OnWay


class ShowLab(Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Nodes, links, queues, rates and faults."""


class EndLab(Struct, frozen=True, array_like=True, gc=False, tag=5):
    """Stop everything. `keep`: leave states and logs in the directory."""

    keep: bool = False


#: A fault is done when the answer comes.
Request = ShowLab | OnNode | OnWay | Heal | EndLab
