"""The history of each sent message, one for each recipient. All functions work inside a transaction.

UNSEALED ──► SEALED ──► TAKEN
    └───────────┴─────────┴────► ENDED
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from waypost.client.mail.status import Status
from waypost.clock import WallMs
from waypost.ids import Address, parse_address
from waypost.limits import JOURNAL_LIFETIME_MS, STATUSES_PER_MESSAGE_MAX
from waypost.protocol.custody.app import end_of
from waypost.protocol.custody.fate import FOLLOWS, State
from waypost.protocol.custody.transfer import Outcome
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.messages import Notice, NoticeKind

#: Local ids of messages whose history has changed.
Changed = list[bytes]


class SendStage(IntEnum):
    """How far a message is for one recipient, as the database has it.

    Where SQL spells the number, a partial index is used: it would not be for a bound value.
    """

    UNSEALED = 0  #: without an envelope
    SEALED = 1  #: in an envelope that the node has not taken
    TAKEN = 2  #: with the node
    ENDED = 3


@dataclass(frozen=True, slots=True)
class RecipientRecord:
    """What became of a message for one recipient. `envelope_id` None: it waits for the recipient's keys."""

    address: Address
    envelope_id: bytes | None
    history: tuple[Status, ...]


@dataclass(frozen=True, slots=True)
class SentRecord:
    """A sent message as the profile knows it. `local`: its name from the beginning."""

    local: bytes
    created_ms: WallMs
    recipients: tuple[RecipientRecord, ...]


def begin(conn: sqlite3.Connection, recipient: int, status: Status) -> None:
    """The first step of a new message."""
    _write(conn, recipient, 0, status)


def note(conn: sqlite3.Connection, recipient: int, status: Status) -> Changed:
    """Add to a recipient's history if it is news. With the last end the content leaves the database."""
    message, local, *last = conn.execute(
        "SELECT message.id, local, n, state, at_ms, code, next_ms"
        " FROM recipient JOIN message ON message.id = recipient.message JOIN status ON status.recipient = recipient.id"
        " WHERE recipient.id = ? ORDER BY n DESC LIMIT 1",
        (recipient,),
    ).fetchone()
    n, old = last[0], Status(State(last[1]), *last[2:])
    if status.state not in FOLLOWS[old.state]:
        return []
    if status.state is old.state is State.WAITING and status.code == old.code:
        # Still waiting for the same reason: since then, until later.
        status = Status(status.state, old.at_ms, status.code, status.next_try_ms)
        _write(conn, recipient, n, status)
    else:
        _write(conn, recipient, n + 1 if n + 1 < STATUSES_PER_MESSAGE_MAX else n, status)
    if status.state.is_final:
        conn.execute("UPDATE recipient SET stage = ? WHERE id = ?", (SendStage.ENDED, recipient))
        release_content(conn, message)
        _release_envelopes(conn, message)
    return [local]


def release_content(conn: sqlite3.Connection, message: int) -> None:
    """Take a content out of the database that no recipient needs any more."""
    conn.execute(
        "UPDATE message SET content = NULL, size = 0 WHERE id = ? AND size > 0"
        " AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = message.id AND stage = ?)",
        (message, SendStage.UNSEALED),
    )


def _release_envelopes(conn: sqlite3.Connection, message: int) -> None:
    conn.execute(
        "UPDATE envelope SET data = NULL, due_ms = NULL WHERE message = ? AND due_ms IS NOT NULL"
        " AND NOT EXISTS (SELECT 1 FROM recipient WHERE envelope = envelope.id AND stage = ?)",
        (message, SendStage.SEALED),
    )


def noticed(conn: sqlite3.Connection, notice: Notice, now_ms: WallMs) -> Changed:
    """The node's news of messages on their way."""
    if notice.kind == NoticeKind.HELD:
        status = Status(State.HELD, notice.at_ms)
    else:
        status = Status(State.WAITING, now_ms, notice.code, notice.at_ms)
    changed: Changed = []
    for id_ in split(notice.ids):
        rows = conn.execute(
            "SELECT recipient.id FROM envelope JOIN recipient ON recipient.envelope = envelope.id"
            " WHERE envelope_id = ? AND stage IN (?, ?) ORDER BY recipient.id",
            (id_, SendStage.SEALED, SendStage.TAKEN),
        ).fetchall()
        for (recipient,) in rows:
            changed += note(conn, recipient, status)
    return changed


def reported(conn: sqlite3.Connection, me: Address, outcomes: Iterable[Outcome]) -> Changed:
    """What became of messages in the end. A report on what this profile did not send there is passed over."""
    changed: Changed = []
    for outcome in outcomes:
        if outcome.sender not in (me.user, str(me)):
            continue
        status = Status(end_of(outcome.code), outcome.at_ms, outcome.code)
        for id_ in split(outcome.ids):
            row = conn.execute(
                "SELECT recipient.id FROM envelope JOIN recipient ON recipient.envelope = envelope.id"
                " WHERE envelope_id = ? AND address = ?",
                (id_, outcome.recipient),
            ).fetchone()
            if row:
                changed += note(conn, row[0], status)
    return changed


def find(conn: sqlite3.Connection, id_: bytes) -> SentRecord | None:
    """By the id of one of its envelopes, or the local one."""
    row = conn.execute(
        "SELECT id, local, created_ms FROM message"
        " WHERE local = ? OR id = (SELECT message FROM envelope WHERE envelope_id = ?)",
        (id_, id_),
    ).fetchone()
    if row is None:
        return None
    message, local, created_ms = row
    recipients = conn.execute(
        "SELECT recipient.id, address, envelope_id FROM recipient LEFT JOIN envelope ON envelope.id = envelope"
        " WHERE recipient.message = ? ORDER BY recipient.id",
        (message,),
    ).fetchall()
    return SentRecord(
        local,
        created_ms,
        tuple(
            RecipientRecord(parse_address(address), envelope_id, history(conn, recipient))
            for recipient, address, envelope_id in recipients
        ),
    )


def history(conn: sqlite3.Connection, recipient: int) -> tuple[Status, ...]:
    """Every step so far."""
    rows = conn.execute("SELECT state, at_ms, code, next_ms FROM status WHERE recipient = ? ORDER BY n", (recipient,))
    return tuple(Status(State(state), at_ms, code, next_ms) for state, at_ms, code, next_ms in rows)


def forget(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """Messages of long ago that do not wait here."""
    conn.execute(
        "DELETE FROM message WHERE created_ms <= ?"
        " AND NOT EXISTS (SELECT 1 FROM recipient WHERE message = message.id AND stage < 2 /* TAKEN */)",
        (now_ms - JOURNAL_LIFETIME_MS,),
    )


def split(ids: bytes) -> list[bytes]:
    """Whole ids, one after the other; a rest that is none is left out."""
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids) - ID_BYTES + 1, ID_BYTES)]


def _write(conn: sqlite3.Connection, recipient: int, n: int, status: Status) -> None:
    conn.execute(
        "INSERT OR REPLACE INTO status VALUES (?, ?, ?, ?, ?, ?)",
        (recipient, n, status.state.value, status.at_ms, status.code, status.next_try_ms),
    )
