"""The device's own key packages: made, uploaded, and their private keys kept as long as anyone may write with them.

All functions of `OwnPackages` work inside a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from enum import IntEnum

from waypost.client.profile.at_rest import AtRest
from waypost.clock import SECOND_MS, WallMs
from waypost.limits import (
    EXPIRY_MAX_S,
    LAST_RESORT_RENEW_MS,
    PACKAGE_KEYS_MAX,
    PACKAGE_LIFETIME_MS,
    PACKAGES_PER_DEVICE_MAX,
)
from waypost.protocol.directory.asks import Publish
from waypost.protocol.frames.codec import ID_BYTES


class UploadState(IntEnum):
    PENDING = 0  #: may or may not have reached the node: to be repeated as it is
    DONE = 1
    DROPPED = 2  #: refused; its private keys stay, in case it was not


#: The signed bytes of a package for the private key that a seed makes, and its id: of (seed, expires_ms, last_resort).
NewPackage = Callable[[bytes, WallMs, bool], tuple[bytes, bytes]]


class OwnPackages:
    """`new`: the scheme's; a seed has `seed_bytes`."""

    def __init__(self, at_rest: AtRest, random: Callable[[int], bytes], seed_bytes: int, new: NewPackage) -> None:
        self._at_rest = at_rest
        self._random = random
        self._seed_bytes = seed_bytes
        self._new = new

    def pending(self, conn: sqlite3.Connection) -> Publish | None:
        """The upload that was begun and not answered."""
        row = conn.execute("SELECT id, epoch FROM upload WHERE state = ?", (UploadState.PENDING,)).fetchone()
        if row is None:
            return None
        rows = conn.execute(
            "SELECT last_resort, data FROM package WHERE upload = ? AND data IS NOT NULL ORDER BY id", (row[0],)
        ).fetchall()
        last_resort = [data for last, data in rows if last]
        return Publish(
            row[0], row[1], tuple(data for last, data in rows if not last), last_resort[0] if last_resort else b""
        )

    def prepare(self, conn: sqlite3.Connection, epoch: int, left: int, now_ms: WallMs) -> bool:
        """Begin an upload that fills up to PACKAGES_PER_DEVICE_MAX; False if there is nothing to upload."""
        (kept,) = conn.execute("SELECT count(*) FROM package").fetchone()
        count = max(0, min(PACKAGES_PER_DEVICE_MAX - left, PACKAGE_KEYS_MAX - kept))
        renew = self._wants_last_resort(conn, epoch, now_ms)
        if not count and not renew:
            return False
        upload = self._random(ID_BYTES)
        conn.execute("INSERT INTO upload VALUES (?, ?, ?, ?)", (upload, epoch, now_ms, UploadState.PENDING))
        conn.executemany(
            "INSERT INTO package VALUES (?, ?, ?, ?, ?, ?)", self._make(upload, count, renew=renew, now_ms=now_ms)
        )
        return True

    def finish(self, conn: sqlite3.Connection, upload: bytes, state: UploadState) -> None:
        """Its outcome; the packages themselves are of no more use here."""
        conn.execute("UPDATE upload SET state = ? WHERE id = ?", (state, upload))
        conn.execute("UPDATE package SET data = NULL WHERE upload = ?", (upload,))

    def seed(self, conn: sqlite3.Connection, package: bytes) -> bytes | None:
        """What makes the private key behind a package id. Raises LocalError(STATE_DAMAGED)."""
        row = conn.execute("SELECT seed FROM package WHERE id = ?", (package,)).fetchone()
        return self._at_rest.unlock(row[0], b"package " + package) if row else None

    def forget(self, conn: sqlite3.Connection, now_ms: WallMs) -> None:
        """Private keys of packages with which nothing can come any more."""
        conn.execute("DELETE FROM package WHERE forget_ms <= ?", (now_ms,))
        conn.execute(
            "DELETE FROM upload WHERE state <> ? AND id NOT IN (SELECT upload FROM package)", (UploadState.PENDING,)
        )

    def _wants_last_resort(self, conn: sqlite3.Connection, epoch: int, now_ms: WallMs) -> bool:
        row = conn.execute(
            "SELECT max(upload.at_ms) FROM upload JOIN package ON package.upload = upload.id"
            " WHERE upload.epoch = ? AND upload.state = ? AND package.last_resort = 1",
            (epoch, UploadState.DONE),
        ).fetchone()
        return row[0] is None or row[0] + LAST_RESORT_RENEW_MS <= now_ms

    def _make(
        self, upload: bytes, count: int, *, renew: bool, now_ms: WallMs
    ) -> Iterator[tuple[bytes, bytes, int, int, bytes, bytes]]:
        expires_ms = now_ms + PACKAGE_LIFETIME_MS
        for last_resort in [False] * count + [True] * renew:
            seed = self._random(self._seed_bytes)
            data, package_id = self._new(seed, expires_ms, last_resort)
            # Written with at the last moment, a message may be on its way for as long as it may live.
            forget_ms = expires_ms + EXPIRY_MAX_S * SECOND_MS
            yield (
                package_id,
                upload,
                int(last_resort),
                forget_ms,
                self._at_rest.lock(seed, b"package " + package_id),
                data,
            )
