"""The local accounts and devices, in memory: asked for each envelope, so never from the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from waypost.errors import Code
from waypost.ids import Address, Provider, User
from waypost.protocol.directory.reach import Reach
from waypost.relay.link import Link
from waypost.relay.settings import Settings
from waypost.storage.store import Account, Device, Store


@dataclass(slots=True)
class LocalUser:
    """An account with the mailboxes of its devices, and the links of those that are connected, by key."""

    account: Account
    address: Address
    devices: dict[bytes, Device] = field(default_factory=dict)
    mailboxes: tuple[int, ...] = ()
    links: dict[bytes, Link] = field(default_factory=dict)


class Accounts:
    """What `store` says, kept true by whoever changes it there."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._users: dict[str, LocalUser] = {}
        self._devices: dict[bytes, LocalUser] = {}
        self._by_mailbox: dict[int, LocalUser] = {}

    async def load(self) -> None:
        """Everything from the store."""
        for account in await self._store.accounts():
            self.put(account)
        for device in await self._store.devices():
            self.put_device(device)

    # ── kept true ───────────────────────────────────────────────────────────────────────────────────────────────────

    def put(self, account: Account) -> None:
        """A new account, or one that has changed."""
        known = self._users.get(account.user)
        if known is None:
            address = Address(account.user, self._settings.provider)
            self._users[account.user] = LocalUser(account, address)
        else:
            known.account = account

    def put_device(self, device: Device) -> None:
        user = self._users[device.user]
        user.devices[device.key] = device
        user.mailboxes = tuple(each.mailbox for each in user.devices.values())
        self._devices[device.key] = user
        self._by_mailbox[device.mailbox] = user

    def put_device_list(self, user: User, device_list: bytes) -> None:
        self._users[user].account = replace(self._users[user].account, device_list=device_list)

    async def change_reach(self, user: LocalUser, reach: Reach) -> None:
        """Who may write to the account from other providers."""
        await self._store.set_reach(user.account.user, reach.mode, reach.providers)
        self.put(replace(user.account, reach=reach))

    def remove(self, user: User) -> tuple[Link, ...]:
        """The links of its devices."""
        gone = self._users.pop(user, None)
        if gone is None:
            return ()
        for device in gone.devices.values():
            del self._devices[device.key]
            del self._by_mailbox[device.mailbox]
        return tuple(gone.links.values())

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[LocalUser]:
        return iter(self._users.values())

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user: str) -> LocalUser | None:
        return self._users.get(user)

    def of_device(self, key: bytes) -> LocalUser | None:
        return self._devices.get(key)

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
        usage, quotas = self._store.usage(mailbox), self._settings.quotas
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
