"""Background tasks of a relay, none of which can end it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVarTuple

import trio

Ts = TypeVarTuple("Ts")


@contextmanager
def contained(log: Any, what: str, **context: Any) -> Iterator[None]:
    """End the block, not the relay, when something goes wrong that nobody foresaw; the log tells what.

    One bad peer, device or request must never take the others down. Cancellation passes through.
    """
    try:
        yield
    except* Exception as group:  # reason: this is the place that is meant to
        log.error("unforeseen trouble", where=what, exc_info=group, **context)  # noqa: TRY400 - with what it was


class Tasks:
    """A nursery whose tasks are contained: what one of them raises is logged, and the others go on."""

    def __init__(self, nursery: trio.Nursery, log: Any) -> None:
        self._nursery = nursery
        self._log = log
        self._closed = False

    def start_soon(self, task: Callable[[*Ts], Awaitable[Any]], *args: *Ts) -> None:
        """Nothing after `close`: links that end late may still want to."""
        if not self._closed:
            self._nursery.start_soon(self._run, task, args)

    def close(self) -> None:
        """The nursery is about to end."""
        self._closed = True

    async def start(self, task: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Until the task says that it has started; what it raises before that comes out here."""
        await self._nursery.start(self._run_started, task, args)

    async def _run(self, task: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        with contained(self._log, getattr(task, "__qualname__", "task")):
            await task(*args)

    async def _run_started(
        self, task: Callable[..., Awaitable[Any]], args: tuple[Any, ...], *, task_status: trio.TaskStatus[None]
    ) -> None:
        status = _Status(task_status)
        try:
            await task(*args, task_status=status)
        except BaseException:
            # As it is, not in a group: whoever waits for the start catches a refusal by its type.
            if not status.done:
                raise
            with contained(self._log, getattr(task, "__qualname__", "task")):
                raise


class _Status:
    """Remembers whether the task has started."""

    def __init__(self, inner: trio.TaskStatus[None]) -> None:
        self._inner = inner
        self.done = False

    def started(self, value: None = None) -> None:
        self.done = True
        self._inner.started(value)
