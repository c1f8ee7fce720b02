"""Background tasks of a relay, none of which can end it, and what every part of it works with."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVarTuple

import trio

from waypost.clock import Clock
from waypost.errors import Code, Refused
from waypost.storage.caches import Usages
from waypost.storage.store import Store

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
    """Tasks that are contained: what one of them raises is logged, and the others go on. They live while it is open."""

    def __init__(self, log: Any) -> None:
        self._log = log
        self._nursery: trio.Nursery | None = None  #: while it is open

    @asynccontextmanager
    async def open(self) -> AsyncIterator[trio.Nursery]:
        """Until the block ends, and every task with it."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                yield nursery
            finally:
                self._nursery = None

    def start_soon(self, task: Callable[[*Ts], Awaitable[Any]], *args: *Ts) -> None:
        """Nothing unless it is open: links that end late may still want to."""
        if self._nursery is not None:
            self._nursery.start_soon(self._run, task, args)

    async def start(self, task: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Until the task says that it has started; what it raises before that comes out here.

        Raises Refused(CLOSING) unless it is open.
        """
        if self._nursery is None:
            raise Refused(Code.CLOSING)
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


@dataclass(frozen=True)
class Surroundings:
    """What every part of a relay works with."""

    clock: Clock
    log: Any  #: a structlog logger
    store: Store
    tasks: Tasks
    usages: Usages
