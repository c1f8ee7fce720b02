"""How tests run: repeatably, and each for a limited time (`timeout` in pyproject.toml)."""

import signal
from collections.abc import Generator
from types import FrameType
from typing import Any

import pytest
import trio
from hypothesis import settings

# Repeatable and without a deadline: a busy machine must not fail a test. Hunt with --hypothesis-profile=hunt.
settings.register_profile("default", deadline=None, derandomize=True, database=None)
settings.register_profile("hunt", deadline=None, max_examples=2_000)
settings.load_profile("default")

#: For a test under trio to end in good order, once its time is over.
GRACE_S = 10
FAILED = pytest.StashKey[BaseException]()


@pytest.hookimpl(wrapper=True)
def pytest_timeout_set_timer(item: pytest.Item) -> Generator[None, object, object]:
    """A test under trio is interrupted as by Ctrl-C, and ends what it has started.

    An exception out of nowhere, which is how pytest-timeout ends a test, would leave trio and its processes behind.
    """
    result = yield
    fail: Any = signal.getsignal(signal.SIGALRM)
    if not callable(fail):
        return result

    def over(number: int, frame: FrameType | None) -> None:
        interrupt: Any = signal.getsignal(signal.SIGINT)
        if not trio.lowlevel.in_trio_run() or not callable(interrupt) or FAILED in item.stash:
            fail(number, frame)
        try:
            fail(number, frame)
        except BaseException as failed:  # noqa: BLE001
            # reason: it is raised when the test has ended
            item.stash[FAILED] = failed
        signal.setitimer(signal.ITIMER_REAL, GRACE_S)
        interrupt(signal.SIGINT, frame)

    signal.signal(signal.SIGALRM, over)
    return result


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    except BaseException:
        if FAILED in item.stash:
            raise item.stash[FAILED] from None
        raise
