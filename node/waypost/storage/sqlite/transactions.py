"""What runs in the database thread: groups of operations, each group a transaction; and the way there."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite

from waypost.errors import Code, LocalError, Refused, WaypostError
from waypost.limits import DISK_RESERVE_BYTES
from waypost.storage.operations.base import Operation
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mail import Accept
from waypost.storage.sqlite import seam
from waypost.storage.sqlite.apply import apply
from waypost.storage.sqlite.keys import epoch
from waypost.storage.sqlite.mail_state import MailState

T = TypeVar("T")


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
class Failed:
    """In the place of an answer."""

    error: WaypostError


#: What a group has come to: an answer or a `Failed` for each operation, and for each commit its changes.
Outcome = tuple[list[Any], list[tuple[Change, ...]]]


#: Does an operation inside a transaction; see `apply`.
Apply = Callable[[sqlite3.Connection, MailState, Operation[Any], list[Change]], Any]


def translated(error: sqlite3.Error) -> WaypostError:
    """What it means to the node: STORE_FULL, or STATE_DAMAGED."""
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return Refused(Code.STORE_FULL, "database or disk is full")
    return LocalError(Code.STATE_DAMAGED, f"{type(error).__name__}: {error}")


class Disk:
    """The room on the disk that a database and its write-ahead log are on."""

    def __init__(self, database: Path) -> None:
        self._database = str(database)
        self._log = f"{database}-wal"

    def is_tight(self, conn: sqlite3.Connection) -> bool:
        """Whether what is free would not hold the log, once it is folded back into the database, and the reserve."""
        disk = os.statvfs(self._database)
        reserve = min(DISK_RESERVE_BYTES, disk.f_blocks * disk.f_frsize // 8)
        log = self._log_bytes()
        free = disk.f_bavail * disk.f_frsize
        if free >= reserve + log:
            return False
        # Pages that the database has emptied take the log in without growing; the log itself still needs some room.
        (spare,) = conn.execute(
            "SELECT freelist_count * page_size FROM pragma_freelist_count, pragma_page_size"
        ).fetchone()
        return free < reserve // 4 or free + int(spare) < reserve + log

    def _log_bytes(self) -> int:
        try:
            return os.stat(self._log).st_size  # noqa: PTH116 - for each commit, and a Path costs more than the call
        except FileNotFoundError:
            return 0


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
    return await seam.finished(call_in_thread(connection, run, arguments))


def call_in_thread(
    connection: aiosqlite.Connection, run: Callable[..., T], arguments: tuple[Any, ...]
) -> Coroutine[Any, Any, T]:
    """The same for `seam.start`."""
    call: Callable[..., Any] = connection.execute_fetchall  # see `Connection`
    return call(run, arguments)  # type: ignore[no-any-return]
