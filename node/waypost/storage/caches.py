"""What is kept in memory of a store, right by its changes alone, whichever engine it has and however many share it.

A copy begins with an operation that tells, as a change, all there is: so it has its place among the other changes, and
no reading can cross a commit. A `Look` has it told again. What waits is here; accounts and peers are kept by those who
need them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from waypost.errors import WaypostError
from waypost.storage.operations.base import Operation
from waypost.storage.operations.changes import Change, Look, Subject, Take
from waypost.storage.operations.mail import Left, Placed
from waypost.storage.operations.mailboxes import TellUsage, Usage, UsageTold
from waypost.storage.pending import Pending

_NOTHING: Final = (0, 0)


class ChangingStore(Protocol):
    """What a cache asks of a store."""

    def submit(self, operation: Operation[None], /) -> Pending[None]: ...

    def changes(self, take: Take, /) -> None: ...


class Again:
    """For who keeps a copy: has everything told again, once for all `Look`s since it was last."""

    def __init__(self, submit: Callable[[], Pending[None]]) -> None:
        self._submit = submit
        self._asked = self._once_more = False

    def ask(self) -> None:
        if self._asked:
            # What was submitted may be told of a state before the change that is looked for.
            self._once_more = True
            return
        self._asked = True
        self._submit().then(self._told, self._failed)

    def _told(self, _: None) -> None:
        self._asked = False
        if self._once_more:
            self._once_more = False
            self.ask()

    def _failed(self, _: WaypostError) -> None:
        self._asked = self._once_more = False  # there will be another look


class Usages:
    """What waits in each mailbox: asked for each envelope, so never from the disk. Made by `usages_of`."""

    def __init__(self, store: ChangingStore) -> None:
        self._usage: dict[int, list[int]] = {}  #: items, bytes
        self._again = Again(lambda: store.submit(TellUsage()))
        store.changes(self.take)

    def of(self, mailbox: int) -> Usage:
        items, size = self._usage.get(mailbox, _NOTHING)
        return Usage(items, size)

    def take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case Placed(mailbox, parcel):
                    self._count(mailbox, len(parcel.items), parcel.size)
                case Left(mailbox, items, size):
                    self._count(mailbox, -items, -size)
                case UsageTold(usage):
                    self._usage = {mailbox: [each.items, each.bytes] for mailbox, each in usage.items()}
                case Look(Subject.MAIL):
                    self._again.ask()
                case _:
                    pass

    def _count(self, mailbox: int, items: int, size: int) -> None:
        usage = self._usage.setdefault(mailbox, [0, 0])
        usage[0] += items
        usage[1] += size


async def usages_of(store: ChangingStore) -> Usages:
    """Filled, and kept right from now on."""
    usages = Usages(store)
    await store.submit(TellUsage())
    return usages
