"""The Store: operations, each of them one transaction; questions; and the changes that commits have made.

An operation takes effect in the order in which operations are *submitted*; awaiting it gives the answer after the
commit. So

    pending = store.submit(deposit)  # has its place in the order now
    accepted = await pending                 # durable

A caller that is cancelled while it waits changes nothing: the transaction goes on. When the disk is full an operation
that writes raises Refused(STORE_FULL) and leaves everything as it was.

Who keeps a copy in memory feeds on `changes`, and must be right with this process's own commits and `Look` alone: what
another process has committed is only hinted at. `caches` has what feeds so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TypeVar

from waypost.storage.feed import Feed
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Take
from waypost.storage.pending import Pending, Report, to_stderr

T = TypeVar("T")


class Store(ABC):
    """See the module.

    `epoch` changes when the state was restored from a backup: what devices believe to be published may be gone.
    `report` is called with what a take or a callback of `Pending.then` raises.
    """

    def __init__(self, epoch: int, report: Report = to_stderr) -> None:
        self.epoch = epoch
        self._feed = Feed(report)

    @abstractmethod
    def submit(self, operation: Operation[T]) -> Pending[T]:
        """Do it, in its place in the order of all that is submitted; nothing of it is concluded before this returns.

        The answer may be Refused(STORE_FULL) if the operation writes; other errors are named with the operation.
        Raises LocalError(NOT_RUNNING) once `close` was called.
        """

    @abstractmethod
    async def read(self, question: Question[T]) -> T:
        """From what is committed: at least all that was before the call."""

    def changes(self, take: Take) -> None:
        """From now on call `take` with the changes of each commit that has any, until the store is closed.

        All commits of this process, each once, in their order; in trio's thread, before anyone who waits for an
        operation of that commit learns of it. It must not block; what it raises is reported, and stops nobody else.

        What another process has committed comes as `Look`: late, twice or not at all, but once in 5 s for each subject
        at least. An engine that only one process can use sends none.
        """
        self._feed.add(take)

    @abstractmethod
    async def backup(self, target: Path) -> None:
        """Write a consistent copy to a file that does not exist yet, while in use. Raises LocalError(BACKUP_FAILED)."""

    @abstractmethod
    async def tidy(self) -> None:
        """Give back disk space; called when there is little to do."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was submitted, then release everything. Safe to call twice, and when cancelled."""
