"""The SQLite store as it ships, on a disk of the lab: without aiosqlite's thread, so that virtual time can pass.

Everything above the database connection is the code that nodes run: operations, group commit, SQL. Each transaction
takes as long as the disk takes; a crash before it is made leaves nothing of it, a crash after it all.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import aiosqlite
import trio

from waypost.storage.operations.base import Operation
from waypost.storage.operations.mail import Trace, TraceOf
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxInfo
from waypost.storage.pending import Pending
from waypost.storage.sqlite import schema
from waypost.storage.sqlite.apply import answer
from waypost.storage.sqlite.engine import SqliteStore
from waypost.storage.sqlite.keys import epoch, set_epoch
from waypost.storage.sqlite.transactions import Connection, Failed, Outcome, Transactions, in_thread
from waypost.storage.sqlite.transactions import Disk as Room
from waypost_lab.durable import COMMIT_S, Observer

T = TypeVar("T")

_AFTER: Final = 0.25  #: see `durable`
_NOWHERE: Final = Path("memory")


class Crashed(Exception):
    """The process is gone. Ends what is left of it in here."""


class _Room(Room):
    """Says that it has none when it is told to."""

    def __init__(self) -> None:
        super().__init__(_NOWHERE)
        self.full = False

    def is_tight(self, conn: sqlite3.Connection) -> bool:
        return self.full


class SqlDisk:
    """A database in memory that survives what uses it. See `durable.Disk`."""

    def __init__(self) -> None:
        self.commit_s = COMMIT_S
        self.room = _Room()
        self.conn = _database()

    async def open(self, rng: random.Random, observer: Observer | None = None) -> SqlLabStore:
        """What one run of a node has of it."""
        inline = _Inline(self, rng, observer)
        await schema.prepare(in_thread, inline, _NOWHERE)
        connection = cast("aiosqlite.Connection", inline)  # as much of one as the store uses
        return SqlLabStore(inline, connection, await in_thread(connection, Transactions, self.room))

    async def mailboxes(self) -> list[MailboxInfo]:
        return answer(self.conn, AllMailboxes())  # type: ignore[no-any-return] # what it answers with

    async def trace(self, id_: bytes) -> list[Trace]:
        return answer(self.conn, TraceOf(id_))  # type: ignore[no-any-return] # what it answers with

    def waiting_for(self, device: bytes) -> int:
        """Items in the inbox of a device."""
        row = self.conn.execute(
            "SELECT ifnull(sum(d.items), 0) FROM mailbox AS m JOIN delivery AS d ON d.mailbox = m.id WHERE m.owner = ?",
            (device.hex(),),
        ).fetchone()
        return int(row[0])

    def fill(self) -> None:
        """From now on it has no room for more mail."""
        self.room.full = True

    def free(self) -> None:
        self.room.full = False

    def backup(self) -> sqlite3.Connection:
        """A copy of what it holds now."""
        copy = _database()
        self.conn.backup(copy)
        return copy

    def restore(self, backup: sqlite3.Connection) -> None:
        """As `waypost restore` does it: the state of then, under a new epoch. While no node uses it."""
        self.conn = _database()
        backup.backup(self.conn)
        self.conn.execute("DELETE FROM package WHERE last_resort = 0")
        set_epoch(self.conn, epoch(self.conn) + 1)


class _Memory(Connection):
    """A database that is gone with whoever holds it; Python 3.13 wants to be told that this is meant."""

    def __del__(self) -> None:
        self.close()


def _database() -> sqlite3.Connection:
    return sqlite3.connect(":memory:", isolation_level=None, factory=_Memory)


class _Inline:
    """As much of aiosqlite's connection as the store uses. What it is told to run takes the disk's time."""

    def __init__(self, disk: SqlDisk, rng: random.Random, observer: Observer | None) -> None:
        self.crashed = False
        self._disk = disk
        self._conn = disk.conn
        self._rng = rng
        self._observer = observer

    async def execute_fetchall(self, sql: Any, parameters: Any = ()) -> Any:
        writes = getattr(sql, "__name__", "") == "commit"
        takes_s = self._disk.commit_s * (0.5 + self._rng.random()) if writes else 0.0
        await self._pass(takes_s * (1 - _AFTER))
        result = self._conn.execute(sql, parameters).fetchall()
        if writes:
            self._tell(parameters[0], cast("Outcome", result))
        await self._pass(takes_s * _AFTER)
        return result

    async def _pass(self, seconds: float) -> None:
        passed = asyncio.get_running_loop().create_future()
        trio.lowlevel.spawn_system_task(_answer, passed, seconds)
        await passed
        if self.crashed:
            raise Crashed

    def _tell(self, operations: Sequence[Operation[Any]], outcome: Outcome) -> None:
        if self._observer is None:
            return
        answers, _ = outcome
        for operation, given in zip(operations, answers, strict=True):
            self._observer.committed(operation, given.error if isinstance(given, Failed) else given)


async def _answer(future: asyncio.Future[None], after_s: float) -> None:
    await trio.sleep(after_s)
    future.set_result(None)


class SqlLabStore(SqliteStore):
    """One run's view of a `SqlDisk`. See `durable.LabStore`."""

    def __init__(self, inline: _Inline, connection: aiosqlite.Connection, transactions: Transactions) -> None:
        super().__init__(_NOWHERE, connection, connection, transactions)
        self._inline = inline
        self._pending: deque[Pending[Any]] = deque()
        self.written = 0

    @property
    def unanswered(self) -> int:
        """Operations that have no answer yet."""
        return sum(not pending.done for pending in self._pending)

    def crash(self) -> None:
        """The process is gone: nothing that was not committed will be, and nobody is answered any more."""
        self._inline.crashed = True

    def submit(self, operation: Operation[T]) -> Pending[T]:
        if self._inline.crashed:
            return Pending()  # asked by what is left of a dead process
        pending = super().submit(operation)
        while self._pending and self._pending[0].done:
            self._pending.popleft()
        self._pending.append(pending)
        self.written += 1
        return pending
