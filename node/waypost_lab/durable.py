"""Stores of the lab: in memory, and honest about crashes.

A `Disk` is what survives. A `LabStore` is what one run of a node has of it: operations queue up, a writer commits them
in groups after as long as the disk takes, and whoever waits is told after the commit. A crash at any moment leaves
exactly what was committed: of what was queued nothing, of what was committed but not yet told all.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import trio

from waypost.errors import Code, LocalError, WaypostError
from waypost.limits import COMMIT_MAX_OPERATIONS
from waypost.storage.memory.apply import answer, apply
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mail import Trace, TraceOf
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxInfo
from waypost.storage.pending import Pending
from waypost.storage.store import Store

T = TypeVar("T")

#: A commit on a good disk, and how much of it is left once it is durable: a crash in there is the interesting one.
COMMIT_S: Final = 0.002
_AFTER: Final = 0.25


class Observer(Protocol):
    """Told of what has become durable, at the moment at which it does."""

    def committed(self, operation: Operation[Any], result: Any) -> None:
        """`result`: its answer, or the WaypostError that it raises."""


class Disk:
    """What survives a crash. `commit_s` is how long it takes to make something durable.

    `durable_sql.SqlDisk` is the same over the SQLite store as it ships.
    """

    def __init__(self) -> None:
        self.state = MemoryState()
        self.commit_s = COMMIT_S

    async def open(self, rng: random.Random, observer: Observer | None = None) -> LabStore:
        """What one run of a node has of it."""
        return LabStore(self, rng, observer)

    async def mailboxes(self) -> list[MailboxInfo]:
        return answer(self.state, AllMailboxes())

    async def trace(self, id_: bytes) -> list[Trace]:
        return answer(self.state, TraceOf(id_))

    def waiting_for(self, device: bytes) -> int:
        """Items in the inbox of a device."""
        return self.state.waiting_for(device)

    def fill(self) -> None:
        """From now on it has no room for more."""
        self.state.max_bytes = self.state.held_bytes

    def free(self) -> None:
        self.state.max_bytes = None

    def backup(self) -> MemoryState:
        """A copy of what it holds now."""
        return copy.deepcopy(self.state)

    def restore(self, backup: MemoryState) -> None:
        """As `waypost restore` does it: the state of then, under a new epoch. While no node uses it."""
        self.state = copy.deepcopy(backup)
        self.state.new_epoch()


class LabStore(Store):
    """One run's view of a `Disk`; see the module. Call `run` in a task; `close` ends it, `crash` breaks it off."""

    def __init__(self, disk: Disk, rng: random.Random, observer: Observer | None = None) -> None:
        super().__init__(disk.state.epoch)
        self._disk = disk
        self._state = disk.state
        self._rng = rng
        self._observer = observer
        self._queue: deque[tuple[Operation[Any], Pending[Any]]] = deque()
        self._wake = trio.Event()
        self._closing = self._crashed = False
        self._closed = trio.Event()
        self.unanswered = 0  #: operations that have no answer yet
        self.written = 0  #: operations that were committed, or refused

    # ── the writer ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Write until `close`, and then all that was called before it, whatever is cancelled meanwhile."""
        try:
            with trio.CancelScope(shield=True):
                while not self._crashed and (self._queue or not self._closing):
                    if self._queue:
                        await self._commit()
                    else:
                        await self._wake.wait()
                        self._wake = trio.Event()
        finally:
            self._closed.set()

    async def _commit(self) -> None:
        takes_s = self._disk.commit_s * (0.5 + self._rng.random())
        await trio.sleep(takes_s * (1 - _AFTER))
        if self.has_crashed():
            return
        group = [self._queue.popleft() for _ in range(min(len(self._queue), COMMIT_MAX_OPERATIONS))]
        changes: list[Change] = []
        outcomes = [(pending, *self._apply(operation, changes)) for operation, pending in group]
        await trio.sleep(takes_s * _AFTER)
        if self.has_crashed():
            return
        self._feed.give(tuple(changes))
        for pending, value, error in outcomes:
            self.unanswered -= 1
            pending.resolve(value, error, self._feed.report)

    def _apply(self, operation: Operation[Any], changes: list[Change]) -> tuple[Any, WaypostError | None]:
        self.written += 1
        try:
            value = apply(self._state, operation, changes)
        except WaypostError as error:
            self._tell(operation, error)
            return None, error
        self._tell(operation, value)
        return value, None

    def _tell(self, operation: Operation[Any], result: Any) -> None:
        if self._observer is not None:
            self._observer.committed(operation, result)

    def has_crashed(self) -> bool:
        return self._crashed

    def crash(self) -> None:
        """The process is gone: nothing that was not committed will be, and nobody is answered any more."""
        self._crashed = True
        self._queue.clear()
        self._wake.set()

    async def close(self) -> None:
        self._closing = True
        self._wake.set()
        with trio.CancelScope(shield=True):
            await self._closed.wait()

    def submit(self, operation: Operation[T]) -> Pending[T]:
        pending: Pending[T] = Pending()
        if self._crashed:
            return pending  # asked by what is left of a dead process
        if self._closing:
            raise LocalError(Code.NOT_RUNNING, "the store is closed")
        self._queue.append((operation, pending))
        self.unanswered += 1
        self._wake.set()
        return pending

    async def read(self, question: Question[T]) -> T:
        await trio.lowlevel.checkpoint()
        return answer(self._state, question)

    async def backup(self, target: Path) -> None:
        raise LocalError(Code.UNSUPPORTED, "a store in memory has no backup")

    async def tidy(self) -> None:
        """Nothing to give back."""
