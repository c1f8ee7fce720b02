"""What the writer of mail knows without asking the database.

Duplicates are found by id among the ids of envelopes made in the same four seconds (a bucket of `seen`): the few
buckets in use are held in memory, since an envelope's id covers its creation time and a duplicate therefore falls into
the same bucket.
"""

from __future__ import annotations

import sqlite3

from waypost.limits import SEEN_CACHE_IDS

BUCKET_SHIFT = 12  #: created_ms >> 12: buckets of 4.096 s


class MailState:
    """See the module. `restart` makes it true again after a rollback."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.next_seq = 1
        self._seen: dict[int, set[bytes]] = {}
        self._cached = 0
        self.restart(conn)

    def restart(self, conn: sqlite3.Connection) -> None:
        """Forget what the transaction that failed had changed."""
        self._seen.clear()
        self._cached = 0
        for (last,) in conn.execute("SELECT max(seq) FROM delivery GROUP BY mailbox"):
            self.next_seq = max(self.next_seq, last + 1)

    def take_seq(self) -> int:
        """The next place in the order of all parcels."""
        seq = self.next_seq
        self.next_seq += 1
        return seq

    def seen(self, conn: sqlite3.Connection, bucket: int) -> set[bytes]:
        """The ids of one bucket, from memory if they are there."""
        ids = self._seen.get(bucket)
        if ids is None:
            ids = set()
            for (joined,) in conn.execute("SELECT ids FROM seen WHERE bucket = ?", (bucket,)):
                ids.update(split_ids(joined))
            self._seen[bucket] = ids
            self._cached += len(ids)
        return ids

    def trim(self, added: int) -> None:
        """Keep the cache within its bound; the oldest buckets go first, never the newest."""
        self._cached += added
        while self._cached > SEEN_CACHE_IDS and len(self._seen) > 1:
            oldest = min(self._seen)
            self._cached -= len(self._seen.pop(oldest))


def split_ids(joined: bytes) -> list[bytes]:
    """16-byte ids from their concatenation."""
    return [joined[start : start + 16] for start in range(0, len(joined), 16)]
