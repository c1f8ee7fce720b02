"""Bytes to typed values and back: the only place where msgpack is read or written.

A frame is a big-endian u32 length and that many bytes of msgpack, one array `[type, …]`. The length is checked before
the bytes are awaited. Decoding goes straight into the types, in one pass: what does not fit is refused where it stands,
and what is not wanted is passed over without being built, so a hostile frame costs no more memory than a few times its
own length. `msgpack` writes; msgspec's typed decoder reads, because msgpack would build any tree that a frame describes
(64 MiB for one of 1 MiB) before its types could be looked at.
"""

from __future__ import annotations

import struct
from collections.abc import Hashable, Iterator
from functools import lru_cache
from typing import Annotated, Any, TypeVar, cast

import msgpack
import msgspec
from msgspec import Meta, Struct

from waypost.errors import Code, PeerFault
from waypost.limits import FRAME_MAX_BYTES, PROVIDER_MAX_CHARS, RECORD_MAX_BYTES, SUITE_MAX_CHARS, USER_MAX_CHARS

# ── fields: what each may hold is checked while it is decoded ────────────────────────────────────────────────────────

ID_BYTES = 16
KEY_BYTES = 32
SIGNATURE_BYTES = 64
ADDRESS_MAX_CHARS = USER_MAX_CHARS + 1 + PROVIDER_MAX_CHARS

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U53 = Annotated[int, Meta(ge=0, le=2**53 - 1)]  #: fits a float64, so that every language can hold it
Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Id = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Name = Annotated[str, Meta(max_length=ADDRESS_MAX_CHARS)]
Suite = Annotated[str, Meta(min_length=1, max_length=SUITE_MAX_CHARS)]
RecordBytes = Annotated[bytes, Meta(max_length=RECORD_MAX_BYTES)]


class Positional(Struct, frozen=True, array_like=True, gc=False):
    """Base of all that travels: an array; the order of the fields is their order on the wire.

    Numbers are never reused. Unknown trailing elements are ignored, so a field may be added at the end with a default.
    """


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size

T = TypeVar("T")

# `ValueError` covers msgspec's DecodeError and ValidationError, and UnicodeDecodeError.
DECODE_ERRORS = (ValueError, RecursionError, OverflowError)


@lru_cache(maxsize=256)
def decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    """Of that type alone; made once."""
    made: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(cast(Any, kind))
    return made


def pack(value: Any) -> bytes:
    """A struct, or a tuple of plain values, as msgpack."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(value, builtin_types=(bytes,)))
    return packed


def read(data: bytes | memoryview, kind: type[T], code: Code = Code.BAD_FRAME) -> T:
    """Decode bytes that must be one `kind` and no more. Raises PeerFault(code)."""
    try:
        value: T = decoder(cast(Hashable, kind)).decode(data)
    except DECODE_ERRORS as error:
        raise PeerFault(code, f"{getattr(kind, '__name__', 'message')}: {error}"[:200]) from None
    return value


class FrameBuffer:
    """Cuts a byte stream into frame bodies. `max_bytes` may change between two frames."""

    def __init__(self, max_bytes: int = FRAME_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frame bodies completed by `data`. Raises PeerFault(FRAME_TOO_LARGE) as soon as a length says so."""
        return list(self.cut(data))

    def cut(self, data: bytes) -> Iterator[bytes]:
        """The same, but each frame is cut when it is asked for, and a fault comes after the frames before it.

        What is not asked for stays: it comes with the next call, or in `rest`.
        """
        self._buffer += data
        return self._cut()

    def _cut(self) -> Iterator[bytes]:
        buffer = self._buffer
        while len(buffer) >= HEADER_BYTES:
            (length,) = _LENGTH.unpack_from(buffer)
            if length > self.max_bytes:
                raise PeerFault(Code.FRAME_TOO_LARGE, f"{length} bytes announced, {self.max_bytes} allowed")
            end = HEADER_BYTES + length
            if len(buffer) < end:
                return
            with memoryview(buffer) as view:
                frame = bytes(view[HEADER_BYTES:end])
            # Cheap: a bytearray drops from its front by moving its start.
            del buffer[:end]
            yield frame

    def rest(self) -> bytes:
        """What has arrived and was not cut."""
        return bytes(self._buffer)


def framed(body: bytes) -> bytes:
    """A whole frame, length included. Raises ValueError for one that no receiver would take."""
    if len(body) > FRAME_MAX_BYTES:
        raise ValueError(f"own frame of {len(body)} bytes exceeds the limit")
    return _LENGTH.pack(len(body)) + body
