"""Bytes to typed messages and back: the only place where msgpack is read or written.

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
from typing import Any, TypeVar, cast

import msgpack
import msgspec

from waypost.errors import Code, PeerFault
from waypost.limits import FRAME_MAX_BYTES
from waypost.protocol.frames.messages import Message

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size
_TYPES = frozenset(range(1, 13))

T = TypeVar("T")

# `ValueError` covers msgspec's DecodeError and ValidationError, and UnicodeDecodeError.
_DECODE_ERRORS = (ValueError, RecursionError, OverflowError)


class _Head(msgspec.Struct, frozen=True, array_like=True):
    type: int


_decode_message = msgspec.msgpack.Decoder(Message).decode
_decode_head = msgspec.msgpack.Decoder(_Head).decode


@lru_cache(maxsize=256)
def _decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    decoder: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(cast(Any, kind))
    return decoder


def pack(value: Any) -> bytes:
    """A struct, or a tuple of plain values, as msgpack."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(value, builtin_types=(bytes,)))
    return packed


def read(data: bytes | memoryview, kind: type[T], code: Code = Code.BAD_FRAME) -> T:
    """Decode bytes that must be one `kind` and no more. Raises PeerFault(code)."""
    try:
        value: T = _decoder(cast(Hashable, kind)).decode(data)
    except _DECODE_ERRORS as error:
        raise PeerFault(code, f"{getattr(kind, '__name__', 'message')}: {error}"[:200]) from None
    return value


def decode(frame: bytes | memoryview) -> Message:
    """The message in a frame's body. Raises PeerFault(BAD_FRAME | UNKNOWN_TYPE)."""
    try:
        message: Message = _decode_message(frame)
    except _DECODE_ERRORS as error:
        raise _fault(frame, str(error)) from None
    return message


def _fault(frame: bytes | memoryview, error: str) -> PeerFault:
    try:
        number = _decode_head(frame).type
    except _DECODE_ERRORS:
        return PeerFault(Code.BAD_FRAME, error[:200])
    if number not in _TYPES:
        return PeerFault(Code.UNKNOWN_TYPE, f"type {number}")
    return PeerFault(Code.BAD_FRAME, error[:200])


def encode(message: Message) -> bytes:
    """A whole frame, length included. Raises ValueError for one that no receiver would take."""
    body = pack(message)
    if len(body) > FRAME_MAX_BYTES:
        raise ValueError(f"own frame of {len(body)} bytes exceeds the limit")
    return _LENGTH.pack(len(body)) + body


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
