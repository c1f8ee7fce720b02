"""Operations and questions on the state in memory: which union one belongs to says whose it is."""

from __future__ import annotations

from typing import Any, TypeVar, cast

from waypost.storage.memory import accounts, keys, mail, peers
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations.accounts import AccountsOperation, AccountsQuestion
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Change
from waypost.storage.operations.keys import KeysOperation, KeysQuestion
from waypost.storage.operations.mail import MailOperation, MailQuestion
from waypost.storage.operations.peers import PeersOperation, PeersQuestion

T = TypeVar("T")


def apply(state: MemoryState, operation: Operation[T], changes: list[Change]) -> T:
    """Its answer; `changes` grows by what it has changed. What raises as the operation says has changed nothing."""
    return cast("T", _apply(state, operation, changes))


def _apply(state: MemoryState, operation: Operation[Any], changes: list[Change]) -> Any:
    if isinstance(operation, MailOperation):
        return mail.write(state, operation, changes)
    if isinstance(operation, KeysOperation):
        return keys.write(state, operation)
    if isinstance(operation, AccountsOperation):
        return accounts.write(state, operation, changes)
    if isinstance(operation, PeersOperation):
        return peers.write(state, operation, changes)
    raise TypeError(f"{operation!r} is in no union")


def answer(state: MemoryState, question: Question[T]) -> T:
    """Raises as the question says."""
    return cast("T", _answer(state, question))


def _answer(state: MemoryState, question: Question[Any]) -> Any:
    if isinstance(question, MailQuestion):
        return mail.answer(state, question)
    if isinstance(question, KeysQuestion):
        return keys.answer(state, question)
    if isinstance(question, AccountsQuestion):
        return accounts.answer(state, question)
    if isinstance(question, PeersQuestion):
        return peers.answer(state, question)
    raise TypeError(f"{question!r} is in no union")
