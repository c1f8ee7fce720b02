"""Mail for this device: opened, checked and written down before its receipt leaves; shown once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from waypost.client.profile.at_rest import AtRest
from waypost.clock import WallMs
from waypost.errors import Code, PeerFault
from waypost.ids import Address, id_text
from waypost.limits import BODY_MAX_BYTES, UNREAD_MAX_BYTES, UNREAD_MAX_MESSAGES
from waypost.protocol.custody.app import fault_of, known_until_ms
from waypost.protocol.custody.envelope import Envelope, decode_envelope
from waypost.protocol.custody.transfer import Refusal
from waypost.protocol.frames.codec import Name, pack, read


@dataclass(frozen=True)
class Message:
    """A received message. With `error` it could not be opened: then `sender` is only claimed, and there is no body."""

    id: str  #: the envelope's id, which is also the sender's `Sent.id`
    sender: str
    body: bytes
    media_type: str
    sent_ms: WallMs  #: by the sender's clock
    received_ms: WallMs
    in_reply_to: str | None = None
    identity_changed: bool = False  #: the sender's identity key is not the one pinned for the address
    error: str | None = None

    @property
    def text(self) -> str | None:
        """The body of a text message; None for anything else."""
        if self.error is not None or self.media_type.partition(";")[0] != "text/plain":
            return None
        return self.body.decode("utf-8", "replace")


class StoredMessage(Struct, frozen=True, array_like=True):
    """A received message as the database has it, encrypted."""

    sender: Name
    media_type: str
    body: Annotated[bytes, Meta(max_length=BODY_MAX_BYTES)]
    sent_ms: int
    in_reply_to: bytes
    identity_changed: bool
    error: str


#: What an envelope was found to say, and the content's digest, the same whatever envelope it came in. What cannot be
#: opened is a message too, without a digest. Raises LocalError(STATE_DAMAGED).
EnvelopeReader = Callable[[sqlite3.Connection, Envelope, WallMs], tuple[StoredMessage, bytes | None]]


class Incoming:
    """Everything works inside a transaction."""

    def __init__(self, address: Address, at_rest: AtRest, read_envelope: EnvelopeReader) -> None:
        self._address = address
        self._at_rest = at_rest
        self._read = read_envelope

    def take(
        self, conn: sqlite3.Connection, ids: Sequence[bytes], envelopes: Sequence[bytes], now_ms: WallMs
    ) -> tuple[Refusal, ...]:
        """Write a batch down; returns what is refused of it. An envelope known already is taken and not shown again.

        What cannot be opened is kept as such and shown, so that neither side believes that nothing happened.
        """
        count, size = conn.execute("SELECT count(*), coalesce(sum(size), 0) FROM inbox WHERE shown = 0").fetchone()
        refusals = []
        for index, (envelope_id, data) in enumerate(zip(ids, envelopes, strict=True)):
            if conn.execute("SELECT 1 FROM inbox WHERE envelope_id = ?", (envelope_id,)).fetchone():
                continue
            if count >= UNREAD_MAX_MESSAGES or size + len(data) > UNREAD_MAX_BYTES:
                refusals.append(Refusal(index, Code.MAILBOX_FULL.number))
                continue
            code = self._take_one(conn, envelope_id, data, now_ms)
            if code is not None:
                refusals.append(Refusal(index, code.number))
                continue
            count, size = count + 1, size + len(data)
        return tuple(refusals)

    def _take_one(self, conn: sqlite3.Connection, envelope_id: bytes, data: bytes, now_ms: WallMs) -> Code | None:
        try:
            envelope = decode_envelope(data)
        except PeerFault as fault:
            return fault.code
        if (code := fault_of(envelope, self._address, now_ms)) is not None:
            return code
        message, digest = self._read(conn, envelope, now_ms)
        # The same content in another envelope is a replay by somebody on the way.
        if digest and conn.execute("SELECT 1 FROM inbox WHERE digest = ?", (digest,)).fetchone():
            return None
        locked = self._at_rest.lock(pack(message), b"inbox " + envelope_id)
        conn.execute(
            "INSERT INTO inbox (envelope_id, digest, received_ms, forget_ms, size, message) VALUES (?, ?, ?, ?, ?, ?)",
            (envelope_id, digest, now_ms, known_until_ms(envelope), len(locked), locked),
        )
        return None

    def next(self, conn: sqlite3.Connection, done: int | None) -> tuple[int, Message] | None:
        """Mark `done` as shown; then the oldest message that is not, and its number."""
        if done is not None:
            self.shown(conn, done)
        row = conn.execute(
            "SELECT id, envelope_id, received_ms, message FROM inbox WHERE shown = 0 ORDER BY id LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        number, envelope_id, received_ms, locked = row
        stored = read(self._at_rest.unlock(locked, b"inbox " + envelope_id), StoredMessage, Code.STATE_DAMAGED)
        return number, Message(
            id_text(envelope_id),
            stored.sender,
            stored.body,
            stored.media_type,
            stored.sent_ms,
            received_ms,
            id_text(stored.in_reply_to) or None,
            stored.identity_changed,
            stored.error or None,
        )

    def shown(self, conn: sqlite3.Connection, number: int) -> None:
        """The app has it now; its text leaves the database."""
        conn.execute("UPDATE inbox SET shown = 1, message = NULL WHERE id = ?", (number,))

    def forget(self, conn: sqlite3.Connection, now_ms: WallMs) -> None:
        """Ids whose envelope would be refused as expired anyway."""
        conn.execute("DELETE FROM inbox WHERE shown = 1 AND forget_ms <= ?", (now_ms,))
