"""HPKE (RFC 9180), base mode, over X25519 and X-Wing.

Seal and open are `cryptography`'s. What it lacks is written here: DeriveKeyPair (§7.1.3), and encapsulation with the
exporter (§5.3), which external commits need (RFC 9420 §8.3).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from nacl import bindings

from waypost.crypto import kem as xwing
from waypost.mls.base.codec import u16
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import NH, expand, extract

#: A source of that many random bytes. Everything random in this package comes from such an argument, except what
#: `cryptography` draws for a single-shot seal.
Randomness = Callable[[int], bytes]
PublicKey = X25519PublicKey | hpke.MLKEM768X25519PublicKey

_KDF_ID: Final = 0x0001
_MLKEM_ENC_BYTES: Final = 1_088
_MLKEM_PUBLIC_BYTES: Final = 1_184
#: A member encrypts to the same keys again and again. They are public, so they may stay in memory.
_LOADED_MAX: Final = 1_024
_XWING_LABEL: Final = rb"\.//^" + b"\\"


class PrivateKey(Protocol):
    """An HPKE private key. `data` is SerializePrivateKey's, `public` SerializePublicKey's."""

    data: bytes

    @property
    def public(self) -> bytes: ...

    def open(self, suite: hpke.Suite, sealed: bytes, info: bytes) -> bytes:
        """The plaintext of `kem_output ‖ ciphertext`. Raises MlsError(HPKE_OPEN_FAILED)."""

    def decapsulate(self, kem_output: bytes) -> bytes:
        """The shared secret. Raises MlsError(HPKE_OPEN_FAILED)."""


class Kem(Protocol):
    """One of the KEMs below."""

    kem_id: int
    enc_bytes: int

    def private_key(self, data: bytes) -> PrivateKey:
        """Raises MlsError(BAD_SECRET_KEY) for a wrong length."""

    def derive_key_pair(self, ikm: bytes) -> PrivateKey: ...

    def public_key(self, data: bytes) -> PublicKey:
        """Raises MlsError(BAD_HPKE_KEY) for bytes that are not a public key."""

    def encapsulate(self, public: bytes, random: Randomness) -> tuple[bytes, bytes]:
        """Shared secret and kem_output. Raises MlsError(BAD_HPKE_KEY)."""


class X25519Key:
    """A private key of DHKEM(X25519, HKDF-SHA256)."""

    def __init__(self, data: bytes) -> None:
        if len(data) != 32:
            raise MlsError(MlsFault.BAD_SECRET_KEY, f"an X25519 key of {len(data)} bytes")
        self.data = data

    @cached_property
    def public(self) -> bytes:
        return bindings.crypto_scalarmult_base(self.data)

    @cached_property
    def _loaded(self) -> X25519PrivateKey:
        return X25519PrivateKey.from_private_bytes(self.data)

    def open(self, suite: hpke.Suite, sealed: bytes, info: bytes) -> bytes:
        try:
            return suite.decrypt(sealed, self._loaded, info)
        except (InvalidTag, ValueError):
            raise MlsError(MlsFault.HPKE_OPEN_FAILED) from None

    def decapsulate(self, kem_output: bytes) -> bytes:
        try:
            shared = self._loaded.exchange(X25519PublicKey.from_public_bytes(kem_output))
        except ValueError:
            raise MlsError(MlsFault.HPKE_OPEN_FAILED) from None
        return _dhkem_secret(shared, kem_output + self.public)


class X25519Kem:
    """DHKEM(X25519, HKDF-SHA256)."""

    kem_id = 0x0020
    enc_bytes = 32

    def private_key(self, data: bytes) -> X25519Key:
        return X25519Key(data)

    def derive_key_pair(self, ikm: bytes) -> X25519Key:
        prk = _labelled_extract(_DHKEM_SUITE, b"", b"dkp_prk", ikm)
        return X25519Key(_labelled_expand(_DHKEM_SUITE, prk, b"sk", b"", 32))

    def public_key(self, data: bytes) -> X25519PublicKey:
        return _x25519_public(data)

    def encapsulate(self, public: bytes, random: Randomness) -> tuple[bytes, bytes]:
        ephemeral = X25519PrivateKey.from_private_bytes(random(32))
        kem_output = ephemeral.public_key().public_bytes_raw()
        try:
            shared = ephemeral.exchange(self.public_key(public))
        except ValueError:
            raise MlsError(MlsFault.BAD_HPKE_KEY) from None
        return _dhkem_secret(shared, kem_output + public), kem_output


class XWingKey:
    """A private key of X-Wing: a 32-byte seed."""

    def __init__(self, data: bytes) -> None:
        if len(data) != xwing.SEED_BYTES:
            raise MlsError(MlsFault.BAD_SECRET_KEY, f"an X-Wing seed of {len(data)} bytes")
        self.data = data
        self._key = xwing.KemKey(data)

    @property
    def public(self) -> bytes:
        return self._key.public

    def open(self, suite: hpke.Suite, sealed: bytes, info: bytes) -> bytes:
        try:
            return suite.decrypt(sealed, self._key.loaded, info)
        except (InvalidTag, ValueError):
            raise MlsError(MlsFault.HPKE_OPEN_FAILED) from None

    def decapsulate(self, kem_output: bytes) -> bytes:
        mlkem, x25519 = self._key.parts
        enc_x = kem_output[_MLKEM_ENC_BYTES:]
        try:
            secret_m = mlkem.decapsulate(kem_output[:_MLKEM_ENC_BYTES])
            secret_x = x25519.exchange(X25519PublicKey.from_public_bytes(enc_x))
        except ValueError:
            raise MlsError(MlsFault.HPKE_OPEN_FAILED) from None
        return _combine(secret_m, secret_x, enc_x, self.public[_MLKEM_PUBLIC_BYTES:])


class XWingKem:
    """X-Wing (draft-connolly-cfrg-xwing-kem) as a KEM of HPKE (draft-ietf-hpke-pq)."""

    kem_id = 0x647A
    enc_bytes = xwing.ENC_BYTES

    def private_key(self, data: bytes) -> XWingKey:
        return XWingKey(data)

    def derive_key_pair(self, ikm: bytes) -> XWingKey:
        return XWingKey(xwing.derive_seed(ikm))

    def public_key(self, data: bytes) -> hpke.MLKEM768X25519PublicKey:
        return hpke.MLKEM768X25519PublicKey(*_xwing_public(data))

    def encapsulate(self, public: bytes, random: Randomness) -> tuple[bytes, bytes]:
        mlkem, x25519 = _xwing_public(public)
        ephemeral = X25519PrivateKey.from_private_bytes(random(32))
        try:
            secret_m, enc_m = mlkem.encapsulate()
            secret_x = ephemeral.exchange(x25519)
        except ValueError:
            raise MlsError(MlsFault.BAD_HPKE_KEY) from None
        enc_x = ephemeral.public_key().public_bytes_raw()
        return _combine(secret_m, secret_x, enc_x, public[_MLKEM_PUBLIC_BYTES:]), enc_m + enc_x


def export_secret(kem_id: int, aead_id: int, shared_secret: bytes, context: bytes) -> bytes:
    """`context.export(…, Nh)` after SetupBaseS or SetupBaseR with an empty info (RFC 9180 §5.1, §5.3)."""
    suite = b"HPKE" + u16(kem_id) + u16(_KDF_ID) + u16(aead_id)
    psk_id_hash = _labelled_extract(suite, b"", b"psk_id_hash", b"")
    info_hash = _labelled_extract(suite, b"", b"info_hash", b"")
    secret = _labelled_extract(suite, shared_secret, b"secret", b"")
    exporter = _labelled_expand(suite, secret, b"exp", b"\0" + psk_id_hash + info_hash, NH)
    return _labelled_expand(suite, exporter, b"sec", context, NH)


_DHKEM_SUITE: Final = b"KEM" + u16(X25519Kem.kem_id)


# The points of order 1, 2, 4 and 8: with them every shared secret is zero.
_P: Final = 2**255 - 19
_LOW_ORDER: Final = frozenset(
    {
        0,
        1,
        0x00B8495F16056286FDB1329CEB8D09DA6AC49FF1FAE35616AEB8413B7C7AEBE0,
        0x57119FD0DD4E22D8868E1C58C45C44045BEF839C55B1D0B1248C50A3BC959C5F,
        _P - 1,
    }
)


@lru_cache(_LOADED_MAX)
def _x25519_public(data: bytes) -> X25519PublicKey:
    # Refused when it comes in, not when it is first used: else one member's key would stop everyone's commits.
    # X25519 takes several encodings of one point (RFC 7748 §5), of which only the canonical one is ever made: in
    # another a key that is in use would look like a new one.
    coordinate = int.from_bytes(data, "little")
    if coordinate >= _P or coordinate in _LOW_ORDER:
        raise MlsError(MlsFault.BAD_HPKE_KEY)
    try:
        return X25519PublicKey.from_public_bytes(data)
    except ValueError:
        raise MlsError(MlsFault.BAD_HPKE_KEY) from None


@lru_cache(_LOADED_MAX)
def _xwing_public(data: bytes) -> tuple[MLKEM768PublicKey, X25519PublicKey]:
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(data[:_MLKEM_PUBLIC_BYTES])
    except ValueError:
        raise MlsError(MlsFault.BAD_HPKE_KEY) from None
    return mlkem, _x25519_public(data[_MLKEM_PUBLIC_BYTES:])


def _labelled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return extract(salt, b"".join((b"HPKE-v1", suite, label, ikm)))


def _labelled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    return expand(prk, b"".join((u16(length), b"HPKE-v1", suite, label, info)), length)


def _dhkem_secret(shared: bytes, kem_context: bytes) -> bytes:
    prk = _labelled_extract(_DHKEM_SUITE, b"", b"eae_prk", shared)
    return _labelled_expand(_DHKEM_SUITE, prk, b"shared_secret", kem_context, NH)


def _combine(secret_m: bytes, secret_x: bytes, enc_x: bytes, public_x: bytes) -> bytes:
    return hashlib.sha3_256(b"".join((secret_m, secret_x, enc_x, public_x, _XWING_LABEL))).digest()
