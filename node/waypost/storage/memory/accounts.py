"""Operations on accounts and devices, and questions about them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, assert_never

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import User
from waypost.limits import DEVICES_PER_ACCOUNT_MAX, INVITES_OPEN_MAX
from waypost.protocol.directory.reach import BY_DEFAULT
from waypost.storage.memory.state import GivenAnswer, MemoryState, Published
from waypost.storage.operations import accounts as ops
from waypost.storage.operations.accounts import Account, AccountChanged, AccountsTold, Device
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mailboxes import MailboxKind


def write(state: MemoryState, operation: ops.AccountsOperation, changes: list[Change]) -> Any:
    """Its answer; `changes` grows by what it has changed."""
    match operation:
        case ops.AddAccount(user, at_ms):
            if user in state.accounts:
                raise Refused(Code.USER_EXISTS, user)
            state.accounts[user] = Account(user, at_ms, b"", BY_DEFAULT)
            changes.append(_changed(state, user))
        case ops.RemoveAccount(user):
            mailboxes = _remove_account(state, user)
            changes.append(AccountChanged(user, None))
            return mailboxes
        case ops.ChangeReach(user, reach):
            _need_account(state, user)
            state.accounts[user] = replace(state.accounts[user], reach=reach)
            changes.append(_changed(state, user))
        case ops.AddInvite(token_hash, user, expires_ms):
            _add_invite(state, token_hash, user, expires_ms)
        case ops.AddDevice(token_hash, device, device_list):
            joined = _add_device(state, token_hash, device, device_list)
            changes.append(_changed(state, joined.user))
            return joined
        case ops.TellAccounts():
            changes.append(AccountsTold(_accounts(state), _devices(state)))
        case _:
            assert_never(operation)
    return None


def answer(state: MemoryState, question: ops.AccountsQuestion) -> Any:
    """See the question."""
    match question:
        case ops.AllAccounts():
            return _accounts(state)
        case ops.AllDevices():
            return _devices(state)
        case ops.Invited(token_hash, now_ms):
            return _invited(state, token_hash, now_ms)
        case _:
            assert_never(question)


def _accounts(state: MemoryState) -> list[Account]:
    return sorted(state.accounts.values(), key=lambda account: account.user)


def _devices(state: MemoryState) -> list[Device]:
    return sorted(state.devices.values(), key=lambda device: (device.user, device.joined_ms, device.key))


def _changed(state: MemoryState, user: User) -> AccountChanged:
    return AccountChanged(user, state.accounts[user], [each for each in _devices(state) if each.user == user])


def _remove_account(state: MemoryState, user: User) -> tuple[int, ...]:
    _need_account(state, user)
    gone = [device for device in state.devices.values() if device.user == user]
    for device in gone:
        del state.devices[device.key]
        state.keys.pop(device.key, None)
        state.answers = {r: answer for r, answer in state.answers.items() if r[: len(device.key)] != device.key}
    state.invites = {token: invite for token, invite in state.invites.items() if invite[0] != user}
    del state.accounts[user]
    return tuple(sorted(device.mailbox for device in gone))


def _add_invite(state: MemoryState, token_hash: bytes, user: User, expires_ms: WallMs) -> None:
    _need_account(state, user)
    if token_hash not in state.invites and len(state.invites) >= INVITES_OPEN_MAX:
        raise Refused(Code.QUOTA, f"{INVITES_OPEN_MAX} invites are open")
    state.invites[token_hash] = (user, expires_ms)


def _invited(state: MemoryState, token_hash: bytes, now_ms: WallMs) -> User | None:
    user, expires_ms = state.invites.get(token_hash, (None, 0))
    return user if expires_ms > now_ms else None


def _add_device(state: MemoryState, token_hash: bytes, device: Device, device_list: bytes) -> Device:
    request = token_hash + device.key
    known = state.devices.get(device.key)
    user = _invited(state, token_hash, device.joined_ms)
    if user is None and known and known.user == device.user and request in state.answers:
        return known
    if user is None or user != device.user:
        raise Refused(Code.INVITE_INVALID)
    if known and known.user != user:
        raise Refused(Code.FORBIDDEN, "the device belongs to another account")
    others = sum(other.user == user and other.key != device.key for other in state.devices.values())
    if others >= DEVICES_PER_ACCOUNT_MAX:
        raise Refused(Code.QUOTA, f"{user} has {others} devices")
    joined = replace(device, mailbox=state.open_mailbox(MailboxKind.DEVICE, device.key.hex()))
    state.devices[device.key] = joined
    state.keys.setdefault(device.key, Published())
    state.accounts[user] = replace(state.accounts[user], device_list=device_list)
    del state.invites[token_hash]
    state.answers.setdefault(request, GivenAnswer(device.joined_ms, b""))
    return joined


def _need_account(state: MemoryState, user: User) -> None:
    if user not in state.accounts:
        raise Refused(Code.NOT_FOUND, user)
