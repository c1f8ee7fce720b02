"""When what was refused for now is tried again."""

from __future__ import annotations

from collections.abc import Callable

from waypost.clock import SECOND_MS
from waypost.limits import RESEND_S

RESEND_MAX_MS = int(RESEND_S[-1] * SECOND_MS)


def resend_after_ms(tries: int, random: Callable[[int], bytes]) -> int:
    """The schedule's delay after that many failures, less up to a quarter at random: many wait for the same thing."""
    delay_ms = int(RESEND_S[min(tries, len(RESEND_S) - 1)] * SECOND_MS)
    return delay_ms - delay_ms // 4 * int.from_bytes(random(2), "big") // 2**16
