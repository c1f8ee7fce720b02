"""The node record: the signed announcement of a node. Newest sequence wins; a tombstone is one whose state says so.

A key changes by succession: the new record, signed by the new key, carries the old key and the old key's signature over
the new one. Whoever had pinned the old key can follow; nobody else gains anything from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from waypost.clock import WallMs
from waypost.crypto.keys import Purpose, SigningKey, verify
from waypost.errors import Code, PeerFault
from waypost.ids import is_canonical_provider
from waypost.limits import (
    CLOCK_TOLERANCE_MS,
    RECORD_ENDPOINTS_MAX,
    RECORD_FEATURES_MAX,
    RECORD_LIFETIME_MS,
    RECORD_MAX_BYTES,
    SUITE_MAX_CHARS,
)
from waypost.protocol.frames.codec import U53, Key, Name
from waypost.protocol.frames.signed import open_self_signed, sign


class RecordState(IntEnum):
    ACTIVE = 0
    GONE = 1  #: a tombstone: the provider has closed
    MOVED = 2  #: a tombstone: its users are now at `moved_to`


class RecordEndpoint(Struct, frozen=True, array_like=True, gc=False):
    """Where the node listens: a host name or an IP address, and a TCP port."""

    host: Annotated[str, Meta(min_length=1, max_length=253)]
    port: Annotated[int, Meta(ge=1, le=65535)]


class NodeRecord(Struct, frozen=True, array_like=True, gc=False):
    """What a node says of itself. Times are wall-clock milliseconds."""

    version: Annotated[int, Meta(ge=1, le=1)]
    name: Name
    key: Key
    sequence: U53
    issued_ms: U53
    expires_ms: U53
    endpoints: Annotated[tuple[RecordEndpoint, ...], Meta(max_length=RECORD_ENDPOINTS_MAX)]
    features: Annotated[
        tuple[Annotated[str, Meta(max_length=SUITE_MAX_CHARS)], ...], Meta(max_length=RECORD_FEATURES_MAX)
    ]
    state: RecordState = RecordState.ACTIVE
    moved_to: Name = ""
    body_max_bytes: Annotated[int, Meta(ge=0, le=2**32 - 1)] = 0  #: the offer: the largest body it takes
    old_key: Annotated[bytes, Meta(max_length=32)] = b""
    old_signature: Annotated[bytes, Meta(max_length=64)] = b""  #: by the old key, over name and new key


@dataclass(frozen=True, slots=True)
class VerifiedRecord:
    """A record whose signature fits the key in it. That key is not thereby the name's rightful one."""

    record: NodeRecord
    data: bytes  #: the signed bytes, to be passed on as they are


def sign_record(record: NodeRecord, key: SigningKey) -> bytes:
    """The signed bytes."""
    return sign(key, Purpose.NODE_RECORD, record)


def succession_payload(name: str, new_key: bytes) -> bytes:
    """What the old key signs to hand its name to a new key."""
    return name.encode() + b"\0" + new_key


def open_record(data: bytes, now_ms: WallMs) -> VerifiedRecord:
    """Raises PeerFault(BAD_FRAME | BAD_SIGNATURE | EXPIRED | CLOCK_SKEW)."""
    if len(data) > RECORD_MAX_BYTES:
        raise PeerFault(Code.BAD_FRAME, f"record of {len(data)} bytes")
    record = open_self_signed(data, Purpose.NODE_RECORD, NodeRecord)
    if not is_canonical_provider(record.name) or (record.moved_to and not is_canonical_provider(record.moved_to)):
        raise PeerFault(Code.BAD_FRAME, "the record's name is not canonical")
    if record.issued_ms > now_ms + CLOCK_TOLERANCE_MS:
        raise PeerFault(Code.CLOCK_SKEW, f"record of {record.name} is from the future")
    if record.expires_ms <= now_ms or record.expires_ms - record.issued_ms > RECORD_LIFETIME_MS:
        raise PeerFault(Code.EXPIRED, f"record of {record.name}")
    if record.old_key:
        verify(
            record.old_key, Purpose.RECORD_SUCCESSION, succession_payload(record.name, record.key), record.old_signature
        )
    return VerifiedRecord(record, data)


def supersedes(new: NodeRecord, old: NodeRecord) -> bool:
    """Whether `new` replaces `old` of the same name and key."""
    return new.sequence > old.sequence
