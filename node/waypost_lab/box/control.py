"""What is said to a running lab over the Unix socket in its directory: as `protocol.operator`, with other requests."""

from __future__ import annotations

from waypost.protocol.operator import OperatorRequest
from waypost_lab.box.answers import LabEnds, LabNow
from waypost_lab.faults.words import Heal, OnNode, OnWay


class ShowLab(OperatorRequest[LabNow], frozen=True, tag=1):
    """Nodes, links, queues, rates and faults."""


class EndLab(OperatorRequest[LabEnds], frozen=True, tag=5):
    """Stop everything. `keep`: leave states and logs in the directory."""

    keep: bool = False


#: A fault is done when the answer comes.
Request = ShowLab | OnNode | OnWay | Heal | EndLab
