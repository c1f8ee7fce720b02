"""Hash, MAC and KDF of RFC 9420 §5 and §8. Every suite here has SHA-256, so that Nh is 32 throughout."""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache
from typing import Final

from waypost.mls.base.codec import opaque, u16, u32

#: KDF.Nh: the size of a hash, a MAC and a secret.
NH: Final = 32
ZERO: Final = bytes(NH)

_LABEL: Final = b"MLS 1.0 "
#: The RFC has a few dozen labels; applications make their own for the exporter, and nobody knows how many.
_LABELS_MAX: Final = 128


def hash_(data: bytes) -> bytes:
    """Hash(data)."""
    return hashlib.sha256(data).digest()


def mac(key: bytes, data: bytes) -> bytes:
    """MAC(key, data): HMAC, as for the cipher suites of §17.1."""
    return hmac.digest(key, data, "sha256")


def extract(salt: bytes, ikm: bytes) -> bytes:
    """KDF.Extract of HKDF (RFC 5869 §2.2)."""
    return hmac.digest(salt, ikm, "sha256")


def expand(secret: bytes, info: bytes, length: int) -> bytes:
    """KDF.Expand of HKDF (RFC 5869 §2.3)."""
    block = hmac.digest(secret, info + b"\x01", "sha256")
    if length <= NH:
        return block[:length]
    blocks = [block]
    for counter in range(2, -(-length // NH) + 1):
        block = hmac.digest(secret, block + info + counter.to_bytes(1, "big"), "sha256")
        blocks.append(block)
    return b"".join(blocks)[:length]


@lru_cache(_LABELS_MAX)
def labelled(label: bytes) -> bytes:
    """`opaque label<V>` with the prefix that all labels have."""
    return opaque(_LABEL + label)


def expand_with_label(secret: bytes, label: bytes, context: bytes, length: int) -> bytes:
    """ExpandWithLabel (§8)."""
    return expand(secret, u16(length) + labelled(label) + opaque(context), length)


def derive_secret(secret: bytes, label: bytes) -> bytes:
    """DeriveSecret (§8)."""
    return expand_with_label(secret, label, b"", NH)


def derive_tree_secret(secret: bytes, label: bytes, generation: int, length: int) -> bytes:
    """DeriveTreeSecret (§9.1)."""
    return expand_with_label(secret, label, u32(generation), length)


def ref_hash(label: bytes, value: bytes) -> bytes:
    """RefHash (§5.2); the label comes whole."""
    return hash_(opaque(label) + opaque(value))


def make_key_package_ref(encoded: bytes) -> bytes:
    """MakeKeyPackageRef (§5.2) of an encoded KeyPackage."""
    return ref_hash(b"MLS 1.0 KeyPackage Reference", encoded)


def make_proposal_ref(encoded: bytes) -> bytes:
    """MakeProposalRef (§5.2) of the encoded AuthenticatedContent that carries the proposal."""
    return ref_hash(b"MLS 1.0 Proposal Reference", encoded)
