"""Bytes to typed messages and back: the only place where msgpack is read or written.

A frame is a big-endian u32 length and that many bytes of msgpack, one array `[type, …]`. The length is checked before
the bytes are awaited. Nesting, array lengths and field sizes are bounded while decoding, so a hostile frame costs no
more memory than a few times its own length.
"""

from __future__ import annotations

import struct
from typing import Any, TypeVar

import msgpack
import msgspec

from waypost.errors import Code, PeerFault
from waypost.limits import ARRAY_MAX_ITEMS, FRAME_MAX_BYTES
from waypost.protocol.messages import Message

_LENGTH = struct.Struct(">I")
HEADER_BYTES = _LENGTH.size
_TYPES = frozenset(range(1, 13))

T = TypeVar("T")

# What msgpack raises for input that is not msgpack, or that passes a bound (`ValueError` covers its own
# FormatError, StackError, ExtraData and UnicodeDecodeError).
_UNPACK_ERRORS = (ValueError, msgpack.exceptions.UnpackException, TypeError, RecursionError, OverflowError)


def _no_extension(code: int, data: bytes) -> object:
    raise ValueError("extension types are not used")


def unpack(data: bytes | memoryview) -> Any:
    """One msgpack value that fills `data` wholly. Raises PeerFault(BAD_FRAME)."""
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_array_len=ARRAY_MAX_ITEMS,
            max_map_len=0,
            max_ext_len=0,
            ext_hook=_no_extension,
        )
    except _UNPACK_ERRORS as error:
        raise PeerFault(Code.BAD_FRAME, str(error)[:200]) from None


def pack(value: Any) -> bytes:
    """A struct, or a tuple of plain values, as msgpack."""
    packed: bytes = msgpack.packb(msgspec.to_builtins(value, builtin_types=(bytes,)))
    return packed


def read(data: bytes | memoryview, kind: type[T], code: Code = Code.BAD_FRAME) -> T:
    """Decode bytes that must be one `kind`. Raises PeerFault(code)."""
    try:
        return msgspec.convert(unpack(data), kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise PeerFault(code, f"{getattr(kind, '__name__', 'message')}: {error}"[:200]) from None
    except PeerFault as fault:
        raise PeerFault(code, fault.detail) from None


def decode(frame: bytes | memoryview) -> Message:
    """The message in a frame's body. Raises PeerFault(BAD_FRAME | UNKNOWN_TYPE)."""
    value = unpack(frame)
    if type(value) is not list or not value or type(value[0]) is not int:
        raise PeerFault(Code.BAD_FRAME, "a message is an array that starts with its type")
    if value[0] not in _TYPES:
        raise PeerFault(Code.UNKNOWN_TYPE, f"type {value[0]}")
    try:
        message: Message = msgspec.convert(value, Message)
    except (msgspec.ValidationError, RecursionError) as error:
        raise PeerFault(Code.BAD_FRAME, str(error)[:200]) from None
    return message


def encode(message: Message) -> bytes:
    """A whole frame, length included."""
    body = pack(message)
    if len(body) > FRAME_MAX_BYTES:
        raise ValueError(f"own frame of {len(body)} bytes exceeds the limit")
    return _LENGTH.pack(len(body)) + body


class FrameBuffer:
    """Cuts a byte stream into frame bodies."""

    def __init__(self, max_bytes: int = FRAME_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self._buffer = bytearray()

    def __len__(self) -> int:
        return len(self._buffer)

    def feed(self, data: bytes) -> list[bytes]:
        """The frame bodies completed by `data`. Raises PeerFault(FRAME_TOO_LARGE) as soon as a length says so."""
        buffer = self._buffer
        buffer += data
        frames: list[bytes] = []
        start, end = 0, len(buffer)
        while end - start >= HEADER_BYTES:
            (length,) = _LENGTH.unpack_from(buffer, start)
            if length > self.max_bytes:
                raise PeerFault(Code.FRAME_TOO_LARGE, f"{length} bytes announced, {self.max_bytes} allowed")
            if end - start - HEADER_BYTES < length:
                break
            start += HEADER_BYTES
            frames.append(bytes(buffer[start : start + length]))
            start += length
        if start:
            del buffer[:start]
        return frames

    def rest(self) -> bytes:
        """What has arrived of a frame that is not complete."""
        return bytes(self._buffer)
