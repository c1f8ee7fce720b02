"""Operations and questions on a SQLite connection: which union one belongs to says whose it is."""

from __future__ import annotations

import sqlite3
from typing import Any

from waypost.storage.operations.accounts import AccountsOperation, AccountsQuestion
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Change
from waypost.storage.operations.keys import KeysOperation, KeysQuestion
from waypost.storage.operations.mail import MailOperation, MailQuestion
from waypost.storage.operations.peers import PeersOperation, PeersQuestion
from waypost.storage.sqlite import accounts, keys, mail, mail_answers, peers
from waypost.storage.sqlite.mail_state import MailState


def apply(conn: sqlite3.Connection, state: MailState, operation: Operation[Any], changes: list[Change]) -> Any:
    """Its answer, inside a transaction that the caller opened; `changes` grows by what it has changed."""
    if isinstance(operation, MailOperation):
        return mail.write(conn, state, operation, changes)
    if isinstance(operation, KeysOperation):
        return keys.write(conn, operation)
    if isinstance(operation, AccountsOperation):
        return accounts.write(conn, operation, changes)
    if isinstance(operation, PeersOperation):
        return peers.write(conn, operation, changes)
    raise TypeError(f"{operation!r} is in no union")


def answer(conn: sqlite3.Connection, question: Question[Any]) -> Any:
    """From what is committed."""
    if isinstance(question, MailQuestion):
        return mail_answers.answer(conn, question)
    if isinstance(question, KeysQuestion):
        return keys.answer(conn, question)
    if isinstance(question, AccountsQuestion):
        return accounts.answer(conn, question)
    if isinstance(question, PeersQuestion):
        return peers.answer(conn, question)
    raise TypeError(f"{question!r} is in no union")
