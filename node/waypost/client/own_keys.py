"""The device's own key packages: made, uploaded, and their private keys kept as long as anyone may write with them.

All functions of `OwnKeys` work inside a transaction.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import IntEnum

from waypost.client.at_rest import AtRest
from waypost.clock import SECOND_MS, WallMs
from waypost.crypto.kem import SEED_BYTES, KemKey
from waypost.crypto.keys import SigningKey
from waypost.crypto.seal import SUITE
from waypost.limits import (
    EXPIRY_MAX_S,
    LAST_RESORT_RENEW_MS,
    PACKAGE_KEYS_MAX,
    PACKAGE_LIFETIME_MS,
    PACKAGES_PER_DEVICE_MAX,
)
from waypost.protocol.directory.asks import Publish
from waypost.protocol.directory.bundle import KeyPackage, open_package, sign_package
from waypost.protocol.frames.codec import ID_BYTES


class UploadState(IntEnum):
    PENDING = 0  #: may or may not have reached the node: to be repeated as it is
    DONE = 1
    DROPPED = 2  #: refused; its private keys stay, in case it was not


@dataclass(frozen=True)
class OwnKeys:
    device: SigningKey
    at_rest: AtRest
    random: Callable[[int], bytes]

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
        upload = self.random(ID_BYTES)
        conn.execute("INSERT INTO upload VALUES (?, ?, ?, ?)", (upload, epoch, now_ms, UploadState.PENDING))
        conn.executemany(
            "INSERT INTO package VALUES (?, ?, ?, ?, ?, ?)", self._make(upload, count, renew=renew, now_ms=now_ms)
        )
        return True

    def finish(self, conn: sqlite3.Connection, upload: bytes, state: UploadState) -> None:
        """Its outcome; the packages themselves are of no more use here."""
        conn.execute("UPDATE upload SET state = ? WHERE id = ?", (state, upload))
        conn.execute("UPDATE package SET data = NULL WHERE upload = ?", (upload,))

    def find(self, conn: sqlite3.Connection, package: bytes) -> KemKey | None:
        """The private key behind a package id. Raises LocalError(STATE_DAMAGED)."""
        row = conn.execute("SELECT seed FROM package WHERE id = ?", (package,)).fetchone()
        return KemKey(self.at_rest.unlock(row[0], b"package " + package)) if row else None

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
            seed = self.random(SEED_BYTES)
            package = KeyPackage(1, SUITE, self.device.public, KemKey(seed).public, expires_ms, last_resort)
            data = sign_package(package, self.device)
            package_id = open_package(data, self.device.public).id
            # Written with at the last moment, a message may be on its way for as long as it may live.
            forget_ms = expires_ms + EXPIRY_MAX_S * SECOND_MS
            yield (
                package_id,
                upload,
                int(last_resort),
                forget_ms,
                self.at_rest.lock(seed, b"package " + package_id),
                data,
            )
