import hashlib
import struct

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given
from hypothesis import strategies as st
from nacl.pwhash import argon2id

from waypost.crypto.vault import Cost, lock, unlock
from waypost.errors import Code, LocalError
from waypost.limits import VAULT_MEMORY_MAX_KIB, VAULT_PASSES_MAX, VAULT_SECRET_MAX_BYTES

CHEAP = Cost(passes=1, memory_kib=8)
SALT, NONCE = bytes(range(16)), bytes(range(12))
BLOB = lock(b"the secret", "correct horse", SALT, NONCE, CHEAP)


def code_for(blob: bytes, passphrase: str = "correct horse") -> Code:
    with pytest.raises(LocalError) as caught:
        unlock(blob, passphrase)
    return caught.value.code


def with_checksum(sealed: bytes) -> bytes:
    return sealed + hashlib.blake2b(sealed, digest_size=16).digest()


@given(st.binary(max_size=300), st.text(max_size=30))
def test_round_trip(secret: bytes, passphrase: str) -> None:
    assert unlock(lock(secret, passphrase, SALT, NONCE, CHEAP), passphrase) == secret


def test_blob_is_as_documented() -> None:
    header = b"waypost vault 1\0" + struct.pack(">II", 1, 8) + SALT + NONCE
    key = argon2id.kdf(32, b"correct horse", SALT, opslimit=1, memlimit=8 * 1024)
    assert with_checksum(header + ChaCha20Poly1305(key).encrypt(NONCE, b"the secret", header)) == BLOB


def test_wrong_passphrase() -> None:
    assert code_for(BLOB, "wrong horse") is Code.WRONG_PASSPHRASE
    assert code_for(BLOB, "") is Code.WRONG_PASSPHRASE


def test_secret_and_passphrase_do_not_appear() -> None:
    assert b"secret" not in BLOB
    assert b"horse" not in BLOB


def test_composed_and_decomposed_spelling_are_one_passphrase() -> None:
    assert unlock(lock(b"s", "gr\u00fc\u00dfe", SALT, NONCE, CHEAP), "gru\u0308\u00dfe") == b"s"


def test_passphrase_of_undecodable_bytes() -> None:
    passphrase = b"\xff\xfe".decode("utf-8", "surrogateescape")
    assert unlock(lock(b"s", passphrase, SALT, NONCE, CHEAP), passphrase) == b"s"


@given(st.integers(0, len(BLOB) * 8 - 1))
def test_one_flipped_bit_is_damage(bit: int) -> None:
    altered = bytearray(BLOB)
    altered[bit // 8] ^= 1 << bit % 8
    assert code_for(bytes(altered)) is Code.STATE_DAMAGED


@given(st.binary(max_size=200))
def test_anything_else_is_damage(blob: bytes) -> None:
    assert code_for(blob) is Code.STATE_DAMAGED
    assert code_for(with_checksum(blob)) is Code.STATE_DAMAGED


@pytest.mark.parametrize("size", [0, 1, 16, 67, 68, 69, len(BLOB) - 1])
def test_cut_short_is_damage(size: int) -> None:
    assert code_for(BLOB[:size]) is Code.STATE_DAMAGED


@pytest.mark.parametrize(
    ("passes", "memory_kib"),
    [(0, 8), (1, 7), (1, 0), (VAULT_PASSES_MAX + 1, 8), (1, VAULT_MEMORY_MAX_KIB + 1), (1, 2**32 - 1), (2**32 - 1, 8)],
)
def test_hostile_cost_is_refused_before_it_is_spent(passes: int, memory_kib: int) -> None:
    sealed = BLOB[:16] + struct.pack(">II", passes, memory_kib) + BLOB[24:-16]
    assert code_for(with_checksum(sealed)) is Code.STATE_DAMAGED
    with pytest.raises(ValueError, match="not"):
        Cost(passes, memory_kib)


def test_altered_cost_or_salt_never_opens() -> None:
    dearer = BLOB[:16] + struct.pack(">II", 2, 8) + BLOB[24:-16]
    assert code_for(with_checksum(dearer)) is Code.WRONG_PASSPHRASE
    resalted = BLOB[:24] + bytes(16) + BLOB[40:-16]
    assert code_for(with_checksum(resalted)) is Code.WRONG_PASSPHRASE


def test_other_magic_is_damage() -> None:
    assert code_for(with_checksum(b"waypost vault 2\0" + BLOB[16:-16])) is Code.STATE_DAMAGED


def test_wrong_lengths_are_the_callers_fault() -> None:
    for secret, salt, nonce in [(b"", b"", NONCE), (b"", SALT, b""), (bytes(VAULT_SECRET_MAX_BYTES + 1), SALT, NONCE)]:
        with pytest.raises(ValueError, match="salt 16 bytes"):
            lock(secret, "p", salt, nonce, CHEAP)


def test_largest_secret() -> None:
    secret = bytes(VAULT_SECRET_MAX_BYTES)
    assert unlock(lock(secret, "p", SALT, NONCE, CHEAP), "p") == secret
    blob = lock(secret, "p", SALT, NONCE, CHEAP)
    assert code_for(with_checksum(blob[:-16] + b"\0"), "p") is Code.STATE_DAMAGED
