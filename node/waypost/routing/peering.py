"""Where a peer stands: whether to dial it now, as one state and a table of what changes it.

    idle ⇄ wanted ──► dialling ──► linked
      ▲                   │           │
      └──── waiting ◄─────┴───────────┘         blocked, gone: from any of these; from blocked and gone back to idle

A peer is dialled in `WANTED` alone. There it comes when something is to be had from a link: mail, a request, or it is
to be kept linked. After each failure and each lost link it stands in `WAITING` first, for as long as its schedule of
tries says (`retry.Backoff`). A link may come up in any of the five states, since the peer dials too; a try that was
under way then changes nothing more, whatever comes of it.

`BLOCKED` and `GONE` are stronger than all others. A link that is still there ends (`BLOCKED`), or is used as long as it
lasts (`GONE`: a peer that leaves still takes what is there for it), and its end changes nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class Peering(Enum):
    """Where a peer stands."""

    IDLE = "idle"  #: nothing calls for a link
    WANTED = "wanted"  #: to be dialled as soon as there is a turn
    DIALLING = "dialling"
    LINKED = "linked"
    WAITING = "waiting"  #: for the next try, after a failure or a lost link
    BLOCKED = "blocked"  #: by the operator
    GONE = "gone"  #: it has left a tombstone


class PeerEvent(Enum):
    """What may change it."""

    NEEDED = "needed"  #: something is to be had from a link
    UNNEEDED = "unneeded"  #: nothing is any more
    TRIED = "tried"  #: a try to reach it begins
    FAILED = "failed"  #: the try has failed
    CONNECTED = "connected"  #: a link is up, whoever opened it
    LOST = "lost"  #: the link has ended
    DUE = "due"  #: it may be tried again
    BLOCK = "block"  #: the operator's word
    UNBLOCK = "unblock"
    CLOSED = "closed"  #: its tombstone has come
    RETURNED = "returned"  #: a newer record says that it is there


_ANYWHERE: Final = {
    PeerEvent.CONNECTED: Peering.LINKED,
    PeerEvent.BLOCK: Peering.BLOCKED,
    PeerEvent.CLOSED: Peering.GONE,
}

#: What is not in a state's row changes nothing there.
TABLE: Final[dict[Peering, dict[PeerEvent, Peering]]] = {
    Peering.IDLE: _ANYWHERE | {PeerEvent.NEEDED: Peering.WANTED},
    Peering.WANTED: _ANYWHERE | {PeerEvent.UNNEEDED: Peering.IDLE, PeerEvent.TRIED: Peering.DIALLING},
    Peering.DIALLING: _ANYWHERE | {PeerEvent.FAILED: Peering.WAITING},
    Peering.LINKED: _ANYWHERE | {PeerEvent.LOST: Peering.WAITING},
    Peering.WAITING: _ANYWHERE | {PeerEvent.DUE: Peering.IDLE},
    Peering.BLOCKED: {PeerEvent.UNBLOCK: Peering.IDLE},
    Peering.GONE: {PeerEvent.BLOCK: Peering.BLOCKED, PeerEvent.RETURNED: Peering.IDLE},
}


def after(state: Peering, event: PeerEvent) -> Peering:
    """The state that follows."""
    return TABLE[state].get(event, state)
