"""Copies of a store in memory, by its changes alone, as simple as can be."""

from waypost.ids import Provider, User
from waypost.storage.caches import Again, ChangingStore
from waypost.storage.operations.accounts import Account, AccountChanged, AccountsTold, Device, TellAccounts
from waypost.storage.operations.changes import Change, Look, Subject
from waypost.storage.operations.peers import PeerChanged, PeerRow, PeersTold, TellPeers


class People:
    """The accounts and their devices. Made by `people_of`."""

    def __init__(self, store: ChangingStore) -> None:
        self._accounts: dict[User, Account] = {}
        self._devices: dict[User, tuple[Device, ...]] = {}
        self._again = Again(lambda: store.submit(TellAccounts()))
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
        self._again = Again(lambda: store.submit(TellPeers()))
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
