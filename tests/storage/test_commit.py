"""The transactions of group commit, in one thread."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.storage.samples import BOB, CAROL, NOW

from waypost.storage.operations.accounts import AccountChanged, AddAccount
from waypost.storage.sqlite import schema
from waypost.storage.sqlite.transactions import Disk, Transactions


class TroubledDisk(Disk):
    """Cannot tell how full it is."""

    def is_tight(self, conn: sqlite3.Connection) -> bool:
        raise sqlite3.OperationalError("disk I/O error")


def test_what_is_committed_is_not_done_again_when_the_log_cannot_be_folded_back(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        schema.upgrade(conn, path)
        transactions = Transactions(conn, TroubledDisk(path))
        operations = [AddAccount(BOB, NOW), AddAccount(CAROL, NOW)]
        # Done again, each would be refused.
        answers, commits = transactions.commit(conn, operations)
        assert answers == [None, None]
        [changes] = commits
        assert [change.user for change in changes if isinstance(change, AccountChanged)] == [BOB, CAROL]
