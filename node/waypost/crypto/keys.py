"""Ed25519 signing keys (RFC 8032), one label per purpose, and envelope ids.

What is signed is always `waypost/1 `, the purpose, a zero byte and the payload, so a signature made for one purpose
never verifies for another. Verification is libsodium's alone: OpenSSL accepts signatures under low-order public keys,
for which anyone can make one that fits every message.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from enum import Enum
from typing import Final

from nacl import bindings
from nacl.exceptions import BadSignatureError

from waypost.errors import Code, LocalError, PeerFault
from waypost.ids import EnvelopeId

KEY_BYTES: Final = 32
SEED_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ENVELOPE_ID_BYTES: Final = 16

_KEY_TEXT_CHARS: Final = 52


class Purpose(Enum):
    """What a signature is for. Closed: a new kind of signed thing is a new member, never a free string."""

    NODE_RECORD = "node record"
    RECORD_SUCCESSION = "record succession"
    LINK_PROOF = "link proof"
    RECEIPT = "receipt"
    ANSWER = "answer"
    DEVICE_LIST = "device list"
    KEY_PACKAGE = "key package"
    CONTENT = "content"

    prefix: bytes  #: what stands before the payload in the signed bytes

    def __init__(self, what: str) -> None:
        # Kept on the member because every receipt needs it.
        self.prefix = b"waypost/1 " + what.encode("ascii") + b"\0"


class SigningKey:
    """An Ed25519 key pair from its 32-byte seed. Raises ValueError for a seed of another length."""

    __slots__ = ("_secret", "public", "seed")

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"an Ed25519 seed has {SEED_BYTES} bytes, not {len(seed)}")
        self.seed: Final = bytes(seed)
        public, self._secret = bindings.crypto_sign_seed_keypair(self.seed)
        self.public: Final[bytes] = public  #: 32 bytes

    def sign(self, purpose: Purpose, payload: bytes) -> bytes:
        """The 64-byte signature over the purpose's prefix and the payload."""
        return bindings.crypto_sign(purpose.prefix + payload, self._secret)[:SIGNATURE_BYTES]

    def __repr__(self) -> str:
        return f"SigningKey(public={key_text(self.public)})"


def verify(public: bytes, purpose: Purpose, payload: bytes, signature: bytes) -> None:
    """Return if the signature over purpose and payload is that key's.

    Raises PeerFault(BAD_SIGNATURE), also for a key or a signature of the wrong length and for low-order keys.
    """
    # The binding checks neither length: a short key would make libsodium read beyond it.
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        raise PeerFault(Code.BAD_SIGNATURE)
    try:
        bindings.crypto_sign_open(b"".join((signature, purpose.prefix, payload)), public)
    except BadSignatureError:
        raise PeerFault(Code.BAD_SIGNATURE) from None


def key_text(public: bytes) -> str:
    """A key as people copy it: 52 characters of lower-case base32 (RFC 4648 §6) without padding."""
    return base64.b32encode(public).decode("ascii").rstrip("=").lower()


def parse_key(text: str) -> bytes:
    """The reverse of `key_text`; upper case and surrounding space are forgiven. Raises LocalError(BAD_CONFIG)."""
    compact = text.strip().lower()
    try:
        public = base64.b32decode(compact.upper() + "====")
    except (binascii.Error, ValueError):
        public = b""
    # The last character carries four spare bits; only one spelling of a key is right.
    if len(public) != KEY_BYTES or key_text(public) != compact:
        detail = f"{text!r} is not a key: {_KEY_TEXT_CHARS} characters a–z and 2–7, as shown by the other side"
        raise LocalError(Code.BAD_CONFIG, detail)
    return public


def envelope_id(data: bytes) -> EnvelopeId:
    """BLAKE2b-128 (RFC 7693) of an envelope's bytes."""
    return EnvelopeId(hashlib.blake2b(data, digest_size=ENVELOPE_ID_BYTES).digest())
