"""Group commit: operations queue up, all that is queued is written in one transaction, then everyone who waits learns.

So a commit is as large as the load makes it, and a lone operation waits for nobody. Each transaction is one hop to
aiosqlite's thread. No task writes: a commit is concluded in a callback of the thread, which starts the next one.
"""

from __future__ import annotations

import math
import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeVar

import aiosqlite
import trio

from waypost.errors import Code, LocalError
from waypost.limits import COMMIT_MAX_BYTES, COMMIT_MAX_OPERATIONS
from waypost.storage.feed import Feed
from waypost.storage.operations.base import Operation
from waypost.storage.operations.mail import Accept, Settle
from waypost.storage.pending import Pending
from waypost.storage.sqlite import seam
from waypost.storage.sqlite.transactions import Failed, Outcome, Transactions, call_in_thread, translated

T = TypeVar("T")

#: How long an operation that nobody is waiting for is left alone, to be written together with another.
COMPANY_S = 0.02

_SMALL_BYTES: Final = 256  #: of an operation that carries no envelopes


class Haste(Enum):
    """Whether somebody is kept waiting by an operation."""

    NOW = "now"
    WITH_OTHERS = "with others"


@dataclass(slots=True)
class Queued:
    """An operation that waits for its commit."""

    operation: Operation[Any]
    size: int
    pending: Pending[Any]


def burden(operation: Operation[Any]) -> tuple[int, Haste]:
    """About how many bytes it writes, and whether it can wait for company."""
    match operation:
        case Accept():
            return sum(len(item.envelope) for item in operation.items), Haste.NOW
        case Settle() if not operation.reports:
            # Without news for anyone it only clears up: it can go with the next commit that somebody waits for.
            return _SMALL_BYTES, Haste.WITH_OTHERS
        case _:
            return _SMALL_BYTES, Haste.NOW


class _State(Enum):
    """Of a `GroupCommit`."""

    IDLE = "idle"
    DUE = "due"
    BUSY = "busy"
    CLOSED = "closed"


class GroupCommit:
    """The queue of operations, written group by group in the order in which they were submitted.

    One commit at a time is under way; what is submitted meanwhile waits for the next. No cancellation reaches either.

        IDLE ──▶ DUE    an operation came that somebody waits for, or one that nobody waits for has had COMPANY_S
                        without another
        DUE  ──▶ BUSY   a tick of trio later: what comes at the same time has had the time to be submitted
        BUSY ──▶ DUE    the commit has been concluded, and something is queued
        BUSY ──▶ IDLE   the commit has been concluded, and nothing is queued
        IDLE, BUSY ──▶ CLOSED   the same after `close`; or a commit raised what no operation can be told of

    Concluding a commit is giving its changes to `feed`, then resolving its operations in order. After `close`
    nothing is taken any more, and all that is queued goes the same way.
    """

    def __init__(
        self,
        connection: aiosqlite.Connection,
        transactions: Transactions,
        feed: Feed,
        burden: Callable[[Operation[Any]], tuple[int, Haste]] = burden,
    ) -> None:
        self._connection = connection
        self._transactions = transactions
        self._feed = feed
        self._burden = burden
        self._queue: deque[Queued] = deque()
        self._group: list[Queued] = []  #: of the commit under way
        self._state = _State.IDLE
        self._closing = False
        self._closed = trio.Event()
        #: Wakes `run`, which is what a tick is: it has its turn once what runs now has run.
        self._called = trio.Event()
        self._broken: BaseException | None = None
        #: Ends when operations without anyone waiting for them have been left alone for long enough.
        self._company = trio.CancelScope(shield=True)

    def submit(self, operation: Operation[T]) -> Pending[T]:
        """Queue an operation. Raises LocalError(NOT_RUNNING) once `close` was called."""
        if self._closing:
            raise LocalError(Code.NOT_RUNNING, "the store is closed")
        size, haste = self._burden(operation)
        pending: Pending[T] = Pending()
        self._queue.append(Queued(operation, size, pending))
        if self._state is _State.IDLE:
            if haste is Haste.NOW:
                self._go_on()
            elif self._company.deadline == math.inf:
                self._company.deadline = trio.current_time() + COMPANY_S
        return pending

    async def run(self) -> None:
        """Until `close`, and then until all that was submitted before it is written, whatever is cancelled meanwhile.

        Raises what no operation can be told of: a fault in its SQL. The operations that
        have no result yet then get LocalError(NOT_RUNNING).
        """
        while not self._closed.is_set():
            with self._company:
                await self._called.wait()
            self._company = trio.CancelScope(shield=True)
            self._called = trio.Event()
            if self._state is _State.DUE or (self._state is _State.IDLE and self._queue):
                self._commit()
        if self._broken is not None:
            raise self._broken

    async def close(self) -> None:
        """Return when everything submitted has been written, or has failed."""
        self._closing = True
        if self._state is _State.IDLE:
            self._go_on()
        with trio.CancelScope(shield=True):
            await self._closed.wait()

    def _go_on(self) -> None:
        """From a state in which no commit is under way."""
        if self._queue:
            self._state = _State.DUE
            self._called.set()
        elif self._closing:
            self._end()
        else:
            self._state = _State.IDLE

    def _commit(self) -> None:
        if self._company.deadline != math.inf:
            self._company.deadline = math.inf
        self._state = _State.BUSY
        self._group = self._take()
        seam.start(
            call_in_thread(self._connection, self._transactions.commit, ([each.operation for each in self._group],)),
            self._done,
        )

    def _take(self) -> list[Queued]:
        group = [self._queue.popleft()]
        size = group[0].size
        while self._queue and len(group) < COMMIT_MAX_OPERATIONS and size + self._queue[0].size <= COMMIT_MAX_BYTES:
            group.append(self._queue.popleft())
            size += group[-1].size
        return group

    def _done(self, outcome: Outcome | None, error: BaseException | None) -> None:
        try:
            self._conclude(outcome, error)
            self._go_on()
        except BaseException as trouble:  # noqa: BLE001 # reason: here it would end trio; `run` raises it
            self._break(trouble)

    def _conclude(self, outcome: Outcome | None, error: BaseException | None) -> None:
        if isinstance(error, sqlite3.Error):
            outcome = [Failed(translated(error))] * len(self._group), []
        elif error is not None:
            raise error
        answers, commits = outcome or ([], [])
        for changes in commits:
            self._feed.give(changes)
        for queued, answer in zip(self._group, answers, strict=True):
            if isinstance(answer, Failed):
                queued.pending.resolve(None, answer.error, self._feed.report)
            else:
                queued.pending.resolve(answer, None, self._feed.report)
        self._group = []

    def _end(self) -> None:
        self._state = _State.CLOSED
        self._closed.set()
        self._called.set()

    def _break(self, trouble: BaseException) -> None:
        self._broken = trouble
        self._closing = True
        self._end()
        for queued in (*self._group, *self._queue):
            if not queued.pending.done:
                lost = LocalError(Code.NOT_RUNNING, "the store has broken down")
                queued.pending.resolve(None, lost, self._feed.report)
        self._queue.clear()
