"""What happens to a message, and where it is: the words for it, and which may follow which.

A node writes down *events*, one line of a trace each; what they amount to is the message's *state*. The sender's app
knows the same states. docs/protocol/custody.md specifies both.

    queued ──► accepted ──► held ──► delivered
       │          │           │
       └─ waiting ┴ deferred ─┴────► bounced | expired ──► delivered (its node knows better)
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, Protocol


class Event(StrEnum):
    """A step of a message, as a trace tells it; in the order of a message's life."""

    ACCEPTED = "accepted"  #: the node took custody
    QUEUED = "queued"  #: it waits in a mailbox
    DEFERRED = "deferred"  #: refused for now by the next hop
    HELD = "held"  #: the recipient's node has taken it
    DELIVERED = "delivered"  #: a device has taken it
    EXPIRED = "expired"  #: its time was up
    BOUNCED = "bounced"  #: refused for good, or given up
    OTHER = "other"  #: one that only a newer node knows

    @classmethod
    def _missing_(cls, value: object) -> Event:
        return cls.OTHER


class State(StrEnum):
    """Where a message is."""

    QUEUED = "queued"  #: at the sender: in the profile, on its way to the node; at a node: in a mailbox
    WAITING = "waiting"  #: nothing can be done for it now; tried again
    DEFERRED = "deferred"  #: refused for now by the next hop; only a node says so
    ACCEPTED = "accepted"  #: in the custody of the sender's node
    HELD = "held"  #: in the custody of the recipient's node
    DELIVERED = "delivered"  #: acknowledged by the recipient's device
    BOUNCED = "bounced"  #: refused for good
    EXPIRED = "expired"
    OTHER = "other"  #: one that only a newer node knows

    @classmethod
    def _missing_(cls, value: object) -> State:
        return cls.OTHER

    @property
    def is_final(self) -> bool:
        """Whether it is an end. Of the ends only `DELIVERED` may still follow another."""
        return self in _ENDS


_ENDS: Final = frozenset({State.DELIVERED, State.BOUNCED, State.EXPIRED})
_ONWARD: Final = frozenset({State.WAITING, State.ACCEPTED, State.HELD}) | _ENDS

#: What is news to a sender after what: a later step, an end, or anything after `WAITING`. Late news of an earlier step
#: is none. A node that could not hear of the delivery says `EXPIRED`; the recipient's node knows better.
FOLLOWS: Final[dict[State, frozenset[State]]] = {
    State.QUEUED: _ONWARD,
    State.WAITING: frozenset(State) - {State.OTHER},
    State.DEFERRED: _ONWARD,
    State.ACCEPTED: _ONWARD - {State.ACCEPTED},
    State.HELD: _ENDS,
    State.BOUNCED: frozenset({State.DELIVERED}),
    State.EXPIRED: frozenset({State.DELIVERED}),
    State.DELIVERED: frozenset(),
    State.OTHER: _ONWARD,
}

#: States in which what the next hop is waiting for says more than the last step does.
UNSETTLED: Final = frozenset({State.ACCEPTED, State.QUEUED, State.DEFERRED})


class Step(Protocol):
    """A line of a trace."""

    @property
    def event(self) -> str: ...

    @property
    def party(self) -> str: ...

    @property
    def code(self) -> int: ...


def state_of(steps: Iterable[Step]) -> tuple[State, int]:
    """The state that a trace amounts to, and its code: the furthest step tells. Raises ValueError without any step.

    One device is enough for a message to be delivered to an account, whatever becomes of it at the others.
    """
    known = [(Event(step.event), step) for step in steps]
    delivered = {step.party for event, step in known if event is Event.DELIVERED}
    counted = [
        (event, step)
        for event, step in known
        if event is not Event.OTHER and (event is Event.DELIVERED or step.party not in delivered)
    ]
    event, step = max(counted, key=lambda pair: _ORDER[pair[0]])
    return State(event.value), step.code


_ORDER: Final = {event: place for place, event in enumerate(Event)}
