"""Transcript hashes (RFC 9420 §8.2)."""

from __future__ import annotations

from waypost.mls.codec import opaque, u16
from waypost.mls.framing import FramedContent
from waypost.mls.kdf import hash_
from waypost.mls.registry import WireFormat


def confirmed_transcript_hash(
    interim_before: bytes, wire_format: WireFormat, content: FramedContent, signature: bytes
) -> bytes:
    """After a commit that was framed and signed so."""
    return hash_(b"".join((interim_before, u16(wire_format), content.encoded, opaque(signature))))


def interim_transcript_hash(confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """What the next commit's confirmed transcript hash starts from."""
    return hash_(confirmed + opaque(confirmation_tag))
