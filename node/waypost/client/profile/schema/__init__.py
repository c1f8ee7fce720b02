"""The numbered schema files beside this module, and what brings a profile's database up to the newest of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path

from waypost.client.profile.files import sync
from waypost.errors import Code, LocalError


def scripts() -> dict[int, str]:
    """Every schema file by its number."""
    files = [entry for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql")]
    return {int(entry.name.removesuffix(".sql")): entry.read_text("utf-8") for entry in files}


def version(conn: sqlite3.Connection) -> int:
    """The number of the schema that the database has; 0 for an empty one."""
    number: int = conn.execute("PRAGMA user_version").fetchone()[0]
    return number


def upgrade(conn: sqlite3.Connection, path: Path) -> None:
    """Apply what is missing, in one transaction; a database that has data is copied to `copy_path` first.

    Cut short at any moment, it has not happened. The connection is in autocommit mode, and closed by the caller if this
    raises. Raises LocalError(STATE_TOO_NEW), sqlite3.Error, OSError.
    """
    files = scripts()
    newest = max(files)
    # One at a time: a program whose task was cancelled may have let go of the profile while its thread is still here.
    conn.execute("BEGIN IMMEDIATE")
    found = version(conn)
    if found > newest:
        raise LocalError(Code.STATE_TOO_NEW, f"{path} has schema {found}, this version knows up to {newest}")
    if 0 < found < newest:
        _copy(path, copy_path(path, newest))
    for number in range(found + 1, newest + 1):
        for statement in _statements(files[number]):
            conn.execute(statement)
    if found < newest:
        conn.execute(f"PRAGMA user_version = {newest}")
    conn.execute("COMMIT")


def copy_path(path: Path, newest: int) -> Path:
    """Where the database as it was before the upgrade to that schema is."""
    return path.with_name(f"{path.name}.before-{newest}")


def drop_old_copies(path: Path, older_than_ms: int) -> None:
    """Copies made before that moment: they hold private keys and texts that the database itself has forgotten."""
    for copy in path.parent.glob(f"{path.name}.before-*"):
        if copy.stat().st_mtime_ns // 1_000_000 < older_than_ms:
            copy.unlink()


def _copy(path: Path, target: Path) -> None:
    """Whole and durable when it returns; a crash leaves the old file or none."""
    new = target.with_name(f"{target.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    # By another connection: SQLite copies nothing from one that may write.
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(new)) as copy:
        source.backup(copy)
    sync(new)
    new.replace(target)
    sync(target.parent)


def _statements(script: str) -> Iterator[str]:
    """One by one: `executescript` would end the transaction."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
