"""What is kept in memory of a store, right by its changes alone, whichever engine it has and however many share it.

Each begins with an operation that tells, as a change, all there is: so it has its place among the other changes, and no
reading can cross a commit. A `Look` has it told again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from waypost.errors import WaypostError
from waypost.ids import Provider, User
from waypost.storage.operations.accounts import Account, AccountChanged, AccountsTold, Device, TellAccounts
from waypost.storage.operations.base import Operation
from waypost.storage.operations.changes import Change, Look, Subject, Take
from waypost.storage.operations.mail import Left, Placed
from waypost.storage.operations.mailboxes import TellUsage, Usage, UsageTold
from waypost.storage.operations.peers import PeerChanged, PeerRow, PeersTold, TellPeers
from waypost.storage.pending import Pending

_NOTHING: Final = Usage(0, 0)


class ChangingStore(Protocol):
    """What a cache asks of a store."""

    def submit(self, operation: Operation[None], /) -> Pending[None]: ...

    def changes(self, take: Take, /) -> None: ...


class _Again:
    """Has everything told again, once for all who have asked since it was last."""

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
        self._usage: dict[int, Usage] = {}
        self._again = _Again(lambda: store.submit(TellUsage()))
        store.changes(self.take)

    def of(self, mailbox: int) -> Usage:
        return self._usage.get(mailbox, _NOTHING)

    def take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case Placed(mailbox, parcel):
                    before = self._usage.get(mailbox, _NOTHING)
                    self._usage[mailbox] = Usage(before.items + len(parcel.items), before.bytes + parcel.size)
                case Left(mailbox, items, size):
                    before = self._usage.get(mailbox, _NOTHING)
                    self._usage[mailbox] = Usage(before.items - items, before.bytes - size)
                case UsageTold(usage):
                    self._usage = dict(usage)
                case Look(Subject.MAIL):
                    self._again.ask()
                case _:
                    pass


class People:
    """The accounts and their devices. Made by `people_of`."""

    def __init__(self, store: ChangingStore) -> None:
        self._accounts: dict[User, Account] = {}
        self._devices: dict[User, tuple[Device, ...]] = {}
        self._again = _Again(lambda: store.submit(TellAccounts()))
        store.changes(self.take)

    @property
    def accounts(self) -> list[Account]:
        """By name."""
        return [self._accounts[user] for user in sorted(self._accounts)]

    def account(self, user: User) -> Account | None:
        return self._accounts.get(user)

    def devices(self, user: User) -> tuple[Device, ...]:
        """In order of joining."""
        return self._devices.get(user, ())

    def take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case AccountChanged(user, account, devices):
                    self._put(user, account, tuple(devices))
                case AccountsTold(accounts, devices):
                    self._accounts, self._devices = {}, {}
                    for each in accounts:
                        self._put(each.user, each, tuple(device for device in devices if device.user == each.user))
                case Look(Subject.ACCOUNTS):
                    self._again.ask()
                case _:
                    pass

    def _put(self, user: User, account: Account | None, devices: tuple[Device, ...]) -> None:
        if account is None:
            self._accounts.pop(user, None)
            self._devices.pop(user, None)
        else:
            self._accounts[user], self._devices[user] = account, devices


class PeerRows:
    """The peers. Made by `peer_rows_of`."""

    def __init__(self, store: ChangingStore) -> None:
        self._rows: dict[Provider, PeerRow] = {}
        self._again = _Again(lambda: store.submit(TellPeers()))
        store.changes(self.take)

    @property
    def all(self) -> list[PeerRow]:
        """By name."""
        return [self._rows[provider] for provider in sorted(self._rows)]

    def get(self, provider: Provider) -> PeerRow | None:
        return self._rows.get(provider)

    def take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case PeerChanged(provider, None):
                    self._rows.pop(provider, None)
                case PeerChanged(provider, row) if row is not None:
                    self._rows[provider] = row
                case PeersTold(rows):
                    self._rows = {row.provider: row for row in rows}
                case Look(Subject.PEERS):
                    self._again.ask()
                case _:
                    pass


async def usages_of(store: ChangingStore) -> Usages:
    """Filled, and kept right from now on."""
    usages = Usages(store)
    await store.submit(TellUsage())
    return usages


async def people_of(store: ChangingStore) -> People:
    """Filled, and kept right from now on."""
    people = People(store)
    await store.submit(TellAccounts())
    return people


async def peer_rows_of(store: ChangingStore) -> PeerRows:
    """Filled, and kept right from now on."""
    rows = PeerRows(store)
    await store.submit(TellPeers())
    return rows
