"""The key directory, as SQL on a connection whose transaction the caller holds.

An operation refuses before it changes anything, since those of others may be in the same transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, assert_never

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import User
from waypost.limits import IDEMPOTENCE_LIFETIME_MS, PACKAGES_PER_DEVICE_MAX, SUITES_PER_CLAIM_MAX
from waypost.protocol.directory.package import PackageState
from waypost.protocol.frames.codec import pack
from waypost.storage.operations import keys as ops
from waypost.storage.operations.keys import Issued, StoredPackage

_LAST_REQUEST = b"\xff" * 16


def write(conn: sqlite3.Connection, operation: ops.KeysOperation) -> Any:
    """Its answer."""
    match operation:
        case ops.AddPackages():
            return _add_packages(conn, operation)
        case ops.IssuePackages(user, suites, at_ms):
            return _issue_packages(conn, user, suites, at_ms)
        case ops.RememberAnswer(request, digest, given, at_ms):
            return remember_answer(conn, request, digest, given, at_ms)
        case _:
            assert_never(operation)


def answer(conn: sqlite3.Connection, question: ops.KeysQuestion) -> Any:
    """See the question."""
    match question:
        case ops.AnswerTo(request, digest):
            return answer_to(conn, request, digest)
        case ops.PackagesLeft(device, at_ms):
            return _packages_left(conn, device, at_ms)
        case _:
            assert_never(question)


def epoch(conn: sqlite3.Connection) -> int:
    """See `Store`; 0 until `set_epoch`."""
    row = conn.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    return int(row[0]) if row else 0


def set_epoch(conn: sqlite3.Connection, value: int) -> None:
    """For a new store, and after a restore; a number that this directory has never had, such as the wall time in ms."""
    conn.execute("INSERT OR REPLACE INTO meta (name, value) VALUES ('epoch', ?)", (value,))


def _add_packages(conn: sqlite3.Connection, operation: ops.AddPackages) -> int:
    device, at_ms, last_resort = operation.device, operation.at_ms, operation.last_resort
    row = conn.execute("SELECT suites FROM device WHERE key = ?", (device,)).fetchone()
    if row is None:
        raise Refused(Code.FORBIDDEN, "no such device")
    uploaded = [*operation.packages, last_resort] if last_resort else list(operation.packages)
    digest = blake2b(pack([(p.suite, p.expires_ms, p.data, p is last_resort) for p in uploaded]), digest_size=32)
    request = device + operation.upload
    left = _packages_left(conn, device, at_ms)
    if answer_to(conn, request, digest.digest()) is not None:
        return left
    new = [p for p in operation.packages if p.expires_ms > at_ms]
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


def _issue_packages(conn: sqlite3.Connection, user: User, suites: Sequence[str], at_ms: WallMs) -> list[Issued]:
    rows = conn.execute("SELECT key, suites FROM device WHERE user = ? ORDER BY joined_ms, key", (user,)).fetchall()
    return [_issue(conn, device, suites, json.loads(published), at_ms) for device, published in rows]


def answer_to(conn: sqlite3.Connection, request: bytes, digest: bytes) -> bytes | None:
    """`AnswerTo`."""
    row = conn.execute("SELECT digest, answer FROM answered WHERE request = ?", (request,)).fetchone()
    if row is None:
        return None
    if row[0] != digest:
        raise Refused(Code.CONFLICT)
    return bytes(row[1])


def remember_answer(conn: sqlite3.Connection, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> None:
    """`RememberAnswer`."""
    conn.execute(
        "INSERT INTO answered (request, at_ms, digest, answer) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        (request, at_ms, digest, answer),
    )


def forget_keys(conn: sqlite3.Connection, device: bytes) -> None:
    """Of a device that leaves. Uploads are forgotten too: if it joins again it may publish under an id used before."""
    conn.execute("DELETE FROM package WHERE device = ?", (device,))
    conn.execute("DELETE FROM answered WHERE request BETWEEN ? AND ?", (device, device + _LAST_REQUEST))


def _packages_left(conn: sqlite3.Connection, device: bytes, at_ms: WallMs) -> int:
    counted = "SELECT count(*) FROM package WHERE device = ? AND NOT last_resort AND expires_ms > ?"
    (left,) = conn.execute(counted, (device, at_ms)).fetchone()
    return int(left)


def prune(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """The part of `Prune` that is about packages, invites and answers."""
    conn.execute("DELETE FROM package WHERE expires_ms <= ?", (now_ms,))
    conn.execute("DELETE FROM invite WHERE expires_ms <= ?", (now_ms,))
    oldest = now_ms - IDEMPOTENCE_LIFETIME_MS
    conn.execute("DELETE FROM answered WHERE at_ms <= ? AND expires_ms <= ?", (oldest, now_ms))


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
        state = PackageState.LAST_RESORT if last_resort else PackageState.ONE_TIME
        return Issued(device, state, data, _packages_left(conn, device, at_ms))
    fits = not published or any(suite in published for suite in suites)
    state = PackageState.EXHAUSTED if fits else PackageState.INCOMPATIBLE
    return Issued(device, state, b"", _packages_left(conn, device, at_ms))
