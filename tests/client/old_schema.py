"""A profile's database as it was with schema 1, with a message at every stage; and what is in one of now."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from waypost.client.profile import schema

NEWEST = max(schema.scripts())

Rows = list[tuple[Any, ...]]

NOW_MS = 1_800_000_000_000
LATER_MS = NOW_MS + 86_400_000

_MAIL = f"""
INSERT INTO sent VALUES
    (3, x'03', NULL,    'carol@birdy.example', {NOW_MS + 0}, {LATER_MS + 0}, 0,  30, 1, 0, 0,    x'c3', NULL),
    (4, x'04', x'e4',   'bob@finch.example',   {NOW_MS + 1}, {LATER_MS + 1}, 1, 444, 0, 2, 5000, NULL,  x'd4'),
    (5, x'05', x'e5',   'bob@finch.example',   {NOW_MS + 2}, {LATER_MS + 2}, 2, 555, 0, 0, 0,    NULL,  NULL),
    (6, x'06', x'e6',   'bob@finch.example',   {NOW_MS + 3}, {LATER_MS + 3}, 3, 666, 0, 0, 0,    NULL,  NULL),
    (8, x'08', NULL,    'eve@finch.example',   {NOW_MS + 4}, {LATER_MS + 4}, 3,  80, 0, 0, 0,    NULL,  NULL);
INSERT INTO status VALUES
    (3, 0, 'queued', {NOW_MS + 0}, 0, 0), (3, 1, 'waiting', 1100, 204, 2000),
    (4, 0, 'queued', {NOW_MS + 1}, 0, 0), (4, 1, 'waiting', 1101, 301, 5000),
    (5, 0, 'queued', {NOW_MS + 2}, 0, 0), (5, 1, 'accepted', 1102, 0, 0), (5, 2, 'held', 1202, 0, 0),
    (6, 0, 'queued', {NOW_MS + 3}, 0, 0), (6, 1, 'accepted', 1103, 0, 0), (6, 2, 'delivered', 1203, 0, 0),
    (8, 0, 'queued', {NOW_MS + 4}, 0, 0), (8, 1, 'bounced', 1104, 300, 0);
INSERT INTO inbox VALUES (1, x'a1', x'b1', {NOW_MS}, {LATER_MS}, 0, 3, x'c1');
INSERT INTO inbox VALUES (2, x'a2', NULL, {NOW_MS}, {LATER_MS}, 1, 3, NULL);
INSERT INTO upload VALUES (x'01', 7, 1, 1);
INSERT INTO package VALUES (x'11', x'01', 0, {LATER_MS}, x'22', NULL);
INSERT INTO pin VALUES (1, 'bob@finch.example', x'33', x'44', x'', 1, 5);
INSERT INTO bundle VALUES ('bob@finch.example', {LATER_MS}, x'55');
"""
_KEPT = ("inbox", "upload", "package", "pin", "bundle")


def make_old(path: Path) -> None:
    """A database as 5c0cfc9 makes it, but for the values."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("PRAGMA journal_mode = WAL")
        conn.executescript(f"BEGIN;{schema.scripts()[1]}PRAGMA user_version = 1;{_MAIL}COMMIT;")


def contents(path: Path) -> dict[str, Rows]:
    """All that matters of a database, in the words of schema 1, whichever it has."""
    with closing(sqlite3.connect(path)) as conn:
        if schema.version(conn) == 1:
            sent = "SELECT * FROM sent ORDER BY id"
            status = "SELECT * FROM status ORDER BY sent, n"
        else:
            sent = (
                "SELECT message.id, local, envelope_id, address, created_ms, expires_ms, stage,"
                " iif(stage = 3 AND envelope_id IS NULL, 80, coalesce(envelope.size, message.size)), accepts_key,"
                " coalesce(tries, 0), coalesce(due_ms, 0), content, data"
                " FROM message JOIN recipient ON recipient.message = message.id"
                " LEFT JOIN envelope ON envelope.id = envelope ORDER BY message.id"
            )
            status = "SELECT * FROM status ORDER BY recipient, n"
        queries = {"sent": sent, "status": status, **{name: f"SELECT * FROM {name} ORDER BY 1" for name in _KEPT}}
        return {name: conn.execute(query).fetchall() for name, query in queries.items()}
