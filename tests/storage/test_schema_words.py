"""The words that the database lets in are those of the types."""

import re
import sqlite3
from contextlib import closing
from enum import Enum
from pathlib import Path

import pytest
from tests.storage import engines
from tests.storage.samples import BOB, NOW

from waypost.protocol.directory.reach import NOBODY, ReachMode
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.storage.operations.accounts import AddAccount, AllAccounts
from waypost.storage.operations.mail import ParcelKind
from waypost.storage.operations.mailboxes import MailboxKind
from waypost.storage.sqlite import schema


def checked(table: str, column: str) -> set[str]:
    """The values in the column's CHECK, as they are written in SQL."""
    script = schema.scripts()[max(schema.scripts())]
    body = script.split(f"CREATE TABLE {table} (")[1].split(") STRICT")[0]
    found = re.search(rf"^ *{column} .*CHECK \({column} IN \((.*?)\)\)", body, re.MULTILINE)
    assert found, f"{table}.{column} has no list"
    return set(found[1].split(", "))


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [
        ("account", "reach", ReachMode),
        ("peer", "trust", Trust),
        ("peer", "policy", PeerPolicy),
        ("mailbox", "kind", MailboxKind),
        ("segment", "kind", ParcelKind),
    ],
)
def test_the_list_is_the_types(table: str, column: str, words: type[Enum]) -> None:
    assert checked(table, column) == {
        f"'{word.value}'" if isinstance(word.value, str) else str(word.value) for word in words
    }


@pytest.mark.parametrize(("mode", "providers"), [("some", ""), ("all", "finch.example"), ("", "finch.example")])
async def test_a_word_that_does_not_fit_lets_nobody_write(mode: str, providers: str, tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    async with engines.sqlite(path) as store:
        await store.submit(AddAccount(BOB, NOW))
    with closing(sqlite3.connect(path)) as conn, conn:
        conn.execute("UPDATE account SET reach = ?, providers = ?", (mode, providers))
    async with engines.sqlite(path) as store:
        assert [account.reach for account in await store.read(AllAccounts())] == [NOBODY]
