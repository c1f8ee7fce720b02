"""Ed25519 with labels (RFC 9420 §5.1.2). Verification is libsodium's alone.

OpenSSL accepts signatures under low-order public keys, for which anyone can make one that fits every message.
"""

from __future__ import annotations

from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from waypost.mls.base.codec import opaque
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import labelled

PUBLIC_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

# The registered labels (§17.6).
FRAMED_CONTENT: Final = b"FramedContentTBS"
LEAF_NODE: Final = b"LeafNodeTBS"
KEY_PACKAGE: Final = b"KeyPackageTBS"
GROUP_INFO: Final = b"GroupInfoTBS"


class SignatureKey:
    """A signature key pair from its 32-byte seed. Raises MlsError(BAD_SECRET_KEY) for a seed of another length."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise MlsError(MlsFault.BAD_SECRET_KEY, f"a seed of {len(seed)} bytes")
        self.seed: Final = seed
        public, self._secret = bindings.crypto_sign_seed_keypair(seed)
        self.public: Final[bytes] = public

    def sign_with_label(self, label: bytes, content: bytes) -> bytes:
        """SignWithLabel."""
        return bindings.crypto_sign(labelled(label) + opaque(content), self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SignatureKey(public={self.public[:8].hex()}…)"


def verify_with_label(public: bytes, label: bytes, content: bytes, signature: bytes) -> bool:
    """VerifyWithLabel: True if it verifies. Keys of low order never do."""
    # The binding checks neither length: a short key would make libsodium read beyond it.
    if len(public) != PUBLIC_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        bindings.crypto_sign_open(b"".join((signature, labelled(label), opaque(content))), public)
    except BadSignatureError:
        return False
    return True


def check_signature_key(public: bytes) -> None:
    """Return if that is a canonical point of the prime-order group. Raises MlsError(BAD_SIGNATURE_KEY).

    For keys that come without a signature of theirs beside them; `verify_with_label` refuses bad keys itself.
    """
    if len(public) != PUBLIC_BYTES or not bindings.crypto_core_ed25519_is_valid_point(public):
        raise MlsError(MlsFault.BAD_SIGNATURE_KEY)
