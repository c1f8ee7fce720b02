"""A signed thing travels as `[payload bytes, signature]`: what is signed is what was received, never a re-encoding."""

from __future__ import annotations

from typing import Annotated, TypeVar

from msgspec import Meta, Struct

from waypost.crypto.keys import Purpose, SigningKey, verify
from waypost.errors import Code, PeerFault
from waypost.limits import FRAME_MAX_BYTES
from waypost.protocol.frames.codec import Signature, pack, read

T = TypeVar("T")


class Signed(Struct, frozen=True, array_like=True, gc=False):
    """Payload and signature, not verified yet."""

    payload: Annotated[bytes, Meta(max_length=FRAME_MAX_BYTES)]
    signature: Signature


def sign(key: SigningKey, purpose: Purpose, value: Struct) -> bytes:
    """The signed form of a struct, as bytes to send or store."""
    payload = pack(value)
    return pack(Signed(payload, key.sign(purpose, payload)))


def open_self_signed(data: bytes, purpose: Purpose, kind: type[T]) -> T:
    """The struct inside, signed by the key that its field `key` names. Raises PeerFault(BAD_SIGNATURE | BAD_FRAME)."""
    signed = read(data, Signed)
    value = read(signed.payload, kind)
    key = getattr(value, "key", None)
    if not isinstance(key, bytes):
        raise PeerFault(Code.BAD_FRAME, f"{kind.__name__} names no key")
    verify(key, purpose, signed.payload, signed.signature)
    return value
