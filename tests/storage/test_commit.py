"""The transactions of group commit, in one thread."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from waypost.storage.sqlite import schema
from waypost.storage.sqlite.commit import Disk, Pending, Transactions, _Operation


class TroubledDisk(Disk):
    """Cannot tell how full it is."""

    def is_tight(self, conn: sqlite3.Connection) -> bool:
        raise sqlite3.OperationalError("disk I/O error")


def test_what_is_committed_is_not_done_again_when_the_log_cannot_be_folded_back(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        schema.upgrade(conn, path)
        transactions = Transactions(conn, TroubledDisk(path))
        runs = []

        def note(conn: sqlite3.Connection, name: str) -> str:
            runs.append(name)
            conn.execute("INSERT INTO meta (name, value) VALUES (?, 1)", (name,))
            return name

        operations = [_Operation(note, (name,), 1, Pending()) for name in ("one", "other")]
        assert transactions.commit(conn, operations) == ["one", "other"]
        assert runs == ["one", "other"]
