"""msgpack as nobody writes it: every value in the longest form that means the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec


def longest(value: Any) -> bytes:
    """Integers in nine bytes, lengths in four. Takes what messages are made of."""
    match value:
        case bool():
            return b"\xc3" if value else b"\xc2"
        case int() if value >= 0:
            return b"\xcf" + int(value).to_bytes(8, "big")
        case int():
            return b"\xd3" + int(value).to_bytes(8, "big", signed=True)
        case bytes():
            return b"\xc6" + len(value).to_bytes(4, "big") + value
        case str():
            data = value.encode()
            return b"\xdb" + len(data).to_bytes(4, "big") + data
        case list() | tuple():
            return array(*map(longest, value))
        case _:
            raise TypeError(f"no msgpack for {type(value).__name__}")


def array(*encoded: bytes) -> bytes:
    """An array of elements that are encoded already, with the longest header."""
    return b"\xdd" + len(encoded).to_bytes(4, "big") + b"".join(encoded)


def fields(struct: msgspec.Struct) -> list[Any]:
    """A structure or message as plain values, its type number included."""
    built: list[Any] = msgspec.to_builtins(struct, builtin_types=(bytes,))
    return list(built)


def stretched(struct: msgspec.Struct, *more: bytes) -> bytes:
    """A structure in the longest form, with further elements, encoded already, behind its own."""
    return array(*map(longest, fields(struct)), *more)


def shortened(struct: msgspec.Struct, count: int) -> list[Any]:
    """A structure without its last elements."""
    values: Sequence[Any] = fields(struct)
    return list(values[: len(values) - count])


#: What a receiver must pass over behind the fields that it knows: a map, an extension, a float, nil, text that is no
#: UTF-8, and a nest 20 deep.
STRANGE = (
    b"\x82\xa1a\x01\x93\x01\x02\x03\xc0",
    b"\xd4\x05\x00",
    b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",
    b"\xc0",
    b"\xa2\xff\xfe",
    b"\x91" * 20 + b"\xc0",
)
