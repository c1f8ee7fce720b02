"""Opens envelopes, and compares who speaks in them with whom we know."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from waypost.client.mail.content import PLAIN_TEXT
from waypost.client.mail.incoming import StoredMessage
from waypost.client.schemes.scheme import OpenedMessage, Scheme
from waypost.client.talk import pins
from waypost.client.talk.pins import KeyMatch
from waypost.clock import WallMs
from waypost.errors import Code, LocalError, PeerFault, WaypostError
from waypost.protocol.custody.envelope import Envelope


class MessageReader:
    """An `EnvelopeReader`. `schemes`: those that this device knows."""

    def __init__(self, schemes: Iterable[Scheme]) -> None:
        self._schemes = {scheme.suite: scheme for scheme in schemes}

    def __call__(
        self, conn: sqlite3.Connection, envelope: Envelope, now_ms: WallMs
    ) -> tuple[StoredMessage, bytes | None]:
        try:
            opened = self._open(conn, envelope)
            match = pins.heard(conn, opened.devices, opened.device_list, opened.device, now_ms)
        except (PeerFault, LocalError) as error:
            if error.code is Code.STATE_DAMAGED:
                raise
            return _unreadable(envelope, error), None
        return _said(opened, changed=match is KeyMatch.CHANGED), opened.digest

    def _open(self, conn: sqlite3.Connection, envelope: Envelope) -> OpenedMessage:
        scheme = self._schemes.get(envelope.suite)
        if scheme is None:
            raise LocalError(Code.CANNOT_DECRYPT, f"suite {envelope.suite!r} is not known here")
        return scheme.open(conn, envelope)


def _said(opened: OpenedMessage, *, changed: bool) -> StoredMessage:
    content = opened.content
    reply = bytes.fromhex(content.in_reply_to or "")
    return StoredMessage(str(opened.sender), content.media_type, content.body, opened.created_ms, reply, changed, "")


def _unreadable(envelope: Envelope, error: WaypostError) -> StoredMessage:
    return StoredMessage(envelope.sender, PLAIN_TEXT, b"", envelope.created_ms, b"", False, str(error))
