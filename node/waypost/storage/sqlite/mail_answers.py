"""Questions about mail, on a SQLite connection."""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Sequence
from typing import Any, assert_never

import msgpack

from waypost.crypto.keys import envelope_id
from waypost.protocol.custody.fate import Event
from waypost.storage.operations import mail as ops
from waypost.storage.operations.mail import Parcel, ParcelKind, Placed, Trace
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxInfo, MailboxKind, Usage, UsageTold
from waypost.storage.sqlite.mail_state import split_ids

PARCEL = """
    SELECT d.mailbox, d.seq, s.kind, d.picks, d.bytes, d.expires_ms, s.data
    FROM delivery AS d JOIN segment AS s ON s.id = d.segment
"""


def answer(conn: sqlite3.Connection, question: ops.MailQuestion) -> Any:
    """See the question."""
    match question:
        case ops.Fetch(mailbox, after, max_items, max_bytes):
            where = "WHERE d.mailbox = ? AND d.seq > ? AND d.due_ms = 0 ORDER BY d.seq"
            rows = conn.execute(PARCEL + where, (mailbox, after))
            return [placed.parcel for placed in _first(rows, max_items, max_bytes)]
        case ops.Kept(mailbox, max_items):
            rows = conn.execute(PARCEL + "WHERE d.mailbox = ? AND d.due_ms > 0 ORDER BY d.seq", (mailbox,))
            return [placed.parcel for placed in _first(rows, max_items)]
        case ops.Expiring(now_ms, max_items):
            rows = conn.execute(PARCEL + "WHERE d.expires_ms <= ? ORDER BY d.expires_ms, d.seq", (now_ms,))
            return _first(rows, max_items)
        case ops.TraceOf(id_):
            return _trace(conn, id_)
        case ops.NextDue():
            return conn.execute("SELECT ifnull(min(due_ms), 0) FROM delivery WHERE due_ms > 0").fetchone()[0]
        case AllMailboxes():
            return _mailboxes(conn)
        case _:
            assert_never(question)


def _mailboxes(conn: sqlite3.Connection) -> list[MailboxInfo]:
    rows = conn.execute(
        "SELECT m.id, m.kind, m.owner, ifnull(sum(d.items), 0), ifnull(sum(d.bytes), 0), ifnull(min(d.expires_ms), 0) "
        "FROM mailbox AS m LEFT JOIN delivery AS d ON d.mailbox = m.id GROUP BY m.id ORDER BY m.id"
    )
    return [
        MailboxInfo(i, MailboxKind(kind), owner, Usage(n, size), oldest) for i, kind, owner, n, size, oldest in rows
    ]


def told_usage(conn: sqlite3.Connection) -> UsageTold:
    """What waits in every mailbox; empty ones are missing."""
    rows = conn.execute("SELECT mailbox, sum(items), sum(bytes) FROM delivery GROUP BY mailbox")
    return UsageTold({mailbox: Usage(items, size) for mailbox, items, size in rows})


def _first(rows: sqlite3.Cursor, max_items: int, max_bytes: int | None = None) -> list[Placed]:
    """As many parcels as the bounds allow, and one in any case."""
    placed: list[Placed] = []
    items = size = 0
    for row in rows:
        parcel = parcel_of(row)
        items += len(parcel.items)
        size += parcel.size
        if placed and (items > max_items or (max_bytes is not None and size > max_bytes)):
            break
        placed.append(Placed(row[0], parcel))
    rows.close()
    return placed


def _trace(conn: sqlite3.Connection, id_: bytes) -> list[Trace]:
    # instr() finds the bytes anywhere; only a whole id, at a multiple of 16, counts.
    rows = []
    accepted = conn.execute("SELECT at_ms, source, mailboxes, ids FROM seen WHERE instr(ids, ?) > 0", (id_,)).fetchall()
    for at_ms, source, mailboxes, ids in accepted:
        if id_ in split_ids(ids):
            rows.append(Trace(at_ms, Event.ACCEPTED, source, 0, id_))
            rows += [Trace(at_ms, Event.QUEUED, owner, 0, id_) for owner in _owners(conn, mailboxes)]
    later = conn.execute(
        "SELECT at_ms, event, party, code, ids FROM trace WHERE instr(ids, ?) > 0 ORDER BY rowid", (id_,)
    )
    rows += [
        Trace(at_ms, Event(event), party, code, id_)
        for at_ms, event, party, code, ids in later
        if id_ in split_ids(ids)
    ]
    return rows


def _owners(conn: sqlite3.Connection, mailboxes: str) -> list[str]:
    numbers = [int(number) for number in mailboxes.split(",") if number]
    found = (conn.execute("SELECT owner FROM mailbox WHERE id = ?", (number,)).fetchone() for number in numbers)
    return [row[0] for row in found if row]


def parcel_of(row: Sequence[Any]) -> Parcel:
    """From a row of `PARCEL`."""
    _, seq, kind, picks, size, expires_ms, data = row
    items = msgpack.unpackb(data)
    if picks is not None:
        items = [items[index] for index in unpack_picks(picks)]
    ids = tuple(map(envelope_id, items)) if kind == ParcelKind.ENVELOPES else ()
    return Parcel(seq, ParcelKind(kind), ids, tuple(items), size, expires_ms)


def pack_picks(indexes: Sequence[int]) -> bytes:
    """As the column `picks` has them."""
    return struct.pack(f">{len(indexes)}H", *indexes)


def unpack_picks(picks: bytes) -> tuple[int, ...]:
    """The reverse."""
    return struct.unpack(f">{len(picks) // 2}H", picks)
