"""Group commit: operations queue up, all that is queued is written in one transaction, then everyone who waits learns.

So a commit is as large as the load makes it, and a lone operation waits for nobody. Each transaction is one hop to
aiosqlite's thread. No task writes: a commit is concluded in a callback of the thread, which starts the next one.
"""

from __future__ import annotations

import math
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

import aiosqlite
import trio

from waypost.errors import Code, LocalError, Refused, WaypostError
from waypost.limits import COMMIT_MAX_BYTES, COMMIT_MAX_OPERATIONS, DISK_RESERVE_BYTES
from waypost.storage.feed import Feed
from waypost.storage.operations.base import Operation
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mail import Accept, Settle
from waypost.storage.pending import Pending
from waypost.storage.sqlite import seam
from waypost.storage.sqlite.apply import apply
from waypost.storage.sqlite.keys import epoch
from waypost.storage.sqlite.mail_state import MailState

T = TypeVar("T")

#: How long an operation that nobody is waiting for is left alone, to be written together with another.
COMPANY_S = 0.02

#: After a group of more operations others come at once, from those who have learnt: the next commit lets them in.
_SMALL_GROUP: Final = 4

_SMALL_BYTES: Final = 256  #: of an operation that carries no envelopes


class Haste(Enum):
    """Whether somebody is kept waiting by an operation."""

    NOW = "now"
    WITH_OTHERS = "with others"


@dataclass(frozen=True)
class _Result:
    """Looks like a cursor to aiosqlite, which calls `fetchall` in the database thread."""

    value: Any

    def fetchall(self) -> Any:
        return self.value


class Connection(sqlite3.Connection):
    """Lets `execute_fetchall(function, arguments)` run a function in the database thread and return what it returns.

    aiosqlite's public interface makes one hop per statement; this makes one per transaction.
    """

    def execute(self, sql: Any, parameters: Any = (), /) -> Any:
        if callable(sql):
            return _Result(sql(self, *parameters))
        return super().execute(sql, parameters)


@dataclass(slots=True)
class Queued:
    """An operation that waits for its commit."""

    operation: Operation[Any]
    size: int
    pending: Pending[Any]


@dataclass(slots=True)
class Failed:
    """In the place of an answer."""

    error: WaypostError


#: What a group has come to: an answer or a `Failed` for each operation, and for each commit its changes.
Outcome = tuple[list[Any], list[tuple[Change, ...]]]


#: Does an operation inside a transaction; see `apply`.
Apply = Callable[[sqlite3.Connection, MailState, Operation[Any], list[Change]], Any]


def burden(operation: Operation[Any]) -> tuple[int, Haste]:
    """About how many bytes it writes, and whether it can wait for company."""
    match operation:
        case Accept(deposit):
            return sum(len(item.envelope) for item in deposit.items), Haste.NOW
        case Settle(settlement) if not settlement.reports:
            # Without news for anyone it only clears up: it can go with the next commit that somebody waits for.
            return _SMALL_BYTES, Haste.WITH_OTHERS
        case _:
            return _SMALL_BYTES, Haste.NOW


def translated(error: sqlite3.Error) -> WaypostError:
    """What it means to the node: STORE_FULL, or STATE_DAMAGED."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return Refused(Code.STORE_FULL, "database or disk is full")
    return LocalError(Code.STATE_DAMAGED, f"{type(error).__name__}: {error}")


class Disk:
    """The room on the disk that a database and its write-ahead log are on."""

    def __init__(self, database: Path) -> None:
        self._database = database
        self._log = database.with_name(f"{database.name}-wal")

    def is_tight(self, conn: sqlite3.Connection) -> bool:
        """Whether what is free would not hold the log, once it is folded back into the database, and the reserve."""
        disk = os.statvfs(self._database)
        reserve = min(DISK_RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 8)
        log = self._log.stat().st_size if self._log.exists() else 0
        free = disk.f_bavail * disk.f_frsize
        if free >= reserve + log:
            return False
        # Pages that the database has emptied take the log in without growing; the log itself still needs some room.
        (spare,) = conn.execute(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
        ).fetchone()
        return free < reserve // 4 or free + int(spare) < reserve + log


class Transactions:
    """What runs in the database thread: groups of operations, each group a transaction."""

    def __init__(self, conn: sqlite3.Connection, disk: Disk, apply: Apply = apply) -> None:
        self.epoch = epoch(conn)
        self._mail = MailState(conn)
        self._disk = disk
        self._apply = apply

    def commit(self, conn: sqlite3.Connection, operations: Sequence[Operation[Any]]) -> Outcome:
        """What they have come to. Either a whole operation is durable, or none of it."""
        try:
            answers, changes = self._transaction(conn, operations)
        except sqlite3.Error as error:
            self._undo(conn)
            if len(operations) == 1:
                return [Failed(translated(error))], []
        else:
            # Beyond the try: what is committed must not be done again, whatever becomes of the log.
            self._make_room(conn)
            return answers, [tuple(changes)]
        # One of them spoilt it for all: give each a transaction of its own.
        alone = [self.commit(conn, [operation]) for operation in operations]
        return [answers[0] for answers, _ in alone], [changes for _, each in alone for changes in each]

    def _transaction(
        self, conn: sqlite3.Connection, operations: Sequence[Operation[Any]]
    ) -> tuple[list[Any], list[Change]]:
        answers: list[Any] = []
        changes: list[Change] = []
        conn.execute("BEGIN IMMEDIATE")
        for operation in operations:
            try:
                # Mail that filled the disk to the last byte could not be cleared away any more: that writes a little
                # first.
                if isinstance(operation, Accept) and self._disk.is_tight(conn):
                    raise Refused(Code.STORE_FULL, "the disk is nearly full")
                answers.append(self._apply(conn, self._mail, operation, changes))
            except WaypostError as error:  # refused before it changed anything
                answers.append(Failed(error))
        conn.execute("COMMIT")
        return answers, changes

    def _make_room(self, conn: sqlite3.Connection) -> None:
        """The log is room that can be had back; what is written next may be clearing up, which needs it."""
        with suppress(sqlite3.OperationalError):  # busy or full: then it stays as it is
            if self._disk.is_tight(conn):
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _undo(self, conn: sqlite3.Connection) -> None:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        self._mail.restart(conn)


async def in_thread(connection: aiosqlite.Connection, run: Callable[..., T], *arguments: Any) -> T:
    """Call a function with the connection in its thread, from trio.

    Shielded: cancelling the await would not stop the thread, only lose its answer.
    """
    return await seam.finished(_call(connection, run, arguments))


def _call(
    connection: aiosqlite.Connection, run: Callable[..., T], arguments: tuple[Any, ...]
) -> Coroutine[Any, Any, T]:
    call: Callable[..., Any] = connection.execute_fetchall  # see `Connection`
    return call(run, arguments)  # type: ignore[no-any-return]


class _State(Enum):
    """Of a `GroupCommit`."""

    IDLE = "idle"
    DUE = "due"
    BUSY = "busy"
    CLOSED = "closed"


class GroupCommit:
    """The queue of operations, written group by group in the order in which they were submitted.

    One commit at a time is under way; what is submitted meanwhile waits for the next. No cancellation reaches either.

        IDLE ──▶ BUSY   an operation came that somebody waits for, or one that nobody waits for has had COMPANY_S
                        without another; and the last group was small
        IDLE ──▶ DUE    the same, and the last group was large
        DUE  ──▶ BUSY   a tick of trio later: whoever was woken by the last commit has had the time to submit
        BUSY ──▶ BUSY   the commit has been concluded, something is queued, and the group was small
        BUSY ──▶ DUE    the same, and the group was large
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
        self._token = trio.lowlevel.current_trio_token()
        self._queue: deque[Queued] = deque()
        self._group: list[Queued] = []  #: of the commit under way
        self._was_large = False  #: the last group
        self._state = _State.IDLE
        self._closing = False
        self._closed = trio.Event()
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
                await self._closed.wait()
            self._company = trio.CancelScope(shield=True)
            if self._state is _State.IDLE and self._queue:
                self._go_on()
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
            if self._was_large:
                self._state = _State.DUE
                self._token.run_sync_soon(self._commit)
            else:
                self._commit()
        elif self._closing:
            self._state = _State.CLOSED
            self._closed.set()
        else:
            self._state = _State.IDLE

    def _commit(self) -> None:
        if self._company.deadline != math.inf:
            self._company.deadline = math.inf
        self._state = _State.BUSY
        self._group = self._take()
        seam.start(
            _call(self._connection, self._transactions.commit, ([each.operation for each in self._group],)), self._done
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
        self._was_large = len(self._group) > _SMALL_GROUP
        self._group = []

    def _break(self, trouble: BaseException) -> None:
        self._broken = trouble
        self._closing = True
        self._state = _State.CLOSED
        self._closed.set()
        for queued in (*self._group, *self._queue):
            if not queued.pending.done:
                lost = LocalError(Code.NOT_RUNNING, "the store has broken down")
                queued.pending.resolve(None, lost, self._feed.report)
        self._queue.clear()
