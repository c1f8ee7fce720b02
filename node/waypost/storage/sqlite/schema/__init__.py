"""The numbered schema files beside this module, and what brings a database up to the newest of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

from waypost.errors import Code, LocalError


def scripts() -> dict[int, str]:
    """Every schema file by its number."""
    files = [entry for entry in resources.files(__name__).iterdir() if entry.name.endswith(".sql")]
    return {int(entry.name.removesuffix(".sql")): entry.read_text("utf-8") for entry in files}


def version(conn: sqlite3.Connection) -> int:
    """The number of the schema that the database has; 0 for an empty one. Raises LocalError(STATE_DAMAGED)."""
    tables = conn.execute("SELECT count(*), sum(name = 'meta') FROM sqlite_schema WHERE type = 'table'").fetchone()
    if tables[0] == 0:
        return 0
    row = conn.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() if tables[1] else None
    if row is None or not isinstance(row[0], int):
        raise LocalError(Code.STATE_DAMAGED, "the database is not one of Waypost's")
    return row[0]


def upgrade(conn: sqlite3.Connection, path: Path) -> None:
    """Apply what is missing, in one transaction per file; a database that has data is copied aside first.

    Raises LocalError(STATE_TOO_NEW | STATE_DAMAGED).
    """
    files = scripts()
    newest, found = max(files), version(conn)
    if found > newest:
        raise LocalError(Code.STATE_TOO_NEW, f"{path} has schema {found}, this version knows up to {newest}")
    if 0 < found < newest:
        copy_to(conn, path.with_name(f"{path.name}.before-{newest}"))
    for number in range(found + 1, newest + 1):
        conn.executescript(
            f"BEGIN IMMEDIATE;\n{files[number]}\n"
            f"INSERT INTO meta (name, value) VALUES ('schema', {number})"
            f" ON CONFLICT (name) DO UPDATE SET value = excluded.value;\nCOMMIT;"
        )


def copy_to(conn: sqlite3.Connection, target: Path) -> None:
    """A consistent copy of the database, also while others write to it."""
    with closing(sqlite3.connect(target)) as copy:
        # In one step: a copy made in several starts anew whenever another connection has written.
        conn.backup(copy)


async def prepare(hop: Callable[..., Awaitable[Any]], connection: Any, path: Path) -> None:
    """`upgrade` in the connection's own thread."""
    try:
        await hop(connection, upgrade, path)
    except sqlite3.Error as error:
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
