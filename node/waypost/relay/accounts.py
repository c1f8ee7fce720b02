"""The local accounts and devices, in memory: asked for each envelope, so never from the disk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from waypost.errors import Code
from waypost.ids import Address, Provider, User
from waypost.relay.settings import Settings
from waypost.routing.consent import reachable
from waypost.storage.store import Account, Device, Store


@dataclass(slots=True)
class LocalUser:
    """An account with the mailboxes of its devices."""

    account: Account
    address: str
    devices: dict[bytes, Device] = field(default_factory=dict)
    mailboxes: tuple[int, ...] = ()


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
            self._users[account.user] = LocalUser(account, str(Address(account.user, self._settings.provider)))
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

    def remove(self, user: User) -> tuple[bytes, ...]:
        """Its devices' keys."""
        gone = self._users.pop(user, None)
        if gone is None:
            return ()
        for device in gone.devices.values():
            del self._devices[device.key]
            del self._by_mailbox[device.mailbox]
        return tuple(gone.devices)

    # ── asked ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def __iter__(self) -> Iterator[LocalUser]:
        return iter(self._users.values())

    def __len__(self) -> int:
        return len(self._users)

    def get(self, user: str) -> LocalUser | None:
        return self._users.get(user)

    def of_device(self, key: bytes) -> LocalUser | None:
        return self._devices.get(key)

    def device_mailboxes(self, address: str) -> tuple[int, ...]:
        """Of a local address; empty for any other."""
        user, _, provider = address.rpartition("@")
        found = self._users.get(user) if provider == self._settings.provider else None
        return found.mailboxes if found else ()

    def roomy_mailboxes(self, address: str) -> tuple[int, ...]:
        """Those of a local address that are not full: what a peer reports may not fill them beyond their quota."""
        return tuple(mailbox for mailbox in self.device_mailboxes(address) if not self._is_full(mailbox))

    def owner_of(self, mailbox: int) -> str:
        """The address whose inbox it is; empty for any other mailbox."""
        user = self._by_mailbox.get(mailbox)
        return user.address if user else ""

    def _is_full(self, mailbox: int) -> bool:
        usage, quotas = self._store.usage(mailbox), self._settings.quotas
        return usage.items >= quotas.mailbox_envelopes or usage.bytes >= quotas.mailbox_bytes

    def may_reach(self, user: LocalUser, sender_provider: str) -> bool:
        """Whether the account takes messages from that provider."""
        settings = self._settings
        return reachable(
            user.account.reach.mode,
            user.account.reach.providers,
            settings.reach.value,
            settings.reach_providers,
            Provider(sender_provider),
            settings.provider,
        )

    def user_mailboxes(self, user: str, sender_provider: str) -> tuple[int, ...] | Code:
        """For the router: where the user's mail goes, or why it cannot."""
        found = self._users.get(user)
        if found is None or not self.may_reach(found, sender_provider):
            return Code.NOT_FOUND
        if not found.mailboxes:
            return Code.NO_KEYS
        return Code.MAILBOX_FULL if any(map(self._is_full, found.mailboxes)) else found.mailboxes
