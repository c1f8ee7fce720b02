"""The envelope: the addressed, encrypted unit. Its bytes are made once, by the origin, and never re-encoded.

Positional fields: `version, provider, [user…], from, created_ms, expires_s, class, suite, body`. Its id is BLAKE2b-128
of the bytes, so any change makes another envelope.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from waypost.clock import SECOND_MS, WallMs
from waypost.errors import Code, PeerFault
from waypost.ids import Address, Provider, User, is_canonical_provider, is_canonical_user
from waypost.limits import (
    BODY_MAX_BYTES,
    CLOCK_TOLERANCE_MS,
    ENVELOPE_MAX_BYTES,
    EXPIRY_MAX_S,
    PROVIDER_MAX_CHARS,
    RECIPIENTS_MAX,
    USER_MAX_CHARS,
)
from waypost.protocol.frames.codec import ADDRESS_MAX_CHARS, U53, Suite, pack, read

ENVELOPE_VERSION = 1


class EnvelopeClass(IntEnum):
    """What is shed first under pressure: the higher, the earlier."""

    TEXT = 0
    BULK = 1


class Envelope(Struct, frozen=True, array_like=True, gc=False):
    """A decoded envelope. Nodes read everything but `body`, which they cannot open."""

    version: Annotated[int, Meta(ge=ENVELOPE_VERSION, le=ENVELOPE_VERSION)]
    provider: Annotated[str, Meta(max_length=PROVIDER_MAX_CHARS)]
    users: Annotated[
        tuple[Annotated[str, Meta(min_length=1, max_length=USER_MAX_CHARS)], ...],
        Meta(min_length=1, max_length=RECIPIENTS_MAX),
    ]
    sender: Annotated[str, Meta(max_length=ADDRESS_MAX_CHARS)]
    created_ms: U53
    expires_s: Annotated[int, Meta(ge=1, le=EXPIRY_MAX_S)]
    class_: EnvelopeClass
    suite: Suite
    body: Annotated[bytes, Meta(max_length=BODY_MAX_BYTES)]

    @property
    def expires_ms(self) -> WallMs:
        return self.created_ms + self.expires_s * SECOND_MS


def encode_envelope(envelope: Envelope) -> bytes:
    """The bytes that travel. Raises ValueError for one that no receiver would take."""
    if not is_canonical_provider(envelope.provider) or not all(map(is_canonical_user, envelope.users)):
        raise ValueError("recipients must be canonical")
    data = pack(envelope)
    decode_envelope(data)
    return data


def decode_envelope(data: bytes) -> Envelope:
    """Shape and sizes only; see `time_fault` for the rest. Raises PeerFault(MALFORMED_ENVELOPE | TOO_LARGE)."""
    if len(data) > ENVELOPE_MAX_BYTES:
        raise PeerFault(Code.TOO_LARGE, f"{len(data)} bytes")
    return read(data, Envelope, Code.MALFORMED_ENVELOPE)


def time_fault(envelope: Envelope, now_ms: WallMs) -> Code | None:
    """EXPIRED, FROM_FUTURE, or None if the envelope may be accepted now."""
    if envelope.created_ms > now_ms + CLOCK_TOLERANCE_MS:
        return Code.FROM_FUTURE
    if envelope.expires_ms <= now_ms:
        return Code.EXPIRED
    return None


def sender_of(envelope: Envelope) -> Address | None:
    """The sender, if written canonically; None otherwise."""
    user, at, provider = envelope.sender.rpartition("@")
    if not at or not is_canonical_provider(provider) or not is_canonical_user(user):
        return None
    return Address(User(user), Provider(provider))
