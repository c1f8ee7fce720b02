"""Where a sent message is."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from waypost.clock import WallMs
from waypost.errors import Code, Refused, code_of, describe


class SentState(Enum):
    """In the order of a message's life."""

    QUEUED = "queued"  #: written to the profile, on its way to the node
    WAITING = "waiting"  #: refused for now, or without keys; tried again
    ACCEPTED = "accepted"  #: in the custody of the sender's node
    HELD = "held"  #: in the custody of the recipient's node
    DELIVERED = "delivered"  #: acknowledged by the recipient's device
    BOUNCED = "bounced"  #: refused for good
    EXPIRED = "expired"

    @property
    def is_final(self) -> bool:
        return self in _FINAL


_FINAL = frozenset({SentState.DELIVERED, SentState.BOUNCED, SentState.EXPIRED})
_ORDER = {SentState.QUEUED: 0, SentState.WAITING: 1, SentState.ACCEPTED: 1, SentState.HELD: 2}


@dataclass(frozen=True, slots=True)
class Status:
    """A step in a sent message's life. `next_try_ms` 0: not known, or none."""

    state: SentState
    at_ms: WallMs
    code: int = 0
    next_try_ms: WallMs = 0

    @property
    def reason(self) -> str:
        """`"not-found (300)"`; empty where there is none."""
        return describe(self.code) if self.code else ""

    def refusal(self) -> Refused:
        """The error for a message that was not delivered."""
        return Refused(code_of(self.code) or Code.INTERNAL, "" if code_of(self.code) else describe(self.code))


def follows(new: Status, old: Status) -> bool:
    """Whether `new` is news after `old`. Late news of an earlier step is none.

    Nothing follows an end, except that the message was delivered after all: a node that could not hear of it has said
    that it expired, and the recipient's says what it knows.
    """
    if old.state.is_final:
        return new.state is SentState.DELIVERED and old.state is not SentState.DELIVERED
    if new.state.is_final or old.state is SentState.WAITING:
        return True
    if new.state is old.state:
        return False
    return _ORDER[new.state] >= _ORDER[old.state]
