"""Accounts, devices and invites, as SQL on a connection whose transaction the caller holds.

An operation refuses before it changes anything, since those of others may be in the same transaction.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from typing import Any, assert_never

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import Provider, User
from waypost.limits import DEVICES_PER_ACCOUNT_MAX, INVITES_OPEN_MAX
from waypost.protocol.directory.reach import NOBODY, Reach, ReachMode
from waypost.storage.operations import accounts as ops
from waypost.storage.operations.accounts import Account, AccountChanged, AccountsTold, Device
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mailboxes import MailboxKind
from waypost.storage.sqlite.keys import answer_to, forget_keys, remember_answer
from waypost.storage.sqlite.mail import open_mailbox

_ACCOUNT = "SELECT user, created_ms, device_list, reach, providers FROM account"
_DEVICE = "SELECT key, user, label, joined_ms, mailbox FROM device"


def write(conn: sqlite3.Connection, operation: ops.AccountsOperation, changes: list[Change]) -> Any:
    """Its answer; `changes` grows by what it has changed."""
    match operation:
        case ops.AddAccount(user, at_ms):
            _add_account(conn, user, at_ms)
            changes.append(_changed(conn, user))
        case ops.RemoveAccount(user):
            mailboxes = _remove_account(conn, user)
            changes.append(AccountChanged(user, None))
            return mailboxes
        case ops.ChangeReach(user, reach):
            _change_reach(conn, user, reach)
            changes.append(_changed(conn, user))
        case ops.AddInvite(token_hash, user, expires_ms):
            _add_invite(conn, token_hash, user, expires_ms)
        case ops.AddDevice():
            joined = _add_device(conn, operation)
            changes.append(_changed(conn, joined.user))
            return joined
        case ops.TellAccounts():
            changes.append(AccountsTold(_accounts(conn), _devices(conn)))
        case _:
            assert_never(operation)
    return None


def answer(conn: sqlite3.Connection, question: ops.AccountsQuestion) -> Any:
    """See the question."""
    match question:
        case ops.AllAccounts():
            return _accounts(conn)
        case ops.AllDevices():
            return _devices(conn)
        case ops.Invited(token_hash, now_ms):
            return _invited(conn, token_hash, now_ms)
        case _:
            assert_never(question)


def _changed(conn: sqlite3.Connection, user: User) -> AccountChanged:
    row = conn.execute(f"{_ACCOUNT} WHERE user = ?", (user,)).fetchone()
    devices = conn.execute(f"{_DEVICE} WHERE user = ? ORDER BY joined_ms, key", (user,))
    return AccountChanged(user, _account(*row), [Device(*device) for device in devices])


def _add_account(conn: sqlite3.Connection, user: User, at_ms: WallMs) -> None:
    if _has_account(conn, user):
        raise Refused(Code.USER_EXISTS, user)
    conn.execute("INSERT INTO account (user, created_ms) VALUES (?, ?)", (user, at_ms))


def _remove_account(conn: sqlite3.Connection, user: User) -> tuple[int, ...]:
    _need_account(conn, user)
    devices = conn.execute("SELECT key, mailbox FROM device WHERE user = ? ORDER BY mailbox", (user,)).fetchall()
    for key, _ in devices:
        forget_keys(conn, key)
    conn.execute("DELETE FROM device WHERE user = ?", (user,))
    conn.execute("DELETE FROM invite WHERE user = ?", (user,))
    conn.execute("DELETE FROM account WHERE user = ?", (user,))
    return tuple(mailbox for _, mailbox in devices)


def _accounts(conn: sqlite3.Connection) -> list[Account]:
    return [_account(*row) for row in conn.execute(f"{_ACCOUNT} ORDER BY user")]


def _account(user: str, created_ms: WallMs, device_list: bytes, reach: str, providers: str) -> Account:
    # Checked as input is: a word and providers that do not belong together let nobody write.
    mode, named = ReachMode(reach), tuple(map(Provider, providers.split()))
    fits = (mode is ReachMode.SOME) is bool(named)
    return Account(User(user), created_ms, device_list, Reach(mode, named) if fits else NOBODY)


def _devices(conn: sqlite3.Connection) -> list[Device]:
    return [Device(*row) for row in conn.execute(f"{_DEVICE} ORDER BY user, joined_ms, key")]


def _change_reach(conn: sqlite3.Connection, user: User, reach: Reach) -> None:
    _need_account(conn, user)
    conn.execute(
        "UPDATE account SET reach = ?, providers = ? WHERE user = ?",
        (reach.mode.value, " ".join(reach.providers), user),
    )


def _add_invite(conn: sqlite3.Connection, token_hash: bytes, user: User, expires_ms: WallMs) -> None:
    _need_account(conn, user)
    known = conn.execute("SELECT 1 FROM invite WHERE token_hash = ?", (token_hash,)).fetchone()
    if not known and _number(conn, "SELECT count(*) FROM invite") >= INVITES_OPEN_MAX:
        raise Refused(Code.QUOTA, f"{INVITES_OPEN_MAX} invites are open")
    conn.execute(
        "INSERT INTO invite (token_hash, user, expires_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (token_hash) DO UPDATE SET user = excluded.user, expires_ms = excluded.expires_ms",
        (token_hash, user, expires_ms),
    )


def _invited(conn: sqlite3.Connection, token_hash: bytes, now_ms: WallMs) -> User | None:
    row = conn.execute(
        "SELECT user FROM invite WHERE token_hash = ? AND expires_ms > ?", (token_hash, now_ms)
    ).fetchone()
    return User(row[0]) if row else None


def _add_device(conn: sqlite3.Connection, operation: ops.AddDevice) -> Device:
    token_hash, device = operation.token_hash, operation.device
    request = token_hash + device.key
    known = _known(conn, device.key)
    user = _invited(conn, token_hash, device.joined_ms)
    if user is None and known and known.user == device.user and answer_to(conn, request, b"") is not None:
        return known
    if user is None or user != device.user:
        raise Refused(Code.INVITE_INVALID)
    if known and known.user != user:
        raise Refused(Code.FORBIDDEN, "the device belongs to another account")
    others = _number(conn, "SELECT count(*) FROM device WHERE user = ? AND key <> ?", user, device.key)
    if others >= DEVICES_PER_ACCOUNT_MAX:
        raise Refused(Code.QUOTA, f"{user} has {others} devices")
    joined = replace(device, mailbox=open_mailbox(conn, MailboxKind.DEVICE, device.key.hex()))
    conn.execute(
        "INSERT INTO device (key, user, label, joined_ms, mailbox) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (key) DO UPDATE SET label = excluded.label, joined_ms = excluded.joined_ms",
        (joined.key, user, joined.label, joined.joined_ms, joined.mailbox),
    )
    conn.execute("UPDATE account SET device_list = ? WHERE user = ?", (operation.device_list, user))
    conn.execute("DELETE FROM invite WHERE token_hash = ?", (token_hash,))
    remember_answer(conn, request, b"", b"", device.joined_ms)
    return joined


def _number(conn: sqlite3.Connection, sql: str, *values: object) -> int:
    (number,) = conn.execute(sql, values).fetchone()
    return int(number)


def _has_account(conn: sqlite3.Connection, user: User) -> bool:
    return conn.execute("SELECT 1 FROM account WHERE user = ?", (user,)).fetchone() is not None


def _need_account(conn: sqlite3.Connection, user: User) -> None:
    if not _has_account(conn, user):
        raise Refused(Code.NOT_FOUND, user)


def _known(conn: sqlite3.Connection, key: bytes) -> Device | None:
    row = conn.execute(f"{_DEVICE} WHERE key = ?", (key,)).fetchone()
    return Device(*row) if row else None
