"""The local accounts and devices, in memory: asked for each envelope, so never from the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from waypost.errors import Code
from waypost.ids import Address, Provider, User
from waypost.protocol.directory.reach import Reach
from waypost.relay.link import Link
from waypost.relay.settings import Settings
from waypost.relay.tasks import Surroundings
from waypost.storage.caches import Again
from waypost.storage.operations.accounts import Account, AccountChanged, AccountsTold, ChangeReach, Device, TellAccounts
from waypost.storage.operations.changes import Change, Look, Subject


@dataclass(slots=True)
class LocalUser:
    """An account with the mailboxes of its devices, and the links of those that are connected, by key."""

    account: Account
    address: Address
    devices: dict[bytes, Device] = field(default_factory=dict)
    mailboxes: tuple[int, ...] = ()
    links: dict[bytes, Link] = field(default_factory=dict)


class Accounts:
    """What the store says, by its changes."""

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self._settings = settings
        self._store = around.store
        self._usages = around.usages
        self._users: dict[str, LocalUser] = {}
        self._by_key: dict[bytes, LocalUser] = {}
        self._by_mailbox: dict[int, LocalUser] = {}
        self._again = Again(lambda: around.store.submit(TellAccounts()))
        around.store.changes(self._take)

    async def load(self) -> None:
        """Everything from the store."""
        await self._store.submit(TellAccounts())

    def _take(self, changes: tuple[Change, ...]) -> None:
        for change in changes:
            match change:
                case AccountChanged(user, account, devices):
                    self._put(user, account, devices)
                case AccountsTold(accounts, devices):
                    self._put_all(accounts, devices)
                case Look(Subject.ACCOUNTS):
                    self._again.ask()
                case _:
                    pass

    def _put_all(self, accounts: Sequence[Account], devices: Sequence[Device]) -> None:
        of_user: dict[str, list[Device]] = {account.user: [] for account in accounts}
        for device in devices:
            of_user[device.user].append(device)
        for user in [user for user in self._users if user not in of_user]:
            self._put(User(user), None, ())
        for account in accounts:
            self._put(account.user, account, of_user[account.user])

    def _put(self, user: User, account: Account | None, devices: Sequence[Device]) -> None:
        """How it is now; None: it is gone. Links of devices that the account does not have any more end."""
        known = self._users.get(user)
        if known is None:
            if account is None:
                return
            known = self._users[user] = LocalUser(account, Address(user, self._settings.provider))
        for device in known.devices.values():
            self._by_key.pop(device.key, None)
            self._by_mailbox.pop(device.mailbox, None)
        if account is None:
            del self._users[user]
        else:
            known.account = account
        known.devices = {device.key: device for device in devices}
        known.mailboxes = tuple(device.mailbox for device in devices)
        for device in devices:
            self._by_key[device.key] = known
            self._by_mailbox[device.mailbox] = known
        for key, link in known.links.items():
            if key not in known.devices:
                link.close(Code.UNKNOWN_DEVICE)

    async def change_reach(self, user: LocalUser, reach: Reach) -> None:
        """Who may write to the account from other providers. Raises Refused(NOT_FOUND)."""
        await self._store.submit(ChangeReach(user.account.user, reach))

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[LocalUser]:
        return iter(self._users.values())

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user: str) -> LocalUser | None:
        return self._users.get(user)

    def of_device(self, key: bytes) -> LocalUser | None:
        return self._by_key.get(key)

    def at(self, address: Address) -> LocalUser | None:
        """Whose address it is; None for any other provider's."""
        return self._users.get(address.user) if address.provider == self._settings.provider else None

    def device_mailboxes(self, address: Address) -> tuple[int, ...]:
        """Of a local address; empty for any other."""
        found = self.at(address)
        return found.mailboxes if found else ()

    def roomy_mailboxes(self, address: Address) -> tuple[int, ...]:
        """Those of a local address that are not full: what a peer reports may not fill them beyond their quota."""
        return tuple(mailbox for mailbox in self.device_mailboxes(address) if not self._is_full(mailbox))

    def links_of(self, address: Address) -> Iterable[Link]:
        """Of the account's connected devices."""
        found = self.at(address)
        return tuple(found.links.values()) if found else ()

    def owner_of(self, mailbox: int) -> Address | None:
        """The address whose inbox it is; None for any other mailbox."""
        user = self._by_mailbox.get(mailbox)
        return user.address if user else None

    def _is_full(self, mailbox: int) -> bool:
        usage, quotas = self._usages.of(mailbox), self._settings.quotas
        return usage.items >= quotas.mailbox_envelopes or usage.bytes >= quotas.mailbox_bytes

    def may_reach(self, user: LocalUser, provider: Provider) -> bool:
        """Whether the account takes messages from that provider; from its own always."""
        settings = self._settings
        return provider == settings.provider or user.account.reach.over(settings.reach).admits(provider)

    def user_mailboxes(self, user: str, provider: Provider) -> tuple[int, ...] | Code:
        """For the router: where the user's mail from that provider goes, or why it cannot."""
        found = self._users.get(user)
        if found is None or not self.may_reach(found, provider):
            return Code.NOT_FOUND
        if not found.mailboxes:
            return Code.NO_KEYS
        return Code.MAILBOX_FULL if any(map(self._is_full, found.mailboxes)) else found.mailboxes
