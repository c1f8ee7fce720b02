"""Accounts, devices, the key directory and peers, as SQL on a connection whose transaction the caller holds.

Each function is the verb of that name in `store.Store`, without its own transaction. It refuses before it changes
anything, since the verbs of others may be in the same transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import Provider, User
from waypost.limits import (
    DEVICES_PER_ACCOUNT_MAX,
    IDEMPOTENCE_LIFETIME_MS,
    INVITES_OPEN_MAX,
    PACKAGES_PER_DEVICE_MAX,
    PEERS_MAX,
    SUITES_PER_CLAIM_MAX,
)
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.protocol.frames.codec import pack
from waypost.storage.store import REACHES, Account, Device, Issued, MailboxKind, PeerRow, StoredPackage

_LAST_REQUEST = b"\xff" * 16

# ── mailboxes ───────────────────────────────────────────────────────────────────────────────────────────────────────


def open_mailbox(conn: sqlite3.Connection, kind: MailboxKind, owner: str) -> int:
    """See `Store`."""
    conn.execute("INSERT INTO mailbox (kind, owner) VALUES (?, ?) ON CONFLICT DO NOTHING", (kind, owner))
    return _number(conn, "SELECT id FROM mailbox WHERE kind = ? AND owner = ?", kind, owner)


# ── accounts and devices ────────────────────────────────────────────────────────────────────────────────────────────


def add_account(conn: sqlite3.Connection, user: User, at_ms: WallMs) -> None:
    """See `Store`."""
    if _has_account(conn, user):
        raise Refused(Code.USER_EXISTS, user)
    conn.execute("INSERT INTO account (user, created_ms) VALUES (?, ?)", (user, at_ms))


def remove_account(conn: sqlite3.Connection, user: User) -> tuple[int, ...]:
    """See `Store`. Uploads are forgotten too: a device that joins again may publish under an id used before."""
    _need_account(conn, user)
    devices = conn.execute("SELECT key, mailbox FROM device WHERE user = ? ORDER BY mailbox", (user,)).fetchall()
    for key, _ in devices:
        conn.execute("DELETE FROM package WHERE device = ?", (key,))
        conn.execute("DELETE FROM answered WHERE request BETWEEN ? AND ?", (key, key + _LAST_REQUEST))
    conn.execute("DELETE FROM device WHERE user = ?", (user,))
    conn.execute("DELETE FROM invite WHERE user = ?", (user,))
    conn.execute("DELETE FROM account WHERE user = ?", (user,))
    return tuple(mailbox for _, mailbox in devices)


def accounts(conn: sqlite3.Connection) -> list[Account]:
    """All, by name."""
    rows = conn.execute("SELECT user, created_ms, device_list, reach, providers FROM account ORDER BY user")
    return [
        Account(User(user), created_ms, device_list, reach, tuple(map(Provider, providers.split())))
        for user, created_ms, device_list, reach, providers in rows
    ]


def devices(conn: sqlite3.Connection) -> list[Device]:
    """All, by user, then in order of joining."""
    rows = conn.execute("SELECT key, user, label, joined_ms, mailbox FROM device ORDER BY user, joined_ms, key")
    return [Device(*row) for row in rows]


def set_reach(conn: sqlite3.Connection, user: User, reach: str, providers: Sequence[Provider]) -> None:
    """See `Store`."""
    _need_account(conn, user)
    if reach not in REACHES:
        raise Refused(Code.BAD_REQUEST, f"reach {reach!r}")
    conn.execute("UPDATE account SET reach = ?, providers = ? WHERE user = ?", (reach, " ".join(providers), user))


def add_invite(conn: sqlite3.Connection, token_hash: bytes, user: User, expires_ms: WallMs) -> None:
    """See `Store`. The same token again moves the invite."""
    _need_account(conn, user)
    known = conn.execute("SELECT 1 FROM invite WHERE token_hash = ?", (token_hash,)).fetchone()
    if not known and _number(conn, "SELECT count(*) FROM invite") >= INVITES_OPEN_MAX:
        raise Refused(Code.QUOTA, f"{INVITES_OPEN_MAX} invites are open")
    conn.execute(
        "INSERT INTO invite (token_hash, user, expires_ms) VALUES (?, ?, ?)"
        " ON CONFLICT (token_hash) DO UPDATE SET user = excluded.user, expires_ms = excluded.expires_ms",
        (token_hash, user, expires_ms),
    )


def invited(conn: sqlite3.Connection, token_hash: bytes, now_ms: WallMs) -> User | None:
    """See `Store`."""
    row = conn.execute(
        "SELECT user FROM invite WHERE token_hash = ? AND expires_ms > ?", (token_hash, now_ms)
    ).fetchone()
    return User(row[0]) if row else None


def join(conn: sqlite3.Connection, token_hash: bytes, device: Device, device_list: bytes) -> Device:
    """See `Store`. A key that belongs to another account is FORBIDDEN."""
    request = token_hash + device.key
    known = _device(conn, device.key)
    user = invited(conn, token_hash, device.joined_ms)
    if user is None and known and known.user == device.user and _is_answered(conn, request):
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
    conn.execute("UPDATE account SET device_list = ? WHERE user = ?", (device_list, user))
    conn.execute("DELETE FROM invite WHERE token_hash = ?", (token_hash,))
    remember_answer(conn, request, b"", b"", device.joined_ms)
    return joined


# ── key directory ───────────────────────────────────────────────────────────────────────────────────────────────────


def epoch(conn: sqlite3.Connection) -> int:
    """See `Store`. 0 until `set_epoch`."""
    row = conn.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    return int(row[0]) if row else 0


def set_epoch(conn: sqlite3.Connection, value: int) -> None:
    """For a new store, and after a restore; a number that this directory has never had, such as the wall time in ms."""
    conn.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('epoch', ?)", (value,))


def publish(
    conn: sqlite3.Connection,
    device: bytes,
    upload: bytes,
    at_ms: WallMs,
    packages: Sequence[StoredPackage],
    last_resort: StoredPackage | None,
) -> int:
    """See `Store`. Expired packages are not stored. Refused(QUOTA) also beyond SUITES_PER_CLAIM_MAX suites at once."""
    row = conn.execute("SELECT suites FROM device WHERE key = ?", (device,)).fetchone()
    if row is None:
        raise Refused(Code.FORBIDDEN, "no such device")
    uploaded = [*packages, last_resort] if last_resort else list(packages)
    digest = blake2b(pack([(p.suite, p.expires_ms, p.data, p is last_resort) for p in uploaded]), digest_size=32)
    request = device + upload
    left = packages_left(conn, device, at_ms)
    if answered(conn, request, digest.digest()) is not None:
        return left
    new = [p for p in packages if p.expires_ms > at_ms]
    named = list(dict.fromkeys(p.suite for p in uploaded))
    if left + len(new) > PACKAGES_PER_DEVICE_MAX or len(named) > SUITES_PER_CLAIM_MAX:
        raise Refused(Code.QUOTA, f"{left} one-time packages are left, {len(new)} of {len(named)} suites came")
    conn.execute("DELETE FROM package WHERE device = ? AND expires_ms <= ?", (device, at_ms))
    _name_suites(conn, device, list(dict.fromkeys([*named, *json.loads(row[0])])))
    _insert_packages(conn, device, new, 0)
    if last_resort and last_resort.expires_ms > at_ms:
        conn.execute("DELETE FROM package WHERE device = ? AND suite = ? AND last_resort", (device, last_resort.suite))
        _insert_packages(conn, device, [last_resort], 1)
    # Repeated after it was forgotten, the upload would bring back packages that have been issued: it is remembered
    # for as long as they could be served.
    expires_ms = max((p.expires_ms for p in new), default=0)
    conn.execute(
        "INSERT INTO answered (request, at_ms, digest, answer, expires_ms) VALUES (?, ?, ?, x'', ?)",
        (request, at_ms, digest.digest(), expires_ms),
    )
    return left + len(new)


def claim(conn: sqlite3.Connection, user: User, suites: Sequence[str], at_ms: WallMs) -> list[Issued]:
    """See `Store`. In order of joining."""
    rows = conn.execute("SELECT key, suites FROM device WHERE user = ? ORDER BY joined_ms, key", (user,)).fetchall()
    return [_issue(conn, device, suites, json.loads(published), at_ms) for device, published in rows]


def answered(conn: sqlite3.Connection, request: bytes, digest: bytes) -> bytes | None:
    """See `Store`."""
    row = conn.execute("SELECT digest, answer FROM answered WHERE request = ?", (request,)).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise Refused(Code.CONFLICT)
    return bytes(row[1])


def remember_answer(conn: sqlite3.Connection, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> None:
    """See `Store`. The first answer stands."""
    conn.execute(
        "INSERT INTO answered (request, at_ms, digest, answer) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (request, at_ms, digest, answer),
    )


def packages_left(conn: sqlite3.Connection, device: bytes, at_ms: WallMs) -> int:
    """See `Store`."""
    counted = "SELECT count(*) FROM package WHERE device = ? AND NOT last_resort AND expires_ms > ?"
    return _number(conn, counted, device, at_ms)


def prune(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """The part of `Store.prune` that is about packages, invites and answers."""
    conn.execute("DELETE FROM package WHERE expires_ms <= ?", (now_ms,))
    conn.execute("DELETE FROM invite WHERE expires_ms <= ?", (now_ms,))
    oldest = now_ms - IDEMPOTENCE_LIFETIME_MS
    conn.execute("DELETE FROM answered WHERE at_ms <= ? AND expires_ms <= ?", (oldest, now_ms))


# ── peers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def save_peer(conn: sqlite3.Connection, peer: PeerRow) -> None:
    """See `Store`. One with a key or with a policy never makes room."""
    known = conn.execute("SELECT 1 FROM peer WHERE provider = ?", (peer.provider,)).fetchone()
    if not known and _number(conn, "SELECT count(*) FROM peer") >= PEERS_MAX:
        oldest = conn.execute(
            "SELECT provider FROM peer WHERE key = x'' AND policy = '' ORDER BY heard_ms, provider LIMIT 1"
        ).fetchone()
        if oldest is None:
            raise Refused(Code.QUOTA, f"{PEERS_MAX} peers are known")
        forget_peer(conn, Provider(oldest[0]))
    conn.execute(
        "INSERT OR REPLACE INTO peer (provider, key, trust, policy, record, first_ms, heard_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (peer.provider, peer.key, peer.trust, peer.policy, peer.record, peer.first_ms, peer.heard_ms),
    )


def forget_peer(conn: sqlite3.Connection, provider: Provider) -> None:
    """See `Store`."""
    conn.execute("DELETE FROM peer WHERE provider = ?", (provider,))


def peers(conn: sqlite3.Connection) -> list[PeerRow]:
    """All, by name."""
    rows = conn.execute("SELECT provider, key, trust, policy, record, first_ms, heard_ms FROM peer ORDER BY provider")
    return [
        PeerRow(provider, key, Trust(trust), PeerPolicy(policy), *rest) for provider, key, trust, policy, *rest in rows
    ]


# ── helpers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _number(conn: sqlite3.Connection, sql: str, *values: object) -> int:
    (number,) = conn.execute(sql, values).fetchone()
    return int(number)


def _has_account(conn: sqlite3.Connection, user: User) -> bool:
    return conn.execute("SELECT 1 FROM account WHERE user = ?", (user,)).fetchone() is not None


def _need_account(conn: sqlite3.Connection, user: User) -> None:
    if not _has_account(conn, user):
        raise Refused(Code.NOT_FOUND, user)


def _is_answered(conn: sqlite3.Connection, request: bytes) -> bool:
    return conn.execute("SELECT 1 FROM answered WHERE request = ?", (request,)).fetchone() is not None


def _device(conn: sqlite3.Connection, key: bytes) -> Device | None:
    row = conn.execute("SELECT key, user, label, joined_ms, mailbox FROM device WHERE key = ?", (key,)).fetchone()
    return Device(*row) if row else None


def _name_suites(conn: sqlite3.Connection, device: bytes, suites: Sequence[str]) -> None:
    """Note what the device publishes, latest first; packages of suites that it has long left make room."""
    conn.execute("UPDATE device SET suites = ? WHERE key = ?", (json.dumps(suites[:SUITES_PER_CLAIM_MAX]), device))
    for suite in suites[SUITES_PER_CLAIM_MAX:]:
        conn.execute("DELETE FROM package WHERE device = ? AND suite = ?", (device, suite))


def _insert_packages(
    conn: sqlite3.Connection, device: bytes, packages: Sequence[StoredPackage], last_resort: int
) -> None:
    conn.executemany(
        "INSERT INTO package (device, suite, last_resort, expires_ms, data) VALUES (?, ?, ?, ?, ?)",
        [(device, p.suite, last_resort, p.expires_ms, p.data) for p in packages],
    )


def _issue(
    conn: sqlite3.Connection, device: bytes, suites: Sequence[str], published: Sequence[str], at_ms: WallMs
) -> Issued:
    """Suite before kind: who drains the one-time packages of a strong suite must not push others to a weaker one."""
    for suite in suites:
        row = conn.execute(
            "SELECT id, last_resort, data FROM package WHERE device = ? AND suite = ? AND expires_ms > ?"
            " ORDER BY last_resort, id LIMIT 1",
            (device, suite, at_ms),
        ).fetchone()
        if row is None:
            continue
        number, last_resort, data = row
        if not last_resort:
            conn.execute("DELETE FROM package WHERE id = ?", (number,))
        state = "last-resort" if last_resort else "one-time"
        return Issued(device, state, data, packages_left(conn, device, at_ms))
    fits = not published or any(suite in published for suite in suites)
    return Issued(device, "exhausted" if fits else "incompatible", b"", packages_left(conn, device, at_ms))
