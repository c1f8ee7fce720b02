"""What a message says."""

from __future__ import annotations

from dataclasses import dataclass

PLAIN_TEXT = "text/plain;charset=utf-8"
BYTES = "application/octet-stream"


@dataclass(frozen=True)
class Content:
    """What an app sends: bytes of a media type (RFC 6838), perhaps in reply to a message (its id)."""

    body: bytes
    media_type: str = BYTES
    in_reply_to: str | None = None

    @classmethod
    def of(cls, what: str | bytes | Content) -> Content:
        """Text as `text/plain`, bytes as `application/octet-stream`."""
        if isinstance(what, Content):
            return what
        return cls(what.encode(), PLAIN_TEXT) if isinstance(what, str) else cls(bytes(what))
