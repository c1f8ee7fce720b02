"""Transcript hashes (RFC 9420 §8.2)."""

from __future__ import annotations

from waypost.mls.base.codec import opaque, u16
from waypost.mls.base.kdf import hash_
from waypost.mls.base.registry import WireFormat
from waypost.mls.objects.framing import FramedContent


def confirmed_transcript_hash(
    interim_before: bytes, wire_format: WireFormat, content: FramedContent, signature: bytes
) -> bytes:
    """After a commit that was framed and signed so."""
    return hash_(b"".join((interim_before, u16(wire_format), content.encoded, opaque(signature))))


def interim_transcript_hash(confirmed: bytes, confirmation_tag: bytes) -> bytes:
    """What the next commit's confirmed transcript hash starts from."""
    return hash_(confirmed + opaque(confirmation_tag))
