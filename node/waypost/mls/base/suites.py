"""The cipher suites (RFC 9420 §5.1, §17.1) and what depends on them: HPKE and the AEAD."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305

from waypost.mls.base.codec import opaque
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import Kem, PrivateKey, Randomness, X25519Kem, XWingKem, export_secret
from waypost.mls.base.kdf import labelled

#: AEAD.Nn.
NONCE_BYTES: Final = 12

# The registered labels (§17.7).
UPDATE_PATH_NODE: Final = b"UpdatePathNode"
WELCOME: Final = b"Welcome"

_EXTERNAL_INIT: Final = b"MLS 1.0 external init secret"


class CipherSuite:
    """One suite. All have SHA-256 and Ed25519, so only KEM and AEAD differ."""

    def __init__(self, value: int, kem: Kem, aead: type[AESGCM | ChaCha20Poly1305]) -> None:
        self.value: Final = value
        self.kem: Final = kem
        self.aead: Final = aead
        #: AEAD.Nk.
        self.key_bytes: Final = 16 if aead is AESGCM else 32
        self._aead_id: Final = 0x0001 if aead is AESGCM else 0x0003

    @cached_property
    def _hpke(self) -> hpke.Suite:
        # Made at the first use: an OpenSSL without ML-KEM fails here, for the suite that needs it alone.
        kem = hpke.KEM.X25519 if isinstance(self.kem, X25519Kem) else hpke.KEM.MLKEM768_X25519
        aead = hpke.AEAD.AES_128_GCM if self.aead is AESGCM else hpke.AEAD.CHACHA20_POLY1305
        return hpke.Suite(kem, hpke.KDF.HKDF_SHA256, aead)

    def derive_key_pair(self, ikm: bytes) -> PrivateKey:
        """KEM.DeriveKeyPair."""
        return self.kem.derive_key_pair(ikm)

    def encrypt_with_label(self, public: bytes, label: bytes, context: bytes, plaintext: bytes) -> tuple[bytes, bytes]:
        """EncryptWithLabel (§5.1.3): kem_output and ciphertext. Raises MlsError(BAD_HPKE_KEY)."""
        key = self.kem.public_key(public)
        try:
            sealed = self._hpke.encrypt(plaintext, key, labelled(label) + opaque(context))
        except ValueError:
            # An X25519 point of low order.
            raise MlsError(MlsFault.BAD_HPKE_KEY) from None
        size = self.kem.enc_bytes
        return sealed[:size], sealed[size:]

    def decrypt_with_label(self, key: PrivateKey, label: bytes, context: bytes, sealed: tuple[bytes, bytes]) -> bytes:
        """DecryptWithLabel (§5.1.3) of kem_output and ciphertext. Raises MlsError(HPKE_OPEN_FAILED)."""
        kem_output, ciphertext = sealed
        if len(kem_output) != self.kem.enc_bytes:
            raise MlsError(MlsFault.HPKE_OPEN_FAILED)
        return key.open(self._hpke, kem_output + ciphertext, labelled(label) + opaque(context))

    def external_init_send(self, external_pub: bytes, random: Randomness) -> tuple[bytes, bytes]:
        """The init secret of an external commit and its kem_output (§8.3). Raises MlsError(BAD_HPKE_KEY)."""
        shared, kem_output = self.kem.encapsulate(external_pub, random)
        return export_secret(self.kem.kem_id, self._aead_id, shared, _EXTERNAL_INIT), kem_output

    def external_init_receive(self, external_priv: PrivateKey, kem_output: bytes) -> bytes:
        """The same init secret on the other side. Raises MlsError(HPKE_OPEN_FAILED)."""
        if len(kem_output) != self.kem.enc_bytes:
            raise MlsError(MlsFault.HPKE_OPEN_FAILED)
        shared = external_priv.decapsulate(kem_output)
        return export_secret(self.kem.kem_id, self._aead_id, shared, _EXTERNAL_INIT)

    def __repr__(self) -> str:
        return f"CipherSuite(0x{self.value:04x})"


X25519_AES128: Final = CipherSuite(0x0001, X25519Kem(), AESGCM)
X25519_CHACHA20: Final = CipherSuite(0x0003, X25519Kem(), ChaCha20Poly1305)
#: draft-ietf-mls-pq-ciphersuites has no number yet; until it has, one of private use.
XWING_AES128: Final = CipherSuite(0xF001, XWingKem(), AESGCM)

SUITES: Final = {suite.value: suite for suite in (X25519_AES128, X25519_CHACHA20, XWING_AES128)}


def cipher_suite(value: int) -> CipherSuite:
    """The suite of that number. Raises MlsError(UNKNOWN_SUITE)."""
    suite = SUITES.get(value)
    if suite is None:
        raise MlsError(MlsFault.UNKNOWN_SUITE, f"0x{value:04x}")
    return suite
