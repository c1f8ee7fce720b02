"""Sent mail: written to the profile first, sealed once there are keys, kept until the node has taken it.

Everything works inside a transaction and returns the local ids whose history has changed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from waypost.client import journal
from waypost.client.at_rest import AtRest
from waypost.client.journal import Changed
from waypost.client.pins import Packages
from waypost.client.status import SentState, Status
from waypost.clock import SECOND_MS, WallMs
from waypost.crypto.keys import envelope_id
from waypost.crypto.seal import CONTENT_KEY_BYTES, SUITE, seal
from waypost.errors import Code, Refused, is_for_good
from waypost.ids import Address, parse_address
from waypost.limits import RESEND_S, SEAL_AT_ONCE, UNSENT_MAX_BYTES, UNSENT_MAX_MESSAGES
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import Refusal

RESEND_MAX_MS = int(RESEND_S[-1] * SECOND_MS)


@dataclass(frozen=True, slots=True)
class Draft:
    """A signed content on its way to one recipient. `local`: 16 random bytes, its name until it has an envelope."""

    local: bytes
    recipient: str
    created_ms: WallMs
    expires_s: int
    content: bytes
    accepts_key: bool  #: the user accepts whatever identity key the recipient has now


class Ready(NamedTuple):
    """An envelope to be offered."""

    row: int
    id: bytes
    envelope: bytes


@dataclass(frozen=True)
class Outgoing:
    address: Address
    at_rest: AtRest
    random: Callable[[int], bytes]

    def add(self, conn: sqlite3.Connection, draft: Draft) -> None:
        """Raises Refused(QUEUE_FULL) when too much waits already."""
        count, size = conn.execute("SELECT count(*), coalesce(sum(size), 0) FROM sent WHERE stage < 2").fetchone()
        if count >= UNSENT_MAX_MESSAGES or size + len(draft.content) > UNSENT_MAX_BYTES:
            raise Refused(Code.QUEUE_FULL, f"{count} messages wait in this profile")
        row = conn.execute(
            "INSERT INTO sent (local, recipient, created_ms, expires_ms, stage, size, accepts_key, content)"
            " VALUES (?, ?, ?, ?, 0, ?, ?, ?)",
            (
                draft.local,
                draft.recipient,
                draft.created_ms,
                draft.created_ms + draft.expires_s * SECOND_MS,
                len(draft.content),
                draft.accepts_key,
                self.at_rest.lock(draft.content, b"sent " + draft.local),
            ),
        ).lastrowid
        journal.begin(conn, row or 0, Status(SentState.QUEUED, draft.created_ms))

    # ── without an envelope ─────────────────────────────────────────────────────────────────────────────────────────

    def unsealed(self, conn: sqlite3.Connection) -> list[str]:
        """To whom messages wait for keys."""
        return [row[0] for row in conn.execute("SELECT DISTINCT recipient FROM sent WHERE stage = 0")]

    def seal(self, conn: sqlite3.Connection, recipient: str, packages: Packages, now_ms: WallMs) -> Changed:
        """Make the envelopes of the oldest messages to a recipient; call it again until nothing changes.

        Raises PeerFault(BAD_PACKAGE).
        """
        rows = conn.execute(
            "SELECT id, local, created_ms, expires_ms, content FROM sent WHERE stage = 0 AND recipient = ?"
            " ORDER BY id LIMIT ?",
            (recipient, SEAL_AT_ONCE),
        ).fetchall()
        changed: list[bytes] = []
        for row, local, created_ms, expires_ms, locked in rows:
            content = self.at_rest.unlock(locked, b"sent " + local)
            try:
                body = seal(content, self.random(CONTENT_KEY_BYTES), recipient, packages)
            except Refused as refused:
                changed += journal.note(conn, row, Status(SentState.BOUNCED, now_ms, refused.code.number))
                continue
            data = self._envelope(recipient, created_ms, (expires_ms - created_ms) // SECOND_MS, body)
            conn.execute(
                "UPDATE sent SET stage = 1, envelope_id = ?, envelope = ?, size = ?, content = NULL WHERE id = ?",
                (envelope_id(data), data, len(data), row),
            )
            changed.append(local)
        return changed

    def no_keys(self, conn: sqlite3.Connection, recipient: str, code: int, now_ms: WallMs, next_ms: WallMs) -> Changed:
        """Why there are none: a code for good bounces what waits for them."""
        status = Status(SentState.BOUNCED, now_ms, code)
        if not is_for_good(code):
            status = Status(SentState.WAITING, now_ms, code, next_ms)
        return self._note_all(conn, status, "stage = 0 AND recipient = ?", recipient)

    def key_changed(self, conn: sqlite3.Connection, recipient: str, now_ms: WallMs) -> Changed:
        """Bounce what was written to the old key: the user has accepted no other (see `accepts_key`)."""
        status = Status(SentState.BOUNCED, now_ms, Code.IDENTITY_CHANGED.number)
        return self._note_all(conn, status, "stage = 0 AND recipient = ?", recipient)

    def accepts_key(self, conn: sqlite3.Connection, recipient: str) -> bool:
        sql = "SELECT 1 FROM sent WHERE stage = 0 AND accepts_key = 1 AND recipient = ? LIMIT 1"
        return conn.execute(sql, (recipient,)).fetchone() is not None

    # ── with an envelope ────────────────────────────────────────────────────────────────────────────────────────────

    def ready(
        self, conn: sqlite3.Connection, now_ms: WallMs, max_items: int, max_bytes: int, in_flight: set[int]
    ) -> list[Ready]:
        """The next to be offered, in the order in which they were sent."""
        chosen: list[int] = []
        rows = conn.execute(
            "SELECT id, size FROM sent WHERE stage = 1 AND due_ms <= ? ORDER BY id LIMIT ?",
            (now_ms, max_items + len(in_flight)),
        ).fetchall()
        for row, size in rows:
            if row in in_flight:
                continue
            max_bytes -= size
            if max_bytes < 0 or len(chosen) >= max_items:
                break
            chosen.append(row)
        select = "SELECT id, envelope_id, envelope FROM sent WHERE id = ?"
        return [Ready(*conn.execute(select, (row,)).fetchone()) for row in chosen]

    def next_due(self, conn: sqlite3.Connection, now_ms: WallMs) -> WallMs | None:
        """When the next message that waits is due."""
        row = conn.execute("SELECT min(due_ms) FROM sent WHERE stage = 1 AND due_ms > ?", (now_ms,)).fetchone()
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
            refusal = by_index.get(index)
            if refusal is None:
                conn.execute("UPDATE sent SET stage = 2, envelope = NULL WHERE id = ? AND stage = 1", (ready.row,))
                changed += journal.note(conn, ready.row, Status(SentState.ACCEPTED, at_ms))
            elif is_for_good(refusal.code):
                state = SentState.EXPIRED if refusal.code == Code.EXPIRED.number else SentState.BOUNCED
                changed += journal.note(conn, ready.row, Status(state, now_ms, refusal.code))
            else:
                changed += self._defer(conn, ready.row, refusal, now_ms)
        return changed

    def expire(self, conn: sqlite3.Connection, now_ms: WallMs) -> Changed:
        """End what has waited here too long."""
        status = Status(SentState.EXPIRED, now_ms, Code.EXPIRED.number)
        return self._note_all(conn, status, "stage < 2 AND expires_ms <= ?", now_ms)

    def _defer(self, conn: sqlite3.Connection, row: int, refusal: Refusal, now_ms: WallMs) -> Changed:
        (tries,) = conn.execute("SELECT tries FROM sent WHERE id = ?", (row,)).fetchone()
        # The node may ask for patience, but not for so much that the message never goes.
        wait_ms = min(refusal.retry_s * SECOND_MS, RESEND_MAX_MS) or resend_after_ms(tries, self.random)
        conn.execute("UPDATE sent SET tries = tries + 1, due_ms = ? WHERE id = ?", (now_ms + wait_ms, row))
        return journal.note(conn, row, Status(SentState.WAITING, now_ms, refusal.code, now_ms + wait_ms))

    def _note_all(self, conn: sqlite3.Connection, status: Status, where: str, value: str | int) -> Changed:
        # `where` is one of the conditions above; what varies is bound.
        rows = conn.execute(f"SELECT id FROM sent WHERE {where}", (value,)).fetchall()  # noqa: S608
        return [local for (row,) in rows for local in journal.note(conn, row, status)]

    def _envelope(self, recipient: str, created_ms: WallMs, expires_s: int, body: bytes) -> bytes:
        to = parse_address(recipient)
        sender = str(self.address)
        return encode_envelope(
            Envelope(1, to.provider, (to.user,), sender, created_ms, expires_s, EnvelopeClass.TEXT, SUITE, body)
        )


def resend_after_ms(tries: int, random: Callable[[int], bytes]) -> int:
    """The schedule's delay after that many failures, less up to a quarter at random: many wait for the same thing."""
    delay_ms = int(RESEND_S[min(tries, len(RESEND_S) - 1)] * SECOND_MS)
    return delay_ms - delay_ms // 4 * int.from_bytes(random(2), "big") // 2**16
