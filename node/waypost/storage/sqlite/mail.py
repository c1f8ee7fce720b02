"""Operations on mail, on a SQLite connection: synchronous, inside a transaction that the caller opened.

Envelopes that arrive together for the same mailboxes share a row (a segment); each mailbox has one row (a delivery)
that claims it. So the cost of a commit grows with the number of batches, not of messages.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, assert_never

import msgpack
from msgspec.structs import replace

from waypost.clock import WallMs
from waypost.limits import EXPIRY_MAX_S, SEEN_EXTRA_MS, TRACE_LIFETIME_MS
from waypost.protocol.frames.codec import pack
from waypost.storage.operations import mail as ops
from waypost.storage.operations.changes import Change
from waypost.storage.operations.mail import Item, KeptBack, Left, Parcel, ParcelKind, Placed, Settle
from waypost.storage.operations.mailboxes import MailboxKind, OpenMailbox, TellUsage
from waypost.storage.sqlite import keys
from waypost.storage.sqlite.mail_answers import PARCEL, pack_picks, parcel_of, told_usage, unpack_picks
from waypost.storage.sqlite.mail_state import BUCKET_SHIFT, MailState

_PRUNE_ROWS = 5_000  #: of the trace, in one go: a transaction that others need not wait long for


def write(conn: sqlite3.Connection, state: MailState, operation: ops.MailOperation, changes: list[Change]) -> Any:
    """Its answer; `changes` grows by what it has changed."""
    match operation:
        case ops.Accept():
            return _accept(conn, state, operation, changes)
        case ops.Settle():
            return _settle(conn, state, operation, changes)
        case ops.Requeue(now_ms, mailbox):
            return _requeue(conn, state, now_ms, mailbox, changes)
        case OpenMailbox(kind, owner):
            return open_mailbox(conn, kind, owner)
        case ops.Prune(now_ms):
            _prune(conn, now_ms)
            keys.prune(conn, now_ms)
        case TellUsage():
            changes.append(told_usage(conn))
        case _:
            assert_never(operation)
    return None


def open_mailbox(conn: sqlite3.Connection, kind: MailboxKind, owner: str) -> int:
    """`OpenMailbox`."""
    conn.execute("INSERT INTO mailbox (kind, owner) VALUES (?, ?) ON CONFLICT DO NOTHING", (kind, owner))
    (number,) = conn.execute("SELECT id FROM mailbox WHERE kind = ? AND owner = ?", (kind, owner)).fetchone()
    return int(number)


def _accept(conn: sqlite3.Connection, state: MailState, deposit: ops.Accept, changes: list[Change]) -> ops.Accepted:
    groups: defaultdict[tuple[int, ...], list[Item]] = defaultdict(list)
    fresh: defaultdict[tuple[int, tuple[int, ...]], list[bytes]] = defaultdict(list)
    for item in deposit.items:
        bucket = item.created_ms >> BUCKET_SHIFT
        ids = state.seen(conn, bucket)
        if item.id not in ids:
            ids.add(item.id)
            fresh[bucket, item.mailboxes].append(item.id)
            groups[item.mailboxes].append(item)
    accepted = sum(map(len, groups.values()))
    state.trim(accepted)
    conn.executemany(
        "INSERT INTO seen (bucket, at_ms, source, mailboxes, ids) VALUES (?, ?, ?, ?, ?)",
        [
            (bucket, deposit.at_ms, deposit.source, ",".join(map(str, mailboxes)), b"".join(joined))
            for (bucket, mailboxes), joined in fresh.items()
        ],
    )
    placed = [each for mailboxes, items in groups.items() for each in _place(conn, state, mailboxes, _envelopes(items))]
    changes += placed
    return ops.Accepted(tuple(placed), len(deposit.items) - accepted)


def _envelopes(items: Sequence[Item]) -> Parcel:
    ids, envelopes, _, senders, _, expire_ms = zip(*items, strict=True)
    return Parcel(0, ParcelKind.ENVELOPES, ids, envelopes, sum(map(len, envelopes)), min(expire_ms), senders)


def _place(conn: sqlite3.Connection, state: MailState, mailboxes: Sequence[int], draft: Parcel) -> list[Placed]:
    if not mailboxes:
        return []
    segment = conn.execute(
        "INSERT INTO segment (kind, data) VALUES (?, ?)", (int(draft.kind), msgpack.packb(draft.items))
    ).lastrowid
    shared = int(len(mailboxes) > 1)
    placed = []
    for mailbox in mailboxes:
        seq = state.take_seq()
        conn.execute(
            "INSERT INTO delivery (mailbox, seq, segment, items, bytes, expires_ms, shared)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (mailbox, seq, segment, len(draft.items), draft.size, draft.expires_ms, shared),
        )
        placed.append(Placed(mailbox, replace(draft, seq=seq)))
    return placed


def _settle(
    conn: sqlite3.Connection, state: MailState, settlement: Settle, changes: list[Change]
) -> tuple[Placed, ...]:
    _clear(conn, settlement, changes)
    conn.executemany("INSERT INTO trace (at_ms, event, party, code, ids) VALUES (?, ?, ?, ?, ?)", settlement.traces)
    placed: list[Placed] = []
    for mailbox, outcomes in settlement.reports:
        if not outcomes:
            continue
        items = tuple(map(pack, outcomes))
        draft = Parcel(0, ParcelKind.OUTCOMES, (), items, sum(map(len, items)), settlement.report_expires_ms)
        placed += _place(conn, state, (mailbox,), draft)
    changes += placed
    return tuple(placed)


def _clear(conn: sqlite3.Connection, settlement: Settle, changes: list[Change]) -> None:
    """Take what is done with from its mailbox, and put aside what is kept for later."""
    mailbox = settlement.mailbox
    items = size = 0
    for seq in settlement.done:
        gone = _finish(conn, mailbox, seq)
        items += gone[0]
        size += gone[1]
    for keep in settlement.keep:
        gone = _keep(conn, mailbox, keep, changes) if keep.indexes else _finish(conn, mailbox, keep.seq)
        items += gone[0]
        size += gone[1]
    if items:
        changes.append(Left(mailbox, items, size))


def _finish(conn: sqlite3.Connection, mailbox: int, seq: int) -> tuple[int, int]:
    """The items that left, and their bytes."""
    row = conn.execute(
        "DELETE FROM delivery WHERE mailbox = ? AND seq = ? RETURNING segment, items, bytes, shared", (mailbox, seq)
    ).fetchone()
    if row is None:
        return 0, 0
    segment, items, size, shared = row
    if shared and conn.execute("SELECT 1 FROM delivery WHERE segment = ? AND shared = 1", (segment,)).fetchone():
        return items, size
    conn.execute("DELETE FROM segment WHERE id = ?", (segment,))
    return items, size


def _keep(conn: sqlite3.Connection, mailbox: int, keep: ops.Keep, changes: list[Change]) -> tuple[int, int]:
    """The items that left, and their bytes."""
    row = conn.execute(PARCEL + "WHERE d.mailbox = ? AND d.seq = ?", (mailbox, keep.seq)).fetchone()
    if row is None:
        return 0, 0
    picks, size, data = row[3], row[4], row[6]
    everything = msgpack.unpackb(data)
    before = unpack_picks(picks) if picks is not None else range(len(everything))
    after = [before[index] for index in keep.indexes]
    left = sum(len(everything[index]) for index in after)
    conn.execute(
        "UPDATE delivery SET picks = ?, items = ?, bytes = ?, due_ms = ?, expires_ms = ? WHERE mailbox = ? AND seq = ?",
        (pack_picks(after), len(after), left, keep.due_ms, keep.expires_ms or row[5], mailbox, keep.seq),
    )
    if keep.due_ms:
        changes.append(KeptBack(mailbox, keep.due_ms))
    return len(before) - len(after), size - left


def _requeue(
    conn: sqlite3.Connection, state: MailState, now_ms: WallMs, mailbox: int, changes: list[Change]
) -> tuple[Placed, ...]:
    where, parameters = (
        ("d.mailbox = ? AND d.due_ms > 0", (mailbox,)) if mailbox else ("d.due_ms BETWEEN 1 AND ?", (now_ms,))
    )
    rows = conn.execute(PARCEL + f"WHERE {where} ORDER BY d.seq", parameters).fetchall()
    placed = []
    for row in rows:
        seq = state.take_seq()
        conn.execute("UPDATE delivery SET seq = ?, due_ms = 0 WHERE mailbox = ? AND seq = ?", (seq, row[0], row[1]))
        parcel = parcel_of((row[0], seq, *row[2:]))
        placed.append(Placed(row[0], parcel))
        changes += (Left(row[0], len(parcel.items), parcel.size), placed[-1])
    return tuple(placed)


def _prune(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    oldest = (now_ms - EXPIRY_MAX_S * 1000 - SEEN_EXTRA_MS) >> BUCKET_SHIFT
    conn.execute("DELETE FROM seen WHERE bucket < ?", (oldest,))
    # Rows are in order of time, so the first of them tell; an index on the time would cost every commit.
    conn.execute(
        "DELETE FROM trace WHERE rowid <= (SELECT max(id) FROM "
        "(SELECT rowid AS id, at_ms FROM trace ORDER BY rowid LIMIT ?) WHERE at_ms < ?)",
        (_PRUNE_ROWS, now_ms - TRACE_LIFETIME_MS),
    )
