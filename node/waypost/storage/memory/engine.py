"""The Store in memory: the slow and obvious twin of the SQLite one, for tests and for the lab.

An operation has taken effect when `submit` returns. Whoever awaits it then has its answer without waiting; those who
take changes, and those who are called, have learnt of it before that, or else do so in trio's next round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import trio

from waypost.errors import Code, LocalError, WaypostError
from waypost.storage.memory.apply import answer, apply
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Change
from waypost.storage.pending import Pending, Report, to_stderr
from waypost.storage.store import Store

T = TypeVar("T")


class _Pending(Pending[T]):
    """Concluded, at the latest, by whoever awaits it."""

    __slots__ = ("_conclude",)

    def __init__(self, conclude: Callable[[], None]) -> None:
        super().__init__()
        self._conclude = conclude

    async def _wait(self) -> T:
        self._conclude()
        return await super()._wait()


class MemoryStore(Store):
    """What one process has of a state, which may be one of several: see `Store.changes`.

    `max_bytes` is for a new state: beyond so many of envelopes, outcomes and packages, Refused(STORE_FULL).
    """

    def __init__(
        self, state: MemoryState | None = None, *, max_bytes: int | None = None, report: Report = to_stderr
    ) -> None:
        self.state = state or MemoryState(max_bytes)
        super().__init__(self.state.epoch, report)
        self._commits: deque[tuple[Pending[Any], Any, WaypostError | None, tuple[Change, ...]]] = deque()

    def submit(self, operation: Operation[T]) -> Pending[T]:
        pending: Pending[T] = _Pending(self._conclude)
        changes: list[Change] = []
        value, error = None, None
        try:
            value = apply(self.state, operation, changes)
        except WaypostError as refusal:
            error = refusal
        if not self._commits:
            # In the very next round: a callback by trio's token comes a round or two later.
            trio.lowlevel.spawn_system_task(self._conclude_soon)
        self._commits.append((pending, value, error, tuple(changes)))
        return pending

    async def _conclude_soon(self) -> None:
        self._conclude()

    def _conclude(self) -> None:
        while self._commits:
            pending, value, error, changes = self._commits.popleft()
            self._feed.give(changes)
            pending.resolve(value, error, self._feed.report)

    async def read(self, question: Question[T]) -> T:
        return answer(self.state, question)

    async def backup(self, target: Path) -> None:
        raise LocalError(Code.UNSUPPORTED, "a store in memory has no backup")

    async def tidy(self) -> None:
        """Nothing to give back."""

    async def close(self) -> None:
        """Nothing to release."""
