"""Tells the operator when the store has begun to refuse mail for want of room, and when that is over."""

from __future__ import annotations

from typing import Any, Final

from waypost.clock import Clock
from waypost.errors import WaypostError

#: At the brim small messages fit and large ones do not: it is over once nothing was refused for so long.
CALM_S: Final = 60.0


class Fullness:
    """One line when it begins and one when it is over, so at most a pair a minute however often it is refused."""

    def __init__(self, clock: Clock, log: Any) -> None:
        self._clock = clock
        self._log = log
        self._refused = 0  #: since it began; 0: there is room
        self._last = 0.0

    def refused(self, count: int, error: WaypostError) -> None:
        """So many envelopes or outcomes were refused with STORE_FULL."""
        self._last = self._clock.instant()
        if not self._refused:
            self._log.warning(
                "storage is full: new messages are refused for now", reason=error.detail, advice=error.code.remedy
            )
        self._refused += count

    def stored(self) -> None:
        """Something new was stored."""
        if self._refused and self._clock.instant() - self._last >= CALM_S:
            self._log.info("storage has room again", refused=self._refused)
            self._refused = 0
