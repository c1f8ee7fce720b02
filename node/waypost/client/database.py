"""The profile's database: SQLite, one transaction at a time, in a worker thread."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import anyio

from waypost.client.parts import Offload
from waypost.errors import Code, LocalError, Refused

T = TypeVar("T")

_VERSION = 1
#: SQLITE_FULL and SQLITE_IOERR_WRITE.
_DISK_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE})

#: sent.stage: 0 has no envelope yet, 1 has one that the node has not taken, 2 is with the node, 3 has come to an end.
_SCHEMA = """
CREATE TABLE sent (
    id          INTEGER NOT NULL PRIMARY KEY,
    local       BLOB    NOT NULL UNIQUE,
    envelope_id BLOB    UNIQUE,
    recipient   TEXT    NOT NULL,
    created_ms  INTEGER NOT NULL,
    expires_ms  INTEGER NOT NULL,
    stage       INTEGER NOT NULL CHECK (stage BETWEEN 0 AND 3),
    size        INTEGER NOT NULL,
    accepts_key INTEGER NOT NULL CHECK (accepts_key IN (0, 1)),
    tries       INTEGER NOT NULL DEFAULT 0,
    due_ms      INTEGER NOT NULL DEFAULT 0,
    content     BLOB,
    envelope    BLOB
) STRICT;
CREATE INDEX sent_unsent ON sent (stage, due_ms, size) WHERE stage < 2;
CREATE INDEX sent_recipient ON sent (recipient, id) WHERE stage = 0;
CREATE INDEX sent_created ON sent (created_ms);

CREATE TABLE status (
    sent    INTEGER NOT NULL REFERENCES sent (id) ON DELETE CASCADE,
    n       INTEGER NOT NULL,
    state   TEXT    NOT NULL,
    at_ms   INTEGER NOT NULL,
    code    INTEGER NOT NULL,
    next_ms INTEGER NOT NULL,
    PRIMARY KEY (sent, n)
) STRICT, WITHOUT ROWID;

CREATE TABLE inbox (
    id          INTEGER NOT NULL PRIMARY KEY,
    envelope_id BLOB    NOT NULL UNIQUE,
    digest      BLOB    UNIQUE,
    received_ms INTEGER NOT NULL,
    forget_ms   INTEGER NOT NULL,
    shown       INTEGER NOT NULL DEFAULT 0 CHECK (shown IN (0, 1)),
    size        INTEGER NOT NULL,
    message     BLOB
) STRICT;
CREATE INDEX inbox_unread ON inbox (id, size) WHERE shown = 0;
CREATE INDEX inbox_forget ON inbox (forget_ms) WHERE shown = 1;

CREATE TABLE upload (
    id    BLOB    NOT NULL PRIMARY KEY,
    epoch INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 2)
) STRICT, WITHOUT ROWID;

CREATE TABLE package (
    id          BLOB    NOT NULL PRIMARY KEY,
    upload      BLOB    NOT NULL,
    last_resort INTEGER NOT NULL CHECK (last_resort IN (0, 1)),
    forget_ms   INTEGER NOT NULL,
    seed        BLOB    NOT NULL,
    data        BLOB
) STRICT, WITHOUT ROWID;
CREATE INDEX package_upload ON package (upload);
CREATE INDEX package_forget ON package (forget_ms);

CREATE TABLE pin (
    id       INTEGER NOT NULL PRIMARY KEY,
    address  TEXT    NOT NULL UNIQUE,
    identity BLOB    NOT NULL,
    list     BLOB    NOT NULL,
    changed  BLOB    NOT NULL DEFAULT x'',
    written  INTEGER NOT NULL CHECK (written IN (0, 1)),
    since_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX pin_unwritten ON pin (id) WHERE written = 0;

CREATE TABLE bundle (
    address  TEXT    NOT NULL PRIMARY KEY,
    until_ms INTEGER NOT NULL,
    packages BLOB    NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX bundle_until ON bundle (until_ms);
"""


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
            await self._offload(self._close)

    def _close(self) -> None:
        with self._at_work:
            self._connection.close()


def open_database(path: Path, offload: Offload) -> Database:
    """Blocks. Raises LocalError: STATE_TOO_NEW, STATE_DAMAGED."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise LocalError(Code.STATE_TOO_NEW, str(path))
        if version == 0:
            connection.executescript(f"BEGIN IMMEDIATE;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")
    except sqlite3.Error as error:
        connection.close()
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return Database(connection, path, offload)


def _translated(error: sqlite3.Error, path: Path) -> Refused | LocalError:
    if getattr(error, "sqlite_errorcode", None) in _DISK_FULL:
        return Refused(Code.STORE_FULL, str(path))
    return LocalError(Code.STATE_DAMAGED, f"{path}: {error}")
