"""Ctrl-C, and whatever means the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block SIGINT and SIGTERM both raise KeyboardInterrupt, so that what was started is ended in good order.

    Said outright, because a shell without job control starts what it puts into the background with SIGINT ignored, and
    Python leaves it so. For the main thread.
    """
    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        # By way of SIGINT: trio raises that one where it does no harm.
        signal.SIGTERM: signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
