"""Padmé padding with a floor, so that a ciphertext's length tells little about the text.

Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019) rounds a
length up so that only its leading bits count: at most 12 % more, and log log many distinct sizes. The padding is one
byte 0x80 and then zeros (ISO/IEC 7816-4), all of it inside the encryption.
"""

from __future__ import annotations

from typing import Final

from waypost.errors import Code, PeerFault

#: Short texts, which are most, are all of this one size.
FLOOR_BYTES: Final = 256

_MARK: Final = b"\x80"


def padded_length(size: int) -> int:
    """How long `size` bytes become, the mark included: at least 256."""
    wanted = size + len(_MARK)
    if wanted <= FLOOR_BYTES:
        return FLOOR_BYTES
    exponent = wanted.bit_length() - 1
    low_bits = exponent - exponent.bit_length()
    return -(-wanted >> low_bits) << low_bits


def pad(data: bytes) -> bytes:
    """The data, the mark, and zeros up to `padded_length(len(data))`."""
    return (data + _MARK).ljust(padded_length(len(data)), b"\0")


def unpad(padded: bytes) -> bytes:
    """The reverse of `pad`.

    Raises PeerFault(MALFORMED_ENVELOPE) for anything that `pad` does not make, a length of the sender's own choosing
    included: that would give away what padding is there to hide.
    """
    marked = padded.rstrip(b"\0")
    data = marked[:-1]
    if not marked.endswith(_MARK) or len(padded) != padded_length(len(data)):
        raise PeerFault(Code.MALFORMED_ENVELOPE, "padding is wrong")
    return data
