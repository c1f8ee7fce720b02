"""The Store in a SQLite file, through aiosqlite. Writes go by `commit`; reads have a connection of their own (WAL)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TypeVar

import aiosqlite
import trio

from waypost.errors import Code, LocalError
from waypost.storage.operations.base import Operation, Question
from waypost.storage.pending import Pending, Report, to_stderr
from waypost.storage.sqlite import schema, seam
from waypost.storage.sqlite.apply import answer
from waypost.storage.sqlite.commit import GroupCommit
from waypost.storage.sqlite.transactions import Connection, Disk, Transactions, in_thread, translated
from waypost.storage.store import Store

T = TypeVar("T")

#: 8 KiB pages waste less beside 1 KiB envelopes than 4 KiB ones. The WAL is folded back inline: a separate checkpointer
#: never finds it unused under steady writes, and it grows without bound.
_PRAGMAS = (
    "PRAGMA page_size = 8192",
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA cache_size = -8192",
)
_VACUUM_PAGES = 2_000  #: given back in one go: some 100 ms of the writer's time


def _tidy(conn: sqlite3.Connection) -> None:
    # executescript, since execute() steps a PRAGMA that returns rows only once on Python 3.11.
    conn.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES});")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class SqliteStore(Store):
    """See the module. Made by `open_store`."""

    def __init__(
        self,
        path: Path,
        writing: aiosqlite.Connection,
        reading: aiosqlite.Connection,
        transactions: Transactions,
        report: Report = to_stderr,
    ) -> None:
        super().__init__(transactions.epoch, report)
        self._path = path
        self._writing = writing
        self._reading = reading
        self._commits = GroupCommit(writing, transactions, self._feed)

    async def run(self) -> None:
        """The writing task; it ends after `close`."""
        await self._commits.run()

    def submit(self, operation: Operation[T]) -> Pending[T]:
        return self._commits.submit(operation)

    async def read(self, question: Question[T]) -> T:
        try:
            return await in_thread(self._reading, answer, question)
        except sqlite3.Error as error:
            raise translated(error) from error

    async def backup(self, target: Path) -> None:
        # With a connection and a thread of its own, so that reading mailboxes goes on however long it takes.
        await trio.to_thread.run_sync(_back_up, self._path, target)

    async def tidy(self) -> None:
        try:
            await in_thread(self._writing, _tidy)
        except sqlite3.Error as error:
            raise translated(error) from error

    async def close(self) -> None:
        await self._commits.close()


def _back_up(path: Path, target: Path) -> None:
    if target.exists():
        raise LocalError(Code.BACKUP_FAILED, f"{target} exists")
    try:
        with closing(sqlite3.connect(path)) as source:
            schema.copy_to(source, target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise LocalError(Code.BACKUP_FAILED, str(error)) from error


async def _connect(path: Path, pragmas: Iterable[str]) -> aiosqlite.Connection:
    try:
        connection = await seam.finished(_open(path))
    except (sqlite3.Error, OSError) as error:
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    try:
        for pragma in pragmas:
            await seam.finished(connection.execute_fetchall(pragma))
    except sqlite3.Error as error:
        await _disconnect(connection)
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    return connection


async def _open(path: Path) -> aiosqlite.Connection:
    return await aiosqlite.connect(path, isolation_level=None, factory=Connection)


async def _disconnect(connection: aiosqlite.Connection) -> None:
    # aiosqlite's thread outlives a connection that is not closed, and holds up the end of the process.
    await seam.finished(connection.close())


@asynccontextmanager
async def open_store(path: Path, *, max_bytes: int = 0, report: Report = to_stderr) -> AsyncIterator[SqliteStore]:
    """The store in that file, made or upgraded if need be. `report`: see `Store`.

    `max_bytes` bounds the file (0: only the disk does); beyond it operations raise Refused(STORE_FULL).
    Raises LocalError(STATE_TOO_NEW | STATE_DAMAGED).
    """
    writing = await _connect(path, _PRAGMAS)
    try:
        await schema.prepare(in_thread, writing, path)
        if max_bytes:
            await seam.finished(writing.execute_fetchall(f"PRAGMA max_page_count = {max(64, max_bytes // 8192)}"))
        reading = await _connect(
            path, ("PRAGMA query_only = ON", "PRAGMA busy_timeout = 5000", "PRAGMA cache_size = -8192")
        )
        try:
            transactions = await in_thread(writing, Transactions, Disk(path))
            store = SqliteStore(path, writing, reading, transactions, report)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                try:
                    yield store
                finally:
                    await store.close()
        finally:
            await _disconnect(reading)
    finally:
        await _disconnect(writing)
