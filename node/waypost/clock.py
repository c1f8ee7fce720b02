"""Two kinds of time, kept apart by name.

`Instant` is monotonic seconds of one process: deadlines, keep-alives, rates. `WallMs` is milliseconds since the Unix
epoch: whatever must survive a restart or be understood by another machine. The core is handed both and reads neither.
"""

from __future__ import annotations

from typing import Protocol

Instant = float
WallMs = int

NEVER: Instant = float("inf")
SECOND_MS = 1_000
MINUTE_MS = 60 * SECOND_MS
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


class Clock(Protocol):
    """Where the shell gets its time. The node has a real one; the lab can skew or jump it."""

    def instant(self) -> Instant: ...

    def wall_ms(self) -> WallMs: ...
