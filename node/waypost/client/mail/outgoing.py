"""Sent mail: written to the profile first, put into envelopes once there are keys, kept until the node has taken it.

Everything works inside a transaction. What returns `Changed` names the messages whose history has changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from waypost.client.mail import history
from waypost.client.mail.history import Changed, RecipientRecord, SendStage, SentRecord
from waypost.client.mail.status import Status
from waypost.client.profile.at_rest import AtRest
from waypost.clock import SECOND_MS, WallMs
from waypost.crypto.keys import envelope_id
from waypost.errors import Code, Refused, is_for_good
from waypost.ids import Address, parse_address
from waypost.limits import SEAL_AT_ONCE, UNSENT_MAX_BYTES, UNSENT_MAX_MESSAGES
from waypost.protocol.custody.app import Ended, Offering, Taken, Waits, verdict_on
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.fate import State
from waypost.protocol.custody.transfer import Refusal, Room


@dataclass(frozen=True, slots=True)
class Draft:
    """A content on its way to its recipients, in the form that their scheme seals. `local`: 16 random bytes."""

    local: bytes
    recipients: tuple[Address, ...]
    created_ms: WallMs
    expires_s: int
    content: bytes
    accepts_key: bool  #: the user accepts whatever identity keys the recipients have now


class SealedBody(NamedTuple):
    """What a scheme has made of a content: the body of an envelope."""

    suite: str
    body: bytes


class Unsealed(NamedTuple):
    """A message that has no envelope for one of its recipients."""

    recipient: int
    content: bytes


class Ready(NamedTuple):
    """An envelope to be offered."""

    row: int
    id: bytes
    envelope: bytes
    tries: int


class Outgoing:
    """`sender`: who this profile is. `spread`: see `Parts.spread`."""

    def __init__(self, sender: Address, at_rest: AtRest, spread: Callable[[], float]) -> None:
        self._sender = sender
        self._at_rest = at_rest
        self._spread = spread

    def add(self, conn: sqlite3.Connection, draft: Draft, sealed: SealedBody | None = None) -> SentRecord:
        """Write a message down, in its envelope if it has one already.

        Raises Refused(QUEUE_FULL) when too much waits, ValueError without a recipient or with one twice.
        """
        if not 0 < len(draft.recipients) == len(set(draft.recipients)):
            raise ValueError("a message has recipients, each of them once")
        self._check_room(conn, len(draft.content))
        expires_ms = draft.created_ms + draft.expires_s * SECOND_MS
        content, size = None, 0
        if sealed is None:
            content, size = self._at_rest.lock(draft.content, b"sent " + draft.local), len(draft.content)
        message = conn.execute(
            "INSERT INTO message (local, created_ms, expires_ms, accepts_key, size, content) VALUES (?, ?, ?, ?, ?, ?)",
            (draft.local, draft.created_ms, expires_ms, draft.accepts_key, size, content),
        ).lastrowid
        envelope, stage, id_ = None, SendStage.UNSEALED, None
        if sealed is not None:
            stage = SendStage.SEALED
            life = draft.created_ms, expires_ms
            envelope, id_ = self._add_envelope(conn, message or 0, draft.recipients, life, sealed)
        status = Status(State.QUEUED, draft.created_ms)
        for address in draft.recipients:
            recipient = conn.execute(
                "INSERT INTO recipient (message, address, envelope, stage) VALUES (?, ?, ?, ?)",
                (message, str(address), envelope, stage),
            ).lastrowid
            history.begin(conn, recipient or 0, status)
        return SentRecord(
            draft.local, draft.created_ms, tuple(RecipientRecord(to, id_, (status,)) for to in draft.recipients)
        )

    def _check_room(self, conn: sqlite3.Connection, more: int) -> None:
        count, size = conn.execute(
            "SELECT count(*), coalesce(sum(size), 0) FROM (SELECT size FROM message WHERE size > 0"
            " UNION ALL SELECT size FROM envelope WHERE due_ms IS NOT NULL)"
        ).fetchone()
        if count >= UNSENT_MAX_MESSAGES or size + more > UNSENT_MAX_BYTES:
            raise Refused(Code.QUEUE_FULL, f"{count} messages wait in this profile")

    def _add_envelope(
        self,
        conn: sqlite3.Connection,
        message: int,
        recipients: Sequence[Address],
        life: tuple[WallMs, WallMs],
        sealed: SealedBody,
    ) -> tuple[int | None, bytes]:
        """Its number in the database and its id. `recipients`: at one provider; `life`: from when to when."""
        (provider,) = {to.provider for to in recipients}
        created_ms, expires_ms = life
        data = encode_envelope(
            Envelope(
                1,
                provider,
                tuple(sorted(to.user for to in recipients)),
                str(self._sender),
                created_ms,
                (expires_ms - created_ms) // SECOND_MS,
                EnvelopeClass.TEXT,
                sealed.suite,
                sealed.body,
            )
        )
        id_ = envelope_id(data)
        row = conn.execute(
            "INSERT INTO envelope (message, envelope_id, size, due_ms, data) VALUES (?, ?, ?, 0, ?)",
            (message, id_, len(data), data),
        ).lastrowid
        return row, id_

    # ── without an envelope ─────────────────────────────────────────────────────────────────────────────────────────

    def waiting_for_keys(self, conn: sqlite3.Connection) -> list[Address]:
        """The addresses to which messages wait for an envelope."""
        rows = conn.execute("SELECT DISTINCT address FROM recipient WHERE stage = 0 /* UNSEALED */")
        return [parse_address(row[0]) for row in rows]

    def waits(self, conn: sqlite3.Connection, address: Address) -> bool:
        """Whether a message to that address has no envelope."""
        sql = "SELECT 1 FROM recipient WHERE stage = 0 /* UNSEALED */ AND address = ? LIMIT 1"
        return conn.execute(sql, (str(address),)).fetchone() is not None

    def unsealed(self, conn: sqlite3.Connection, address: Address) -> list[Unsealed]:
        """The oldest messages to an address that have no envelope, up to SEAL_AT_ONCE."""
        rows = conn.execute(
            "SELECT recipient.id, local, content FROM recipient JOIN message ON message.id = recipient.message"
            " WHERE stage = 0 /* UNSEALED */ AND address = ? ORDER BY message.id LIMIT ?",
            (str(address), SEAL_AT_ONCE),
        ).fetchall()
        return [Unsealed(row, self._at_rest.unlock(locked, b"sent " + local)) for row, local, locked in rows]

    def enclose(self, conn: sqlite3.Connection, recipients: Sequence[int], sealed: SealedBody) -> Changed:
        """Make the envelope of one message for recipients at one provider (see `Unsealed.recipient`)."""
        marks = ", ".join("?" * len(recipients))
        rows = conn.execute(
            "SELECT address, message.id, local, created_ms, expires_ms"  # noqa: S608 - only marks are put in
            f" FROM recipient JOIN message ON message.id = message WHERE recipient.id IN ({marks})",
            recipients,
        ).fetchall()
        _, message, local, created_ms, expires_ms = rows[0]
        addresses = [parse_address(row[0]) for row in rows]
        if len({(row[1], to.provider) for row, to in zip(rows, addresses, strict=True)}) != 1:
            raise ValueError("an envelope is for recipients of one message at one provider")
        envelope, _ = self._add_envelope(conn, message, addresses, (created_ms, expires_ms), sealed)
        conn.executemany(
            "UPDATE recipient SET envelope = ?, stage = ? WHERE id = ?",
            [(envelope, SendStage.SEALED, recipient) for recipient in recipients],
        )
        history.release_content(conn, message)
        return [local]

    def no_keys(self, conn: sqlite3.Connection, address: Address, code: int, times: tuple[WallMs, WallMs]) -> Changed:
        """Why there are none: a code for good bounces what waits for them. `times`: now, and of the next try."""
        now_ms, next_ms = times
        if is_for_good(code):
            return self.note_unsealed(conn, address, Status(State.BOUNCED, now_ms, code))
        return self.note_unsealed(conn, address, Status(State.WAITING, now_ms, code, next_ms))

    def note_unsealed(self, conn: sqlite3.Connection, address: Address, status: Status) -> Changed:
        """What has become of all that waits there for an envelope."""
        rows = conn.execute(
            "SELECT id FROM recipient WHERE stage = 0 /* UNSEALED */ AND address = ? ORDER BY id", (str(address),)
        ).fetchall()
        return _note_all(conn, rows, status)

    def accepts_key(self, conn: sqlite3.Connection, address: Address) -> bool:
        """Whether a message waits there that is meant for whatever key there is."""
        row = conn.execute(
            "SELECT 1 FROM recipient JOIN message ON message.id = message"
            " WHERE stage = 0 /* UNSEALED */ AND accepts_key = 1 AND address = ? LIMIT 1",
            (str(address),),
        ).fetchone()
        return row is not None

    # ── with an envelope ────────────────────────────────────────────────────────────────────────────────────────────

    def ready(self, conn: sqlite3.Connection, now_ms: WallMs, room: Room, offering: Offering[int]) -> list[Ready]:
        """The next to be offered, in the order in which they were sent."""
        due = conn.execute(
            "SELECT id, size FROM envelope WHERE due_ms <= ? ORDER BY message, id LIMIT ?",
            (now_ms, room.envelopes + offering.in_flight),
        ).fetchall()
        select = "SELECT id, envelope_id, data, tries FROM envelope WHERE id = ?"
        return [Ready(*conn.execute(select, (row,)).fetchone()) for row in offering.choose(due, room)]

    def next_due(self, conn: sqlite3.Connection, now_ms: WallMs) -> WallMs | None:
        """When the next message that waits is due."""
        row = conn.execute("SELECT min(due_ms) FROM envelope WHERE due_ms > ?", (now_ms,)).fetchone()
        return row[0] if row[0] is not None else None

    def settle(
        self,
        conn: sqlite3.Connection,
        batch: Sequence[Ready],
        refusals: Iterable[Refusal],
        times: tuple[WallMs, WallMs],
    ) -> Changed:
        """What the node's receipt says. `times`: the receipt's own, and now."""
        at_ms, now_ms = times
        by_index = {refusal.index: refusal for refusal in refusals}
        changed: list[bytes] = []
        for index, ready in enumerate(batch):
            match verdict_on(by_index.get(index), ready.tries, self._spread()):
                case Taken():
                    conn.execute(
                        "UPDATE recipient SET stage = ? WHERE envelope = ? AND stage = ?",
                        (SendStage.TAKEN, ready.row, SendStage.SEALED),
                    )
                    conn.execute("UPDATE envelope SET data = NULL, due_ms = NULL WHERE id = ?", (ready.row,))
                    status = Status(State.ACCEPTED, at_ms)
                case Ended(state, code):
                    status = Status(state, now_ms, code)
                case Waits(code, wait_ms):
                    conn.execute(
                        "UPDATE envelope SET tries = tries + 1, due_ms = ? WHERE id = ? AND due_ms IS NOT NULL",
                        (now_ms + wait_ms, ready.row),
                    )
                    status = Status(State.WAITING, now_ms, code, now_ms + wait_ms)
            rows = conn.execute("SELECT id FROM recipient WHERE envelope = ? ORDER BY id", (ready.row,)).fetchall()
            changed += _note_all(conn, rows, status)
        return changed

    def expire(self, conn: sqlite3.Connection, now_ms: WallMs) -> Changed:
        """End what has waited here too long."""
        rows = conn.execute(
            "SELECT recipient.id FROM recipient JOIN message ON message.id = message"
            " WHERE stage = 0 /* UNSEALED */ AND expires_ms <= ?"
            " UNION ALL SELECT id FROM recipient WHERE stage = ? AND envelope IN (SELECT envelope.id FROM envelope"
            " JOIN message ON message.id = message WHERE due_ms IS NOT NULL AND expires_ms <= ?)",
            (now_ms, SendStage.SEALED, now_ms),
        ).fetchall()
        return _note_all(conn, rows, Status(State.EXPIRED, now_ms, Code.EXPIRED.number))


def _note_all(conn: sqlite3.Connection, recipients: Iterable[tuple[int]], status: Status) -> Changed:
    return [local for (recipient,) in recipients for local in history.note(conn, recipient, status)]
