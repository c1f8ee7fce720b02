"""The messages of a link, as frozen types. `docs/protocol/wire.md` is their specification.

Those that hand over custody are in `custody.transfer`, the requests that a Query may hold in `directory.asks`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta

from waypost.errors import Code, PeerFault
from waypost.limits import (
    ENVELOPE_MAX_BYTES,
    FRAME_MAX_BYTES,
    NOTICE_IDS_MAX,
    RECORD_FEATURES_MAX,
    SIGNAL_MAX_BYTES,
    SUITE_MAX_CHARS,
    TEXT_MAX_CHARS,
)
from waypost.protocol.custody.transfer import Delivered, Offer, Receipt
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.codec import (
    DECODE_ERRORS,
    ID_BYTES,
    SIGNATURE_BYTES,
    U16,
    U32,
    U53,
    Key,
    Name,
    Positional,
    RecordBytes,
    Signature,
    Suite,
    decoder,
    framed,
    pack,
)

Ids = Annotated[bytes, Meta(max_length=ID_BYTES * NOTICE_IDS_MAX)]  #: whole ids, one after the other
Text = Annotated[str, Meta(max_length=TEXT_MAX_CHARS)]
Blob = Annotated[bytes, Meta(max_length=FRAME_MAX_BYTES)]


class Role(IntEnum):
    """What a side of a link is."""

    NODE = 0
    DEVICE = 1


class Hello(Positional, frozen=True, tag=1):
    """First message of each side: who I say I am, and what I grant you."""

    version_min: U16
    version_max: U16
    role: Role
    #: a node: its provider; a device: its account's address
    name: Name
    key: Key
    features: Annotated[
        tuple[Annotated[str, Meta(max_length=SUITE_MAX_CHARS)], ...], Meta(max_length=RECORD_FEATURES_MAX)
    ]
    #: the TLS group that this side sees, so that a downgrade shows
    group: Annotated[str, Meta(max_length=64)]
    now_ms: U53
    window_envelopes: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    #: at least one envelope, or nothing could ever be offered
    window_bytes: Annotated[int, Meta(ge=ENVELOPE_MAX_BYTES, le=2**32 - 1)]
    #: a node: its signed node record; a device: empty
    record: RecordBytes = b""
    #: a node: the epoch of its key directory
    epoch: U53 = 0


class Proof(Positional, frozen=True, tag=2):
    """Second message of each side: a signature that binds the key in Hello to this very TLS connection."""

    signature: Signature


class Query(Positional, frozen=True, tag=6):
    """A request; the id is the asker's, unique among its open ones."""

    id: U32
    ask: Ask


class Answer(Positional, frozen=True, tag=7):
    """The answer to a Query. Code 0: `body` is the encoded reply of the method, signed where the method says so."""

    id: U32
    code: U16
    text: Text = ""
    body: Blob = b""
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)] = b""


class NoticeKind(IntEnum):
    """What a Notice tells."""

    HELD = 1  #: `ids` are in the custody of the recipient's node since `at_ms`
    WAITING = 2  #: `ids` wait because of `code`; next try at `at_ms`
    KEYS_LOW = 3  #: `code` one-time packages are left
    RECORD = 4  #: `data` is a signed node record, new or changed


class Notice(Positional, frozen=True, tag=8):
    """News that need no answer and may be lost."""

    kind: U16  #: a `NoticeKind`, or one that only a newer peer knows, to be ignored
    code: U16 = 0
    at_ms: U53 = 0
    ids: Ids = b""
    data: RecordBytes = b""


class Signal(Positional, frozen=True, tag=9):
    """Ephemeral, such as typing: passed on if the way is open now, else dropped; never stored."""

    recipient: Name
    sender: Name
    suite: Suite
    body: Annotated[bytes, Meta(max_length=SIGNAL_MAX_BYTES)]


class Ping(Positional, frozen=True, tag=10):
    nonce: U32


class Pong(Positional, frozen=True, tag=11):
    nonce: U32


class Goodbye(Positional, frozen=True, tag=12):
    """The last message of a side that closes a link on purpose."""

    code: U16
    text: Text = ""


Message = Hello | Proof | Offer | Receipt | Delivered | Query | Answer | Notice | Signal | Ping | Pong | Goodbye

_TYPES = frozenset(range(1, 13))


class _Head(Positional, frozen=True):
    type: int


_decode_message = decoder(Message).decode
_decode_head = decoder(_Head).decode


def decode(frame: bytes | memoryview) -> Message:
    """The message in a frame's body. Raises PeerFault(BAD_FRAME | UNKNOWN_TYPE)."""
    try:
        message: Message = _decode_message(frame)
    except DECODE_ERRORS as error:
        raise _fault(frame, str(error)) from None
    return message


def _fault(frame: bytes | memoryview, error: str) -> PeerFault:
    try:
        number = _decode_head(frame).type
    except DECODE_ERRORS:
        return PeerFault(Code.BAD_FRAME, error[:200])
    if number not in _TYPES:
        return PeerFault(Code.UNKNOWN_TYPE, f"type {number}")
    return PeerFault(Code.BAD_FRAME, error[:200])


def encode(message: Message) -> bytes:
    """A whole frame, length included. Raises ValueError for one that no receiver would take."""
    return framed(pack(message))
