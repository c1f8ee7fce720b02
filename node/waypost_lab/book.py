"""What became of every message, as the apps saw it that sent and received it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import trio


@dataclass
class Tally:
    """By envelope id, except `shown`, which goes by what the body says: a copy in another envelope would be noticed."""

    written: dict[bytes, bytes] = field(default_factory=dict)  #: id → the body's own mark
    between: dict[bytes, tuple[str, str]] = field(default_factory=dict)  #: id → sender, recipient
    accepted: set[bytes] = field(default_factory=set)
    refused: dict[bytes, int] = field(default_factory=dict)  #: for good, so never accepted
    put_off: Counter[int] = field(default_factory=Counter)  #: refusals for now, by code
    shown: Counter[bytes] = field(default_factory=Counter)  #: by mark
    outcomes: dict[bytes, int] = field(default_factory=dict)  #: id → code, 0 is delivered
    latencies_ms: list[float] = field(default_factory=list)  #: from writing to showing, in the order of showing
    arrivals: int = 0  #: envelopes offered to recipients, each time
    foreign: int = 0  #: envelopes that nobody has written, or that were altered
    offers: int = 0  #: envelopes offered by senders, each time
    changed: trio.Event = field(default_factory=trio.Event)

    def ring(self) -> None:
        """Wake whoever waits for `changed`."""
        self.changed.set()
        self.changed = trio.Event()

    @property
    def delivered(self) -> int:
        return sum(self.shown[self.written[id_]] > 0 for id_ in self.accepted)

    @property
    def bounced(self) -> int:
        return sum(self.outcomes.get(id_, 0) != 0 for id_ in self.accepted)

    @property
    def outstanding(self) -> list[bytes]:
        """Accepted, and neither shown nor bounced: lost, unless more is still to come."""
        return [id_ for id_ in self.accepted if not self.shown[self.written[id_]] and not self.outcomes.get(id_, 0)]

    @property
    def lost(self) -> int:
        return len(self.outstanding)

    @property
    def duplicates(self) -> int:
        """Shown more than once."""
        return sum(count > 1 for count in self.shown.values())

    @property
    def unreported(self) -> int:
        """Accepted, and the sender has not been told what became of it."""
        return sum(id_ not in self.outcomes for id_ in self.accepted)

    @property
    def wrongly_bounced(self) -> int:
        """Shown, although the sender was told that it could not be delivered."""
        return sum(bool(code) and self.shown[self.written[id_]] > 0 for id_, code in self.outcomes.items())

    @property
    def reasons(self) -> dict[int, int]:
        """Bounces of what was accepted, by code."""
        return dict(Counter(code for id_, code in self.outcomes.items() if code and id_ in self.accepted))

    @property
    def complete(self) -> bool:
        """Nothing more is to be expected."""
        settled = len(self.accepted) + len(self.refused)
        return settled >= len(self.written) and not self.unreported and not self.lost

    @property
    def holds(self) -> bool:
        """Whether the promises were kept."""
        return not (self.lost or self.duplicates or self.unreported or self.foreign or self.wrongly_bounced)

    def facts(self) -> dict[str, int]:
        """For people and for JSON."""
        return {
            "accepted": len(self.accepted),
            "delivered": self.delivered,
            "bounced": self.bounced,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "reported": len(self.accepted) - self.unreported,
            "refused": len(self.refused),
            "put_off": self.put_off.total(),
            "arrivals": self.arrivals,
            "offers": self.offers,
            "foreign": self.foreign,
            "wrongly_bounced": self.wrongly_bounced,
        }
