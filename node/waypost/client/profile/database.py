"""The profile's database: SQLite, one transaction at a time, in a worker thread."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio

from waypost.client.parts import Offload
from waypost.client.profile import schema
from waypost.clock import WallMs
from waypost.errors import Code, LocalError, Refused
from waypost.limits import SCHEMA_COPY_KEPT_MS

T = TypeVar("T")

#: SQLITE_FULL and SQLITE_IOERR_WRITE.
_DISK_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class Database:
    """Made by `open_database`."""

    def __init__(self, connection: sqlite3.Connection, path: Path, offload: Offload) -> None:
        self._connection = connection
        self._path = path
        self._offload = offload
        self._turn = anyio.Lock()
        # asyncio's own cancellation goes through anyio's shields: the thread is then still at work after the turn.
        self._at_work = threading.Lock()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` in one transaction: all of it or nothing. Cancelled before it starts, nothing; afterwards, all.

        Raises what `work` raises, Refused(STORE_FULL) or LocalError(STATE_DAMAGED).
        """
        async with self._turn:
            return await self._offload(lambda: self._transact(work))

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        with self._at_work:
            try:
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
                return result
            except sqlite3.Error as error:
                raise _translated(error, self._path) from error

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._offload(self.close_now)

    def close_now(self) -> None:
        """Blocks. Safe to call twice."""
        with self._at_work:
            self._connection.close()


def open_database(path: Path, offload: Offload, now_ms: WallMs) -> Database:
    """Made or upgraded if need be. Blocks. Raises LocalError: STATE_TOO_NEW, STATE_DAMAGED; Refused(STORE_FULL)."""
    connection: sqlite3.Connection | None = None
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        schema.drop_old_copies(path, now_ms - SCHEMA_COPY_KEPT_MS)
        schema.upgrade(connection, path)
    except BaseException as error:
        if connection is not None:
            connection.close()
        if isinstance(error, sqlite3.Error | OSError):
            raise _translated(error, path) from error
        raise
    return Database(connection, path, offload)


def _translated(error: sqlite3.Error | OSError, path: Path) -> Refused | LocalError:
    if getattr(error, "sqlite_errorcode", None) in _DISK_FULL or getattr(error, "errno", None) in _FULL:
        return Refused(Code.STORE_FULL, str(path))
    return LocalError(Code.STATE_DAMAGED, f"{path}: {error}")
