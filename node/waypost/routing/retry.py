"""When to try a peer again: one schedule per peer, not per message.

2 s, 10 s, 30 s, 2 min, 5 min, 15 min, 30 min, then hourly for a day, then every 6 h, each ±20 %, so that nodes which
lost the same peer at the same moment do not come back at the same moment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from waypost.clock import NEVER, Instant

_MINUTE_S: Final = 60.0
_HOUR_S: Final = 3_600.0
_STEPS_S: Final = (2.0, 10.0, 30.0, 2 * _MINUTE_S, 5 * _MINUTE_S, 15 * _MINUTE_S, 30 * _MINUTE_S) + 24 * (_HOUR_S,)
_LAST_S: Final = 6 * _HOUR_S
_SPREAD: Final = 0.2

#: No peer is tried more often than this, however many signs of life it gives.
PROBE_GAP_S: Final = _STEPS_S[0]


def delay_s(failures: int, jitter: float) -> float:
    """Seconds to wait after that many failures in a row (from 1); `jitter` in [0, 1) spreads them over ±20 %.

    Raises ValueError outside these ranges.
    """
    if failures < 1 or not 0 <= jitter < 1:
        raise ValueError(f"{failures} failures, jitter {jitter}")
    step = _STEPS_S[failures - 1] if failures <= len(_STEPS_S) else _LAST_S
    return step * (1 - _SPREAD + 2 * _SPREAD * jitter)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Where a peer stands in the schedule. A new one is due at once."""

    failures: int = 0
    next_try: Instant = -NEVER
    failed_at: Instant = -NEVER

    def due(self, now: Instant) -> bool:
        """Whether to try now."""
        return now >= self.next_try

    def failed(self, now: Instant, jitter: float) -> Backoff:
        """The try, or the link, has failed; `jitter` as in `delay_s`."""
        failures = self.failures + 1
        return Backoff(failures, now + delay_s(failures, jitter), now)

    def succeeded(self) -> Backoff:
        """The peer has answered: the schedule starts afresh."""
        return Backoff()

    def heard(self, now: Instant) -> Backoff:
        """A sign of life came in: one try now, or PROBE_GAP_S after the last failure, whichever is later.

        The failures still count, and further signs change nothing until that try has failed or succeeded.
        """
        if not self.failures:
            return self
        return replace(self, next_try=min(self.next_try, max(now, self.failed_at + PROBE_GAP_S)))
