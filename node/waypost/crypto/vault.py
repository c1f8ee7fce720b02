"""Small secrets at rest under a passphrase: Argon2id (RFC 9106, one lane) and ChaCha20-Poly1305.

Integers are unsigned and big-endian:

    blob     = header ‖ ciphertext ‖ checksum
    header   = magic ("waypost vault 1" and a zero byte) ‖ passes (4 bytes) ‖ KiB (4) ‖ salt (16) ‖ nonce (12)
    key      = Argon2id(passphrase in Unicode NFC and UTF-8, salt, passes, KiB of memory), 32 bytes
    checksum = BLAKE2b-128 of all before it

The header is the AEAD's associated data. The checksum protects nothing from an attacker: it tells a damaged file from a
wrong passphrase, before any memory is spent on it.
"""

from __future__ import annotations

import hashlib
import struct
import unicodedata
from dataclasses import dataclass
from typing import Final

import nacl.exceptions
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from nacl.pwhash import argon2id

from waypost.errors import Code, LocalError
from waypost.limits import VAULT_MEMORY_MAX_KIB, VAULT_PASSES_MAX, VAULT_SECRET_MAX_BYTES

SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12

_MAGIC: Final = b"waypost vault 1\0"
_HEADER: Final = struct.Struct(f">{len(_MAGIC)}sII{SALT_BYTES}s{NONCE_BYTES}s")
_TAG_BYTES: Final = 16
_CHECKSUM_BYTES: Final = 16
_MEMORY_MIN_KIB: Final = 8


@dataclass(frozen=True, slots=True)
class Cost:
    """What one try of a passphrase costs. Raises ValueError out of bounds."""

    passes: int
    memory_kib: int

    def __post_init__(self) -> None:
        if not 1 <= self.passes <= VAULT_PASSES_MAX:
            raise ValueError(f"1 to {VAULT_PASSES_MAX} passes, not {self.passes}")
        if not _MEMORY_MIN_KIB <= self.memory_kib <= VAULT_MEMORY_MAX_KIB:
            raise ValueError(f"{_MEMORY_MIN_KIB} to {VAULT_MEMORY_MAX_KIB} KiB, not {self.memory_kib}")


#: RFC 9106 §4's choice for machines short of memory, with one lane: some tenths of a second.
ORDINARY_COST: Final = Cost(passes=3, memory_kib=64 * 1024)


def lock(secret: bytes, passphrase: str, salt: bytes, nonce: bytes, cost: Cost) -> bytes:
    """The blob for a secret of at most VAULT_SECRET_MAX_BYTES. Salt and nonce are random and fresh for each call.

    Raises ValueError for wrong lengths, LocalError(UNSUPPORTED) where the memory cannot be had.
    """
    if len(secret) > VAULT_SECRET_MAX_BYTES or len(salt) != SALT_BYTES or len(nonce) != NONCE_BYTES:
        raise ValueError(f"salt {SALT_BYTES} bytes, nonce {NONCE_BYTES}, secret at most {VAULT_SECRET_MAX_BYTES}")
    header = _HEADER.pack(_MAGIC, cost.passes, cost.memory_kib, salt, nonce)
    sealed = header + ChaCha20Poly1305(_derive(passphrase, salt, cost)).encrypt(nonce, secret, header)
    return sealed + _checksum(sealed)


def unlock(blob: bytes, passphrase: str) -> bytes:
    """The secret.

    Raises LocalError: STATE_DAMAGED for anything that `lock` did not make, a cost beyond the bounds included;
    WRONG_PASSPHRASE; UNSUPPORTED where the memory cannot be had.
    """
    longest = _HEADER.size + VAULT_SECRET_MAX_BYTES + _TAG_BYTES + _CHECKSUM_BYTES
    sealed, checksum = blob[:-_CHECKSUM_BYTES], blob[-_CHECKSUM_BYTES:]
    if not _HEADER.size + _TAG_BYTES + _CHECKSUM_BYTES <= len(blob) <= longest or checksum != _checksum(sealed):
        raise LocalError(Code.STATE_DAMAGED, "the locked secret is damaged")
    magic, passes, memory_kib, salt, nonce = _HEADER.unpack_from(sealed)
    try:
        cost = Cost(passes, memory_kib)
    except ValueError as error:
        raise LocalError(Code.STATE_DAMAGED, f"the locked secret asks for too much: {error}") from None
    if magic != _MAGIC:
        raise LocalError(Code.STATE_DAMAGED, "not a locked secret")
    key = _derive(passphrase, salt, cost)
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed[_HEADER.size :], sealed[: _HEADER.size])
    except InvalidTag:
        raise LocalError(Code.WRONG_PASSPHRASE) from None


def _derive(passphrase: str, salt: bytes, cost: Cost) -> bytes:
    # One keyboard sends ü as one code point, another as two. Bytes that no encoding explains still make a passphrase.
    text = unicodedata.normalize("NFC", passphrase).encode("utf-8", "surrogatepass")
    try:
        return argon2id.kdf(32, text, salt, opslimit=cost.passes, memlimit=cost.memory_kib * 1024)
    except nacl.exceptions.RuntimeError:
        raise LocalError(Code.UNSUPPORTED, f"{cost.memory_kib // 1024} MiB of memory are needed") from None


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=_CHECKSUM_BYTES).digest()
