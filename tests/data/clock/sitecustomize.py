"""Python loads this at its start where PYTHONPATH names the folder: the machine's clock, as many nanoseconds ahead."""

import os
import time

_AHEAD_NS = int(os.environ.get("TEST_CLOCK_AHEAD_NS", "0"))
_real_ns = time.time_ns


def _ns() -> int:
    return _real_ns() + _AHEAD_NS


def _s() -> float:
    return _ns() / 1e9


if _AHEAD_NS:
    time.time_ns = _ns
    time.time = _s
