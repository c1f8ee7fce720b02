"""The Store in memory: the slow and obvious twin of the SQLite one, for tests and for the lab.

An operation has taken effect when `submit` returns; those who wait and those who take changes learn a moment later.
"""

from __future__ import annotations

from collections import deque
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
        pending: Pending[T] = Pending()
        changes: list[Change] = []
        value, error = None, None
        try:
            value = apply(self.state, operation, changes)
        except WaypostError as refusal:
            error = refusal
        if not self._commits:
            trio.lowlevel.current_trio_token().run_sync_soon(self._conclude)
        self._commits.append((pending, value, error, tuple(changes)))
        return pending

    def _conclude(self) -> None:
        while self._commits:
            pending, value, error, changes = self._commits[0]
            self._feed.give(changes)
            pending.resolve(value, error, self._feed.report)
            self._commits.popleft()

    async def read(self, question: Question[T]) -> T:
        return answer(self.state, question)

    async def backup(self, target: Path) -> None:
        raise LocalError(Code.UNSUPPORTED, "a store in memory has no backup")

    async def tidy(self) -> None:
        """Nothing to give back."""

    async def close(self) -> None:
        """Nothing to release."""
