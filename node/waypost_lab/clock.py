"""Time in the lab: every machine has a wall clock of its own, which may be wrong."""

from __future__ import annotations

from typing import Final

import trio

from waypost.clock import Instant, WallMs

#: When virtual time begins: a round moment, late enough that no stored time is near zero.
EPOCH_MS: Final[WallMs] = 1_790_000_000_000


class LabClock:
    """Runs with trio's clock, so that `MockClock` moves it. `skew_ms` is this machine's error and may be changed."""

    def __init__(self, skew_ms: int = 0) -> None:
        self.skew_ms = skew_ms

    def instant(self) -> Instant:
        return trio.current_time()

    def wall_ms(self) -> WallMs:
        return EPOCH_MS + self.skew_ms + round(trio.current_time() * 1000)
