"""What operations and questions are: values that name the type of their answer."""

from __future__ import annotations

from typing import Generic, TypeVar

T_co = TypeVar("T_co", covariant=True)


class Operation(Generic[T_co]):
    """Something to be done to the store, in one transaction: `Store.submit` answers with a T.

    Every one belongs to one of the unions `MailOperation`, `AccountsOperation`, `KeysOperation`, `PeersOperation`.
    """

    __slots__ = ()


class Question(Generic[T_co]):
    """Something to be read from the store: `Store.read` answers with a T. In unions as operations are."""

    __slots__ = ()
