"""Numbers that people compare to make sure of a key.

A half is Signal's NumericFingerprint, version 2: SHA-512 iterated 5,200 times over the key and a stable identifier, the
first 30 bytes as six groups of five digits. The iterations make it dear to search for a key with a similar number. A
safety number is both halves, sorted, so that both sides see the same.
"""

from __future__ import annotations

import hashlib
from typing import Final

GROUP_DIGITS: Final = 5

_ROUNDS: Final = 5_200
_VERSION: Final = b"\0\0"
#: Signal puts a type byte before its keys, 5 for Curve25519. Ours are Ed25519 and must never be taken for those.
_ED25519: Final = b"\x01"
_NODE_LABEL: Final = b"waypost/1 node fingerprint\0"
_HALF_GROUPS: Final = 6
_NODE_GROUPS: Final = 12


def fingerprint(key: bytes, identifier: bytes) -> str:
    """30 digits for an identity key (32 bytes, Ed25519) and its owner's stable identifier (the address text)."""
    return _half(_ED25519 + key, identifier)


def safety_number(my_key: bytes, my_id: bytes, their_key: bytes, their_id: bytes) -> str:
    """60 digits, the same on both sides; takes about 10 ms."""
    return "".join(sorted((fingerprint(my_key, my_id), fingerprint(their_key, their_id))))


def node_fingerprint(key: bytes, provider: str) -> str:
    """60 digits in 12 groups, for a node's key and the provider name that it claims.

    The label `waypost/1 node fingerprint`, a zero byte, key and name take the place of Signal's version, key and
    identifier.
    """
    return grouped(_digits(_NODE_LABEL + key + provider.encode("ascii"), key, _NODE_GROUPS))


def grouped(digits: str) -> str:
    """The digits in groups of five with spaces between, as they are shown."""
    return " ".join(digits[at : at + GROUP_DIGITS] for at in range(0, len(digits), GROUP_DIGITS))


def _half(typed_key: bytes, identifier: bytes) -> str:
    return _digits(_VERSION + typed_key + identifier, typed_key, _HALF_GROUPS)


def _digits(start: bytes, key: bytes, groups: int) -> str:
    digest = start
    for _ in range(_ROUNDS):
        digest = hashlib.sha512(digest + key).digest()
    numbers = (int.from_bytes(digest[at : at + 5], "big") % 100_000 for at in range(0, groups * 5, 5))
    return "".join(f"{number:0{GROUP_DIGITS}d}" for number in numbers)
