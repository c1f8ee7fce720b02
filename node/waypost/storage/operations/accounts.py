"""Accounts: who is at home here, with which devices, and who may join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

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


class AddAccount(Struct, Operation[None], frozen=True):
    """Raises Refused(USER_EXISTS)."""

    user: User
    at_ms: WallMs


class RemoveAccount(Struct, Operation[tuple[int, ...]], frozen=True):
    """With its devices, packages and invites; their mailboxes (the answer) stay for the caller to bounce and empty.

    Raises Refused(NOT_FOUND).
    """

    user: User


class ChangeReach(Struct, Operation[None], frozen=True):
    """Raises Refused(NOT_FOUND)."""

    user: User
    reach: Reach


class AddInvite(Struct, Operation[None], frozen=True):
    """The same token again moves the invite.

    Raises Refused(NOT_FOUND) without such an account, Refused(QUOTA) beyond INVITES_OPEN_MAX.
    """

    token_hash: bytes
    user: User
    expires_ms: WallMs


class AddDevice(Struct, Operation[Device], frozen=True):
    """Use up the invite and add the device with the account's new device list; opens the device's mailbox.

    `device.joined_ms` is the time; the same device joining with the same token again gets the same answer (a lost
    answer is repeated). Raises Refused(INVITE_INVALID), Refused(FORBIDDEN) for a key that belongs to another account,
    and Refused(QUOTA) beyond DEVICES_PER_ACCOUNT_MAX.
    """

    token_hash: bytes
    device: Device  #: its mailbox does not matter
    device_list: bytes


class TellAccounts(Struct, Operation[None], frozen=True):
    """Change nothing, and tell as a change, in its place among the others, all accounts and devices."""


AccountsOperation = AddAccount | RemoveAccount | ChangeReach | AddInvite | AddDevice | TellAccounts


class AccountChanged(Struct, frozen=True):
    """How it is now, with its devices in order of joining; None: it is gone."""

    user: User
    account: Account | None
    devices: Sequence[Device] = ()


class AccountsTold(Struct, frozen=True):
    """All there are, at this place among the changes; in the order of `AllAccounts` and `AllDevices`."""

    accounts: Sequence[Account]
    devices: Sequence[Device]


class AllAccounts(Struct, Question[list[Account]], frozen=True):
    """By name."""


class AllDevices(Struct, Question[list[Device]], frozen=True):
    """By user, then in order of joining."""


class Invited(Struct, Question[User | None], frozen=True):
    """For whom the invite is, if it is open and in time."""

    token_hash: bytes
    now_ms: WallMs


AccountsQuestion = AllAccounts | AllDevices | Invited
