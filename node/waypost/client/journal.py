"""The history of each sent message. All functions work inside a transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from waypost.client.status import SentState, Status, follows
from waypost.clock import WallMs
from waypost.errors import Code
from waypost.ids import Address
from waypost.limits import JOURNAL_LIFETIME_MS, STATUSES_PER_MESSAGE_MAX
from waypost.protocol.custody.transfer import Outcome
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.messages import Notice, NoticeKind

#: Local ids of messages whose history has changed.
Changed = list[bytes]


@dataclass(frozen=True, slots=True)
class Record:
    """A sent message as the profile knows it. `envelope_id` None: it waits for the recipient's keys."""

    local: bytes
    envelope_id: bytes | None
    recipient: str
    created_ms: WallMs
    history: tuple[Status, ...]


def begin(conn: sqlite3.Connection, row: int, status: Status) -> None:
    """The first step of a new message."""
    _write(conn, row, 0, status)


def note(conn: sqlite3.Connection, row: int, status: Status) -> Changed:
    """Add to the history if it is news. An end takes the content out of the database."""
    local, *last = conn.execute(
        "SELECT sent.local, n, state, at_ms, code, next_ms FROM sent JOIN status ON status.sent = sent.id"
        " WHERE sent.id = ? ORDER BY n DESC LIMIT 1",
        (row,),
    ).fetchone()
    n, old = last[0], Status(SentState(last[1]), *last[2:])
    if not follows(status, old):
        return []
    if status.state is old.state is SentState.WAITING and status.code == old.code:
        # Still waiting for the same reason: since then, until later.
        status = Status(status.state, old.at_ms, status.code, status.next_try_ms)
        _write(conn, row, n, status)
    else:
        _write(conn, row, n + 1 if n + 1 < STATUSES_PER_MESSAGE_MAX else n, status)
    if status.state.is_final:
        conn.execute("UPDATE sent SET stage = 3, content = NULL, envelope = NULL WHERE id = ?", (row,))
    return [local]


def noticed(conn: sqlite3.Connection, notice: Notice, now_ms: WallMs) -> Changed:
    """The node's news of messages on their way."""
    if notice.kind == NoticeKind.HELD:
        status = Status(SentState.HELD, notice.at_ms)
    else:
        status = Status(SentState.WAITING, now_ms, notice.code, notice.at_ms)
    changed: Changed = []
    for id_ in split(notice.ids):
        row = conn.execute("SELECT id FROM sent WHERE envelope_id = ? AND stage IN (1, 2)", (id_,)).fetchone()
        if row:
            changed += note(conn, row[0], status)
    return changed


def reported(conn: sqlite3.Connection, me: Address, outcomes: Iterable[Outcome]) -> Changed:
    """What became of messages in the end. A report on what this profile did not send there is passed over."""
    changed: Changed = []
    for outcome in outcomes:
        if outcome.sender not in (me.user, str(me)):
            continue
        status = Status(_end_of(outcome.code), outcome.at_ms, outcome.code)
        for id_ in split(outcome.ids):
            row = conn.execute(
                "SELECT id FROM sent WHERE envelope_id = ? AND recipient = ?", (id_, outcome.recipient)
            ).fetchone()
            if row:
                changed += note(conn, row[0], status)
    return changed


def find(conn: sqlite3.Connection, id_: bytes) -> Record | None:
    """By the envelope's id or the local one."""
    row = conn.execute(
        "SELECT id, local, envelope_id, recipient, created_ms FROM sent WHERE envelope_id = ? OR local = ?", (id_, id_)
    ).fetchone()
    return Record(row[1], row[2], row[3], row[4], history(conn, row[0])) if row else None


def history(conn: sqlite3.Connection, row: int) -> tuple[Status, ...]:
    """Every step so far."""
    rows = conn.execute("SELECT state, at_ms, code, next_ms FROM status WHERE sent = ? ORDER BY n", (row,))
    return tuple(Status(SentState(state), at_ms, code, next_ms) for state, at_ms, code, next_ms in rows)


def forget(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    """Messages of long ago that do not wait here."""
    conn.execute("DELETE FROM sent WHERE stage >= 2 AND created_ms <= ?", (now_ms - JOURNAL_LIFETIME_MS,))


def split(ids: bytes) -> list[bytes]:
    """Whole ids, one after the other; a rest that is none is left out."""
    return [ids[at : at + ID_BYTES] for at in range(0, len(ids) - ID_BYTES + 1, ID_BYTES)]


def _end_of(code: int) -> SentState:
    if code == 0:
        return SentState.DELIVERED
    return SentState.EXPIRED if code == Code.EXPIRED.number else SentState.BOUNCED


def _write(conn: sqlite3.Connection, row: int, n: int, status: Status) -> None:
    conn.execute(
        "INSERT OR REPLACE INTO status VALUES (?, ?, ?, ?, ?, ?)",
        (row, n, status.state.value, status.at_ms, status.code, status.next_try_ms),
    )
