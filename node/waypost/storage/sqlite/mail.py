"""The mail verbs on a SQLite connection: synchronous, inside a transaction that the caller opened.

Envelopes that arrive together for the same mailboxes share a row (a segment); each mailbox has one row (a delivery)
that claims it. So the cost of a commit grows with the number of batches, not of messages. Duplicates are found by id
among the ids of envelopes made in the same four seconds (a bucket of `seen`): the few buckets in use are held in
memory, since an envelope's id covers its creation time and a duplicate therefore falls into the same bucket.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import msgpack

from waypost.clock import WallMs
from waypost.crypto.keys import envelope_id
from waypost.limits import EXPIRY_MAX_S, SEEN_CACHE_IDS, SEEN_EXTRA_MS, TRACE_LIFETIME_MS
from waypost.protocol.frames.codec import pack
from waypost.storage.store import (
    Accepted,
    Deposit,
    Item,
    Keep,
    Parcel,
    ParcelKind,
    Placed,
    Settlement,
    Trace,
)

BUCKET_SHIFT = 12  #: created_ms >> 12: buckets of 4.096 s
_PRUNE_ROWS = 5_000  #: of the trace, in one go: a transaction that others need not wait long for

_PARCEL = """
    SELECT d.mailbox, d.seq, s.kind, d.picks, d.bytes, d.expires_ms, s.data
    FROM delivery AS d JOIN segment AS s ON s.id = d.segment
"""


class MailState:
    """What the writer knows without asking the database. `restart` makes it true again after a rollback."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.next_seq = 1
        self.usage: dict[int, list[int]] = {}  #: of what is committed, mailbox → [items, bytes]
        self.changes: dict[int, list[int]] = {}  #: by the open transaction
        self._seen: dict[int, set[bytes]] = {}
        self._cached = 0
        self.restart(conn)

    def restart(self, conn: sqlite3.Connection) -> None:
        """Forget what the transaction that failed had changed."""
        self._seen.clear()
        self._cached = 0
        self.changes.clear()
        self.usage.clear()
        rows = conn.execute("SELECT mailbox, max(seq), sum(items), sum(bytes) FROM delivery GROUP BY mailbox")
        for mailbox, last, items, size in rows:
            self.next_seq = max(self.next_seq, last + 1)
            self.usage[mailbox] = [items, size]

    def take_changes(self) -> dict[int, list[int]]:
        """Called after the commit."""
        changes, self.changes = self.changes, {}
        return changes

    def count(self, mailbox: int, items: int, size: int) -> None:
        change = self.changes.setdefault(mailbox, [0, 0])
        change[0] += items
        change[1] += size

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


def accept(conn: sqlite3.Connection, state: MailState, deposit: Deposit) -> Accepted:
    """`Store.accept`."""
    groups: dict[tuple[int, ...], list[Item]] = {}
    fresh: dict[tuple[int, tuple[int, ...]], list[bytes]] = {}
    duplicates = 0
    for item in deposit.items:
        bucket = item.created_ms >> BUCKET_SHIFT
        ids = state.seen(conn, bucket)
        if item.id in ids:
            duplicates += 1
            continue
        ids.add(item.id)
        fresh.setdefault((bucket, item.mailboxes), []).append(item.id)
        groups.setdefault(item.mailboxes, []).append(item)
    state.trim(len(deposit.items) - duplicates)
    conn.executemany(
        "INSERT INTO seen (bucket, at_ms, source, mailboxes, ids) VALUES (?, ?, ?, ?, ?)",
        [
            (bucket, deposit.at_ms, deposit.source, ",".join(map(str, mailboxes)), b"".join(ids))
            for (bucket, mailboxes), ids in fresh.items()
        ],
    )
    placed: list[Placed] = []
    for mailboxes, items in groups.items():
        if not mailboxes:
            continue
        placed += _place_envelopes(conn, state, mailboxes, items)
    return Accepted(tuple(placed), duplicates)


def _place_envelopes(
    conn: sqlite3.Connection, state: MailState, mailboxes: Sequence[int], items: Sequence[Item]
) -> Iterable[Placed]:
    envelopes = tuple(item.envelope for item in items)
    draft = Parcel(
        0,
        ParcelKind.ENVELOPES,
        tuple(item.id for item in items),
        envelopes,
        sum(map(len, envelopes)),
        min(item.expires_ms for item in items),
        tuple(item.sender for item in items),
    )
    return _place(conn, state, mailboxes, draft)


def _place(conn: sqlite3.Connection, state: MailState, mailboxes: Sequence[int], draft: Parcel) -> list[Placed]:
    segment = conn.execute(
        "INSERT INTO segment (kind, data) VALUES (?, ?)", (int(draft.kind), msgpack.packb(draft.items))
    ).lastrowid
    shared = int(len(mailboxes) > 1)
    placed = []
    for mailbox in mailboxes:
        seq = state.next_seq
        state.next_seq += 1
        conn.execute(
            "INSERT INTO delivery (mailbox, seq, segment, items, bytes, expires_ms, shared)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (mailbox, seq, segment, len(draft.items), draft.size, draft.expires_ms, shared),
        )
        state.count(mailbox, len(draft.items), draft.size)
        placed.append(
            Placed(
                mailbox, Parcel(seq, draft.kind, draft.ids, draft.items, draft.size, draft.expires_ms, draft.senders)
            )
        )
    return placed


def settle(conn: sqlite3.Connection, state: MailState, settlement: Settlement) -> tuple[Placed, ...]:
    """`Store.settle`."""
    for seq in settlement.done:
        _finish(conn, state, settlement.mailbox, seq)
    for keep in settlement.keep:
        if keep.indexes:
            _keep(conn, state, settlement.mailbox, keep)
        else:
            _finish(conn, state, settlement.mailbox, keep.seq)
    conn.executemany("INSERT INTO trace (at_ms, event, party, code, ids) VALUES (?, ?, ?, ?, ?)", settlement.traces)
    placed: list[Placed] = []
    for mailbox, outcomes in settlement.reports:
        if not outcomes:
            continue
        items = tuple(map(pack, outcomes))
        draft = Parcel(0, ParcelKind.OUTCOMES, (), items, sum(map(len, items)), settlement.report_expires_ms)
        placed += _place(conn, state, (mailbox,), draft)
    return tuple(placed)


def _finish(conn: sqlite3.Connection, state: MailState, mailbox: int, seq: int) -> None:
    row = conn.execute(
        "DELETE FROM delivery WHERE mailbox = ? AND seq = ? RETURNING segment, items, bytes, shared", (mailbox, seq)
    ).fetchone()
    if row is None:
        return
    segment, items, size, shared = row
    state.count(mailbox, -items, -size)
    if shared and conn.execute("SELECT 1 FROM delivery WHERE segment = ? AND shared = 1", (segment,)).fetchone():
        return
    conn.execute("DELETE FROM segment WHERE id = ?", (segment,))


def _keep(conn: sqlite3.Connection, state: MailState, mailbox: int, keep: Keep) -> None:
    row = conn.execute(_PARCEL + "WHERE d.mailbox = ? AND d.seq = ?", (mailbox, keep.seq)).fetchone()
    if row is None:
        return
    picks, size, data = row[3], row[4], row[6]
    everything = msgpack.unpackb(data)
    before = _unpack_picks(picks) if picks is not None else range(len(everything))
    after = [before[index] for index in keep.indexes]
    left = sum(len(everything[index]) for index in after)
    conn.execute(
        "UPDATE delivery SET picks = ?, items = ?, bytes = ?, due_ms = ?, expires_ms = ? WHERE mailbox = ? AND seq = ?",
        (_pack_picks(after), len(after), left, keep.due_ms, keep.expires_ms or row[5], mailbox, keep.seq),
    )
    state.count(mailbox, len(after) - len(before), left - size)


def requeue(conn: sqlite3.Connection, state: MailState, now_ms: WallMs, mailbox: int = 0) -> tuple[Placed, ...]:
    """`Store.requeue`."""
    where, parameters = (
        ("d.mailbox = ? AND d.due_ms > 0", (mailbox,)) if mailbox else ("d.due_ms BETWEEN 1 AND ?", (now_ms,))
    )
    rows = conn.execute(_PARCEL + f"WHERE {where} ORDER BY d.seq", parameters).fetchall()
    placed = []
    for row in rows:
        seq = state.next_seq
        state.next_seq += 1
        conn.execute("UPDATE delivery SET seq = ?, due_ms = 0 WHERE mailbox = ? AND seq = ?", (seq, row[0], row[1]))
        placed.append(Placed(row[0], _parcel((row[0], seq, *row[2:]))))
    return tuple(placed)


def next_due(conn: sqlite3.Connection) -> WallMs:
    """See `Store`."""
    (due_ms,) = conn.execute("SELECT ifnull(min(due_ms), 0) FROM delivery WHERE due_ms > 0").fetchone()
    return int(due_ms)


def fetch(conn: sqlite3.Connection, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[Parcel]:
    """`Store.fetch`."""
    rows = conn.execute(_PARCEL + "WHERE d.mailbox = ? AND d.seq > ? AND d.due_ms = 0 ORDER BY d.seq", (mailbox, after))
    return [placed.parcel for placed in _first(rows, max_items, max_bytes)]


def kept(conn: sqlite3.Connection, mailbox: int, max_items: int) -> list[Parcel]:
    """`Store.kept`."""
    rows = conn.execute(_PARCEL + "WHERE d.mailbox = ? AND d.due_ms > 0 ORDER BY d.seq", (mailbox,))
    return [placed.parcel for placed in _first(rows, max_items)]


def expiring(conn: sqlite3.Connection, now_ms: WallMs, max_items: int) -> list[Placed]:
    """`Store.expiring`."""
    rows = conn.execute(_PARCEL + "WHERE d.expires_ms <= ? ORDER BY d.expires_ms, d.seq", (now_ms,))
    return _first(rows, max_items)


def _first(rows: sqlite3.Cursor, max_items: int, max_bytes: int | None = None) -> list[Placed]:
    """As many parcels as the bounds allow, and one in any case."""
    placed: list[Placed] = []
    items = size = 0
    for row in rows:
        parcel = _parcel(row)
        items += len(parcel.items)
        size += parcel.size
        if placed and (items > max_items or (max_bytes is not None and size > max_bytes)):
            break
        placed.append(Placed(row[0], parcel))
    rows.close()
    return placed


def trace(conn: sqlite3.Connection, id_: bytes) -> list[Trace]:
    """`Store.trace`."""
    # instr() finds the bytes anywhere; only a whole id, at a multiple of 16, counts.
    rows = []
    accepted = conn.execute("SELECT at_ms, source, mailboxes, ids FROM seen WHERE instr(ids, ?) > 0", (id_,)).fetchall()
    for at_ms, source, mailboxes, ids in accepted:
        if id_ in split_ids(ids):
            rows.append(Trace(at_ms, "accepted", source, 0, id_))
            rows += [Trace(at_ms, "queued", owner, 0, id_) for owner in _owners(conn, mailboxes)]
    later = conn.execute(
        "SELECT at_ms, event, party, code, ids FROM trace WHERE instr(ids, ?) > 0 ORDER BY rowid", (id_,)
    )
    rows += [Trace(at_ms, event, party, code, id_) for at_ms, event, party, code, ids in later if id_ in split_ids(ids)]
    return rows


def _owners(conn: sqlite3.Connection, mailboxes: str) -> list[str]:
    numbers = [int(number) for number in mailboxes.split(",") if number]
    found = (conn.execute("SELECT owner FROM mailbox WHERE id = ?", (number,)).fetchone() for number in numbers)
    return [row[0] for row in found if row]


def prune(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """The mail half of `Store.prune`."""
    oldest = (now_ms - EXPIRY_MAX_S * 1000 - SEEN_EXTRA_MS) >> BUCKET_SHIFT
    conn.execute("DELETE FROM seen WHERE bucket < ?", (oldest,))
    # Rows are in order of time, so the first of them tell; an index on the time would cost every commit.
    conn.execute(
        "DELETE FROM trace WHERE rowid <= (SELECT max(id) FROM "
        "(SELECT rowid AS id, at_ms FROM trace ORDER BY rowid LIMIT ?) WHERE at_ms < ?)",
        (_PRUNE_ROWS, now_ms - TRACE_LIFETIME_MS),
    )


def _parcel(row: Sequence[Any]) -> Parcel:
    _, seq, kind, picks, size, expires_ms, data = row
    items = msgpack.unpackb(data)
    if picks is not None:
        items = [items[index] for index in _unpack_picks(picks)]
    ids = tuple(map(envelope_id, items)) if kind == ParcelKind.ENVELOPES else ()
    return Parcel(seq, ParcelKind(kind), ids, tuple(items), size, expires_ms)


def _pack_picks(indexes: Sequence[int]) -> bytes:
    return struct.pack(f">{len(indexes)}H", *indexes)


def _unpack_picks(picks: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{len(picks) // 2}H", picks)
