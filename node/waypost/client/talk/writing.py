"""Writes messages down, and puts them into envelopes as soon as there are keys."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from waypost.client.mail import history
from waypost.client.mail.content import Content
from waypost.client.mail.history import Changed
from waypost.client.mail.journal import Journal
from waypost.client.mail.outgoing import Draft, Outgoing
from waypost.client.mail.status import Status
from waypost.client.schemes.scheme import Scheme
from waypost.client.talk import pins
from waypost.clock import WallMs
from waypost.errors import Code, LocalError, PeerFault, Refused
from waypost.ids import Address
from waypost.limits import EXPIRY_MAX_S, MEDIA_TYPE_MAX_CHARS
from waypost.protocol.custody.fate import State
from waypost.protocol.frames.codec import ID_BYTES


class Sealer:
    """Makes envelopes of what waits for them."""

    def __init__(self, outgoing: Outgoing, scheme: Scheme) -> None:
        self._outgoing = outgoing
        self.scheme = scheme

    def seal(self, conn: sqlite3.Connection, address: Address, now_ms: WallMs) -> Changed:
        """Of the oldest messages to an address; call it again until nothing changes. Without keys nothing does.

        Raises PeerFault(BAD_PACKAGE).
        """
        changed: Changed = []
        if not self.scheme.has_keys(conn, address, now_ms):
            return changed
        for recipient, content in self._outgoing.unsealed(conn, address):
            try:
                body = self.scheme.seal(conn, address, content, now_ms)
            except Refused as refused:
                changed += history.note(conn, recipient, Status(State.BOUNCED, now_ms, refused.code.number))
            else:
                changed += self._outgoing.enclose(conn, [recipient], self.scheme.suite, body)
        return changed


class MessageWriter:
    """What `Client.send` does."""

    def __init__(
        self,
        journal: Journal,
        outgoing: Outgoing,
        sealer: Sealer,
        wall_ms: Callable[[], WallMs],
        random: Callable[[int], bytes],
    ) -> None:
        self._journal = journal
        self._outgoing = outgoing
        self._sealer = sealer
        self._wall_ms = wall_ms
        self._random = random

    async def write(self, recipient: Address, content: Content, expires_s: int, *, accepts_key: bool) -> bytes:
        """Return the message's local id once it is written durably. Raises as `Client.send` does."""
        if not 1 <= expires_s <= EXPIRY_MAX_S:
            raise ValueError(f"a message lives 1 to {EXPIRY_MAX_S} seconds, not {expires_s}")
        if not 1 <= len(content.media_type) <= MEDIA_TYPE_MAX_CHARS:
            raise ValueError(f"a media type has 1 to {MEDIA_TYPE_MAX_CHARS} characters")
        now_ms = self._wall_ms()
        written = self._sealer.scheme.write(recipient, content, now_ms)
        draft = Draft(self._random(ID_BYTES), (recipient,), now_ms, expires_s, written, accepts_key)
        await self._journal.change(lambda conn: self._add(conn, draft))
        return draft.local

    def _add(self, conn: sqlite3.Connection, draft: Draft) -> Changed:
        (recipient,) = draft.recipients
        pin = pins.pin_of(conn, recipient)
        if draft.accepts_key:
            # What is accepted is the key of now, so it is asked for.
            self._sealer.scheme.drop_keys(conn, recipient)
        elif pin and pin.changed:
            raise LocalError(Code.IDENTITY_CHANGED, str(recipient))
        self._outgoing.add(conn, draft)
        # With keys at hand the message gets its envelope at once, and so its final id.
        try:
            return self._sealer.seal(conn, recipient, draft.created_ms)
        except PeerFault:
            self._sealer.scheme.drop_keys(conn, recipient)
            return []
