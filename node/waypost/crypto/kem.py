"""HPKE base mode (RFC 9180) with X-Wing: KEM 0x647a, HKDF-SHA256, ChaCha20-Poly1305, single-shot.

X-Wing is ML-KEM-768 and X25519 joined (draft-connolly-cfrg-xwing-kem); HPKE over it follows draft-ietf-hpke-pq. A key
is its 32-byte seed, expanded by SHAKE256 to the 64-byte ML-KEM seed and the 32-byte X25519 secret.
"""

from __future__ import annotations

import hashlib
from functools import cache, cached_property
from typing import Final

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from waypost.errors import Code, LocalError, PeerFault

SEED_BYTES: Final = 32
PUBLIC_BYTES: Final = 1_216
ENC_BYTES: Final = 1_120
#: What `seal_to` adds to a plaintext: the encapsulation and the tag.
OVERHEAD_BYTES: Final = ENC_BYTES + 16

_MLKEM_SEED_BYTES: Final = 64
_MLKEM_PUBLIC_BYTES: Final = 1_184
_KEM_ID: Final = 0x647A


class KemKey:
    """An X-Wing key pair from its 32-byte seed. Raises ValueError for a seed of another length.

    Expanding the seed costs about 0.1 ms and is done at the first use, once: a device holds many keys and uses few.
    """

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an X-Wing seed has {SEED_BYTES} bytes, not {len(seed)}")
        self.seed: Final = bytes(seed)

    @cached_property
    def parts(self) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
        """The two keys that the seed expands to."""
        expanded = hashlib.shake_256(self.seed).digest(_MLKEM_SEED_BYTES + 32)
        return (
            MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
            X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
        )

    @cached_property
    def loaded(self) -> hpke.MLKEM768X25519PrivateKey:
        """The key as HPKE suites of `cryptography` take it, whatever their AEAD."""
        return hpke.MLKEM768X25519PrivateKey(*self.parts)

    @cached_property
    def public(self) -> bytes:
        """1,216 bytes: the ML-KEM-768 key, then the X25519 key."""
        mlkem, x25519 = self.parts
        return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()

    def open(self, info: bytes, sealed: bytes) -> bytes:
        """The plaintext of what `seal_to(self.public, info, …)` returned. Raises LocalError(CANNOT_DECRYPT)."""
        try:
            return _suite().decrypt(sealed, self.loaded, info)
        except (InvalidTag, ValueError):
            # No details: which part failed is nobody's business.
            raise LocalError(Code.CANNOT_DECRYPT) from None

    def __repr__(self) -> str:
        return f"KemKey(public={self.public[:8].hex()}…)"


def seal_to(public: bytes, info: bytes, plaintext: bytes) -> bytes:
    """`enc ‖ ciphertext`, `OVERHEAD_BYTES` longer than the plaintext; it says nothing about who made it.

    The library draws the encapsulation's randomness itself, so the result differs from call to call.
    Raises PeerFault(BAD_PACKAGE) for bytes that are not a usable X-Wing public key.
    """
    try:
        key = hpke.MLKEM768X25519PublicKey(
            MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_PUBLIC_BYTES]),
            X25519PublicKey.from_public_bytes(public[_MLKEM_PUBLIC_BYTES:]),
        )
        return _suite().encrypt(plaintext, key, info)
    except ValueError:
        # A wrong length, a coefficient out of range (FIPS 203 §7.2), or a low-order X25519 point.
        raise PeerFault(Code.BAD_PACKAGE, "not an X-Wing public key") from None


def derive_seed(ikm: bytes) -> bytes:
    """DeriveKeyPair of draft-ietf-hpke-pq: the 32-byte X-Wing seed for input keying material of any length."""
    labelled = b"".join(
        (
            ikm,
            b"HPKE-v1",
            b"KEM",
            _KEM_ID.to_bytes(2, "big"),
            _prefixed(b"DeriveKeyPair"),
            SEED_BYTES.to_bytes(2, "big"),
        )
    )
    return hashlib.shake_256(labelled).digest(SEED_BYTES)


def self_test() -> None:
    """Return if the OpenSSL underneath can do all of the above. Raises LocalError(UNSUPPORTED).

    A `cryptography` from a distribution may stand on an OpenSSL older than 3.5, which lacks ML-KEM.
    """
    try:
        key = KemKey(bytes(SEED_BYTES))
        if key.open(b"self-test", seal_to(key.public, b"self-test", b"waypost")) == b"waypost":
            return
    except (UnsupportedAlgorithm, LocalError, PeerFault):
        pass
    raise LocalError(Code.UNSUPPORTED, "this OpenSSL has no ML-KEM-768: install the `cryptography` wheel from PyPI")


def _prefixed(label: bytes) -> bytes:
    return len(label).to_bytes(2, "big") + label


@cache
def _suite() -> hpke.Suite:
    # Made at the first use, not at import: if an old OpenSSL fails here, `self_test` must be able to say so.
    return hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
