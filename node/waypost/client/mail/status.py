"""Where a sent message is."""

from __future__ import annotations

from dataclasses import dataclass

from waypost.clock import WallMs
from waypost.errors import Code, Refused, code_of, describe
from waypost.protocol.custody.fate import State

SentState = State


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
