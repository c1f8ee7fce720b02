"""Accounts: who is at home here, with which devices, and who may join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from waypost.clock import WallMs
from waypost.ids import User
from waypost.protocol.directory.reach import Reach
from waypost.storage.operations.base import Operation, Question


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    created_ms: WallMs
    device_list: bytes  #: signed; empty until a device has joined
    reach: Reach


@dataclass(frozen=True, slots=True)
class Device:
    key: bytes
    user: User
    label: str
    joined_ms: WallMs
    mailbox: int


# ── operations ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AddAccount(Operation[None]):
    """Raises Refused(USER_EXISTS)."""

    user: User
    at_ms: WallMs


@dataclass(frozen=True, slots=True)
class RemoveAccount(Operation[tuple[int, ...]]):
    """With its devices, packages and invites; their mailboxes (the answer) stay for the caller to bounce and empty.

    Raises Refused(NOT_FOUND).
    """

    user: User


@dataclass(frozen=True, slots=True)
class ChangeReach(Operation[None]):
    """Raises Refused(NOT_FOUND)."""

    user: User
    reach: Reach


@dataclass(frozen=True, slots=True)
class AddInvite(Operation[None]):
    """The same token again moves the invite.

    Raises Refused(NOT_FOUND) without such an account, Refused(QUOTA) beyond INVITES_OPEN_MAX.
    """

    token_hash: bytes
    user: User
    expires_ms: WallMs


@dataclass(frozen=True, slots=True)
class AddDevice(Operation[Device]):
    """Use up the invite and add the device with the account's new device list; opens the device's mailbox.

    `device.joined_ms` is the time; the same device joining with the same token again gets the same answer (a lost
    answer is repeated). Raises Refused(INVITE_INVALID), Refused(FORBIDDEN) for a key that belongs to another account,
    and Refused(QUOTA) beyond DEVICES_PER_ACCOUNT_MAX.
    """

    token_hash: bytes
    device: Device  #: its mailbox does not matter
    device_list: bytes


@dataclass(frozen=True, slots=True)
class TellAccounts(Operation[None]):
    """Change nothing, and tell as a change, in its place among the others, all accounts and devices."""


AccountsOperation = AddAccount | RemoveAccount | ChangeReach | AddInvite | AddDevice | TellAccounts

# ── changes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AccountChanged:
    """How it is now, with its devices in order of joining; None: it is gone."""

    user: User
    account: Account | None
    devices: Sequence[Device] = ()


@dataclass(frozen=True, slots=True)
class AccountsTold:
    """All there are, at this place among the changes; in the order of `AllAccounts` and `AllDevices`."""

    accounts: Sequence[Account]
    devices: Sequence[Device]


# ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class AllAccounts(Question[list[Account]]):
    """By name."""


@dataclass(frozen=True, slots=True)
class AllDevices(Question[list[Device]]):
    """By user, then in order of joining."""


@dataclass(frozen=True, slots=True)
class Invited(Question[User | None]):
    """For whom the invite is, if it is open and in time."""

    token_hash: bytes
    now_ms: WallMs


AccountsQuestion = AllAccounts | AllDevices | Invited
