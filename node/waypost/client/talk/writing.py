"""Writes messages down, in their envelopes if there are keys."""

from __future__ import annotations

import sqlite3

from waypost.client.mail.content import Content
from waypost.client.mail.history import SentRecord
from waypost.client.mail.outgoing import Draft, Outgoing, SealedBody
from waypost.client.parts import Parts
from waypost.client.profile.database import Database
from waypost.client.schemes.scheme import Scheme
from waypost.client.talk import pins
from waypost.errors import Code, LocalError, PeerFault
from waypost.ids import Address
from waypost.limits import EXPIRY_MAX_S, MEDIA_TYPE_MAX_CHARS
from waypost.protocol.frames.codec import ID_BYTES


class MessageWriter:
    """What `Client.send` does."""

    def __init__(
        self,
        database: Database,
        outgoing: Outgoing,
        scheme: Scheme,
        parts: Parts,
    ) -> None:
        self._database = database
        self._outgoing = outgoing
        self._scheme = scheme
        self._parts = parts

    async def write(self, recipient: Address, content: Content, expires_s: int, *, accepts_key: bool) -> SentRecord:
        """Return once it is written durably. Raises as `Client.send` does."""
        if not 1 <= expires_s <= EXPIRY_MAX_S:
            raise ValueError(f"a message lives 1 to {EXPIRY_MAX_S} seconds, not {expires_s}")
        if not 1 <= len(content.media_type) <= MEDIA_TYPE_MAX_CHARS:
            raise ValueError(f"a media type has 1 to {MEDIA_TYPE_MAX_CHARS} characters")
        now_ms = self._parts.wall_ms()
        written = self._scheme.write(recipient, content, now_ms)
        draft = Draft(self._parts.random(ID_BYTES), (recipient,), now_ms, expires_s, written, accepts_key)
        return await self._database.run(lambda conn: self._add(conn, recipient, draft))

    def _add(self, conn: sqlite3.Connection, recipient: Address, draft: Draft) -> SentRecord:
        pin = pins.pin_of(conn, recipient)
        if draft.accepts_key:
            # What is accepted is the key of now, so it is asked for.
            self._scheme.drop_keys(conn, recipient)
        elif pin and pin.changed:
            raise LocalError(Code.IDENTITY_CHANGED, str(recipient))
        return self._outgoing.add(conn, draft, self._sealed(conn, recipient, draft))

    def _sealed(self, conn: sqlite3.Connection, recipient: Address, draft: Draft) -> SealedBody | None:
        """With keys at hand the message gets its envelope at once, and so its final id."""
        sealing = self._scheme.sealing(conn, recipient, draft.created_ms)
        # What was written before and still waits is not to be overtaken.
        if sealing is None or self._outgoing.waits(conn, recipient):
            return None
        try:
            return SealedBody(self._scheme.suite, sealing(draft.content))
        except PeerFault:
            self._scheme.drop_keys(conn, recipient)
            return None
