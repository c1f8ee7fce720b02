"""Runs a program under trio so that the same seed gives the same run: virtual time, and tasks in an order of its own.

trio shuffles tasks that could run at the same moment, so that nobody depends on their order. Here the shuffling comes
from the seed: different seeds still try different orders. trio has no public way to ask for that; the two names used
here are the ones that pytest-trio and hypothesis use (trio, `_core/_tests/test_scheduler_determinism`), in the lab
alone, and a test notices if they go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any, Final, TypeVar

import trio
import trio.testing
from trio._core import _run as scheduler

from waypost.clock import NEVER, Instant

T = TypeVar("T")

#: With no deadline anywhere only trio itself can go on, when it ends a run; it wakes up by itself, at once.
_STANDSTILL_S: Final = 1.0


class Jumper(trio.abc.Clock):
    """Virtual time that jumps to the next deadline as soon as nobody has anything to do.

    As `MockClock` does with `autojump_threshold=0`, at half the cost: a lab run jumps millions of times.
    """

    def __init__(self) -> None:
        self._now: Instant = 0.0

    def start_clock(self) -> None:
        """It stands still until everyone waits."""

    def current_time(self) -> Instant:
        return self._now

    def deadline_to_sleep_time(self, deadline: Instant) -> float:
        # trio asks when every task waits, and would sleep that long.
        if deadline == NEVER:
            return _STANDSTILL_S
        self._now = max(self._now, deadline)
        return 0.0


def run(main: Callable[..., Awaitable[T]], *args: Any, seed: int) -> T:
    """`trio.run(main, *args)` in virtual time, from that seed. Raises what `main` raises."""
    with _ordered(seed):
        return trio.run(main, *args, clock=Jumper())


@contextmanager
def _ordered(seed: int) -> Iterator[None]:
    chance: Random = scheduler._r  # noqa: SLF001 - see the module
    before, state = scheduler._ALLOW_DETERMINISTIC_SCHEDULING, chance.getstate()  # noqa: SLF001
    setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", True)  # noqa: B010 - Final for others
    chance.seed(seed)
    try:
        yield
    finally:
        setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", before)  # noqa: B010
        chance.setstate(state)
