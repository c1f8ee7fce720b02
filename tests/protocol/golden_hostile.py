"""`tests/vectors/hostile.json`: bytes that must be refused, and with which code."""

from typing import Any

import msgpack
import msgspec
from tests.protocol import golden
from tests.protocol.golden_cast import BIRDY_NODE, FINCH_NODE, NOW_MS
from tests.protocol.golden_link import records

from waypost.crypto.keys import Purpose
from waypost.errors import Code
from waypost.limits import CLOCK_TOLERANCE_MS, FRAME_MAX_BYTES, RECORD_LIFETIME_MS
from waypost.protocol.directory.record import sign_record
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.messages import encode
from waypost.protocol.frames.signed import Signed

_ENVELOPE = [1, "finch.example", ["bob"], "alice@birdy.example", NOW_MS, 432_000, 0, "seal.1", b"\x01"]


def _frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def _said(*fields: Any) -> bytes:
    return _frame(msgpack.packb(list(fields)))


def frames() -> dict[str, tuple[bytes, Code]]:
    """On a proven link: each ends it."""
    ping = encode(golden.messages()["Ping"])
    return {
        "a length beyond the limit": ((FRAME_MAX_BYTES + 1).to_bytes(4, "big"), Code.FRAME_TOO_LARGE),
        "an empty frame": (_frame(b""), Code.BAD_FRAME),
        "an empty array": (_said(), Code.BAD_FRAME),
        "a map": (_frame(msgpack.packb({0: 10, 1: 1})), Code.BAD_FRAME),
        "bytes behind the array": (_frame(ping[4:] + b"\0"), Code.BAD_FRAME),
        "an array cut short": (_frame(ping[4:-1]), Code.BAD_FRAME),
        "type 0": (_said(0, 1), Code.UNKNOWN_TYPE),
        "type 13": (_said(13, 1), Code.UNKNOWN_TYPE),
        "a type that is no integer": (_said("10", 1), Code.BAD_FRAME),
        "a field missing": (_said(10), Code.BAD_FRAME),
        "a float for an integer": (_said(10, 1.0), Code.BAD_FRAME),
        "a boolean for an integer": (_said(10, True), Code.BAD_FRAME),
        "a negative integer": (_said(10, -1), Code.BAD_FRAME),
        "an integer beyond its bound": (_said(10, 2**32), Code.BAD_FRAME),
        "nil for a default": (_said(12, 150, None), Code.BAD_FRAME),
        "str for bin": (_said(2, "a" * 64), Code.BAD_FRAME),
        "bin for str": (_said(12, 150, b"bye"), Code.BAD_FRAME),
        "str that is not UTF-8": (_frame(b"\x93\x0c\x01\xa1\xff"), Code.BAD_FRAME),
        "bin of a wrong length": (_said(2, b"a" * 63), Code.BAD_FRAME),
        "a kind of notice beyond its bound": (_said(8, 2**16), Code.BAD_FRAME),
        "an unknown method": (_said(6, 1, [9, b""]), Code.BAD_FRAME),
        "an offer of nothing": (_said(3, 1, []), Code.BAD_FRAME),
    }


def envelopes() -> dict[str, tuple[bytes, Code]]:
    """Refused for good in a receipt; the link stays."""

    def with_(at: int, value: Any) -> bytes:
        packed: bytes = msgpack.packb([*_ENVELOPE[:at], value, *_ENVELOPE[at + 1 :]])
        return packed

    cases = {
        "an empty string of bytes": b"",
        "version 2": with_(0, 2),
        "no recipient": with_(2, []),
        "a recipient without characters": with_(2, [""]),
        "65 recipients": with_(2, ["bob"] * 65),
        "created at -1": with_(4, -1),
        "it lives no second": with_(5, 0),
        "it lives longer than 5 days": with_(5, 432_001),
        "class 2": with_(6, 2),
        "no suite": with_(7, ""),
        "str for the body": with_(8, "body"),
        "a field missing": msgpack.packb(_ENVELOPE[:-1]),
        "bytes behind the array": msgpack.packb(_ENVELOPE) + b"\0",
    }
    return {name: (data, Code.MALFORMED_ENVELOPE) for name, data in cases.items()}


def node_records() -> dict[str, tuple[bytes, Code]]:
    """At the time of the cast."""
    record, key = records()["active"]
    succession, new_key = records()["succession"]

    def with_(**fields: object) -> bytes:
        return sign_record(msgspec.structs.replace(record, **fields), key)

    payload = pack(record)
    return {
        "signed by another key": (
            pack(Signed(payload, BIRDY_NODE.sign(Purpose.NODE_RECORD, payload))),
            Code.BAD_SIGNATURE,
        ),
        "signed for another purpose": (
            pack(Signed(payload, FINCH_NODE.sign(Purpose.KEY_PACKAGE, payload))),
            Code.BAD_SIGNATURE,
        ),
        "a successor that the old key has not signed": (
            sign_record(msgspec.structs.replace(succession, old_signature=bytes(64)), new_key),
            Code.BAD_SIGNATURE,
        ),
        "a name that is not canonical": (with_(name="Finch.Example"), Code.BAD_FRAME),
        "issued in the future": (
            with_(issued_ms=NOW_MS + CLOCK_TOLERANCE_MS + 1, expires_ms=NOW_MS + 2 * CLOCK_TOLERANCE_MS),
            Code.CLOCK_SKEW,
        ),
        "expired": (with_(issued_ms=NOW_MS - 2, expires_ms=NOW_MS), Code.EXPIRED),
        "it lives longer than 30 days": (with_(expires_ms=NOW_MS + RECORD_LIFETIME_MS + 1), Code.EXPIRED),
        "version 2": (with_(version=2), Code.BAD_FRAME),
    }


def build() -> dict[str, Any]:
    """What the file holds."""
    return {
        "about": "Bytes that must be refused, in hexadecimal, and the number of the error (docs/protocol/errors.md).",
        "now_ms": NOW_MS,
        "frames": _rows(frames()),
        "envelopes": _rows(envelopes()),
        "records": _rows(node_records()),
    }


def _rows(cases: dict[str, tuple[bytes, Code]]) -> list[dict[str, Any]]:
    return [{"name": name, "bytes": data.hex(), "code": code.number} for name, (data, code) in cases.items()]
