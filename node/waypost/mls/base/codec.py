"""The TLS presentation language as MLS uses it (RFC 9420 §2.1): strict, one way to write each value.

Writing is by functions that return bytes; reading is by a `Reader` that moves along a buffer. Every reader method
raises `MlsError` for bytes that are not exactly what the RFC allows.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from waypost.mls.base.bounds import FOREIGN, InputBound
from waypost.mls.base.errors import MlsError, MlsFault

T = TypeVar("T")

_VARINT_MAX: Final = 2**30 - 1
#: So many bytes of numbers weigh as much in memory as an element of another kind.
_NUMBERS_BYTES: Final = 16


def u8(value: int) -> bytes:
    """`uint8`."""
    return value.to_bytes(1, "big")


def u16(value: int) -> bytes:
    """`uint16`."""
    return value.to_bytes(2, "big")


def u32(value: int) -> bytes:
    """`uint32`."""
    return value.to_bytes(4, "big")


def u64(value: int) -> bytes:
    """`uint64`."""
    return value.to_bytes(8, "big")


def varint(value: int) -> bytes:
    """The length header of a variable-size vector (§2.1.2). Raises MlsError(TOO_LARGE) from 2^30 on."""
    if value < 0x40:
        return value.to_bytes(1, "big")
    if value < 0x4000:
        return (value | 0x4000).to_bytes(2, "big")
    if value <= _VARINT_MAX:
        return (value | 0x8000_0000).to_bytes(4, "big")
    raise MlsError(MlsFault.TOO_LARGE, f"a vector of {value} bytes")


def opaque(data: bytes) -> bytes:
    """`opaque data<V>`."""
    return varint(len(data)) + data


def vector(items: Iterable[bytes]) -> bytes:
    """`T items<V>` of encoded items."""
    return opaque(b"".join(items))


def u16_vector(values: tuple[int, ...]) -> bytes:
    """`uint16 values<V>`."""
    return opaque(struct.pack(f">{len(values)}H", *values))


def u32_vector(values: tuple[int, ...]) -> bytes:
    """`uint32 values<V>`."""
    return opaque(struct.pack(f">{len(values)}I", *values))


def optional(encoded: bytes | None) -> bytes:
    """`optional<T>` (§2.1.1) of an encoded value."""
    return b"\0" if encoded is None else b"\1" + encoded


class Reader:
    """A position in bytes. `end` bounds what may be read, so that a vector's elements cannot run out of it."""

    __slots__ = ("_elements_left", "data", "end", "position")

    def __init__(self, data: bytes, bound: InputBound = FOREIGN) -> None:
        if len(data) > bound.max_bytes:
            raise MlsError(MlsFault.TOO_LARGE, f"{len(data)} bytes")
        self.data = data
        self.position = 0
        self.end = len(data)
        # Of all vectors together, however they are nested: an element of two bytes takes a hundred in memory.
        self._elements_left = bound.max_elements

    def raw(self, size: int) -> bytes:
        start = self.position
        stop = start + size
        if stop > self.end:
            raise MlsError(MlsFault.TRUNCATED)
        self.position = stop
        return self.data[start:stop]

    def u8(self) -> int:
        position = self.position
        if position >= self.end:
            raise MlsError(MlsFault.TRUNCATED)
        self.position = position + 1
        return self.data[position]

    def u16(self) -> int:
        return int.from_bytes(self.raw(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.raw(4), "big")

    def u64(self) -> int:
        return int.from_bytes(self.raw(8), "big")

    def varint(self) -> int:
        first = self.u8()
        prefix = first >> 6
        if prefix == 0:
            return first
        if prefix == 3:
            raise MlsError(MlsFault.VARINT_INVALID)
        if prefix == 1:
            value = (first & 0x3F) << 8 | self.u8()
            least = 0x40
        else:
            value = (first & 0x3F) << 24 | int.from_bytes(self.raw(3), "big")
            least = 0x4000
        if value < least:
            raise MlsError(MlsFault.VARINT_NOT_MINIMAL)
        return value

    def opaque(self) -> bytes:
        # The commonest call by far, so the one-byte length is inlined.
        start = self.position
        if start < self.end and (size := self.data[start]) < 0x40:
            start += 1
        else:
            size = self.varint()
            start = self.position
        stop = start + size
        if stop > self.end:
            raise MlsError(MlsFault.TRUNCATED)
        self.position = stop
        return self.data[start:stop]

    def vector(self, element: Callable[[Reader], T]) -> tuple[T, ...]:
        """`T items<V>`, each read by `element`."""
        size = self.varint()
        stop = self.position + size
        if stop > self.end:
            raise MlsError(MlsFault.TRUNCATED)
        outer, self.end = self.end, stop
        items = []
        while self.position < stop:
            self._count(1)
            items.append(element(self))
        self.end = outer
        return tuple(items)

    def u16_vector(self) -> tuple[int, ...]:
        data = self.opaque()
        if len(data) % 2:
            raise MlsError(MlsFault.VECTOR_NOT_WHOLE)
        self._count(len(data) // _NUMBERS_BYTES)
        return struct.unpack(f">{len(data) // 2}H", data)

    def u32_vector(self) -> tuple[int, ...]:
        data = self.opaque()
        if len(data) % 4:
            raise MlsError(MlsFault.VECTOR_NOT_WHOLE)
        self._count(len(data) // _NUMBERS_BYTES)
        return struct.unpack(f">{len(data) // 4}I", data)

    def optional(self, value: Callable[[Reader], T]) -> T | None:
        present = self.u8()
        if present > 1:
            raise MlsError(MlsFault.OPTIONAL_INVALID)
        return value(self) if present else None

    def _count(self, elements: int) -> None:
        self._elements_left -= elements
        if self._elements_left < 0:
            raise MlsError(MlsFault.TOO_LARGE, "too many elements of vectors")

    def rest(self) -> bytes:
        """All that has not been read."""
        return self.raw(self.end - self.position)

    def done(self) -> None:
        """Return if everything has been read."""
        if self.position != self.end:
            raise MlsError(MlsFault.TRAILING_BYTES)


def decode(data: bytes, value: Callable[[Reader], T], bound: InputBound = FOREIGN) -> T:
    """The one value that `data` encodes, and nothing after it."""
    reader = Reader(data, bound)
    result = value(reader)
    reader.done()
    return result
