import hashlib
import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.vectors import load_vectors

from waypost.crypto.kem import ENC_BYTES, OVERHEAD_BYTES, PUBLIC_BYTES, KemKey, derive_seed, seal_to, self_test
from waypost.errors import Code, LocalError, PeerFault

KEY = KemKey(bytes(range(32)))
SEALED = seal_to(KEY.public, b"info", b"plaintext")


def schedule_seal(shared_secret: bytes, info: bytes, plaintext: bytes) -> bytes:
    """RFC 9180 §5.1 and §5.2 in base mode, written out, for ciphertexts from a given shared secret."""
    suite = b"HPKE" + (0x647A).to_bytes(2, "big") + (1).to_bytes(2, "big") + (3).to_bytes(2, "big")

    def extract(salt: bytes, label: bytes, ikm: bytes) -> bytes:
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")

    def expand(prk: bytes, label: bytes, context: bytes, size: int) -> bytes:
        text = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + context
        return hmac.digest(prk, text + b"\x01", "sha256")[:size]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    secret = extract(shared_secret, b"secret", b"")
    key, nonce = expand(secret, b"key", context, 32), expand(secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, b"")


def hpke_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = load_vectors("hpke/xwing.json")
    assert {case["kem_id"] for case in cases} == {0x647A}
    return cases


def test_hpke_vectors_give_public_key_and_key_pair() -> None:
    for case in hpke_cases():
        seed = bytes.fromhex(case["skRm"])
        assert derive_seed(bytes.fromhex(case["ikmR"])) == seed
        assert KemKey(seed).public.hex() == case["pkRm"]


def test_hpke_vector_of_our_suite_opens() -> None:
    case = next(case for case in hpke_cases() if (case["kdf_id"], case["aead_id"]) == (1, 3))
    key, info, enc = KemKey(bytes.fromhex(case["skRm"])), bytes.fromhex(case["info"]), bytes.fromhex(case["enc"])
    secret = bytes.fromhex(case["shared_secret"])
    # The vector's own ciphertexts have associated data, which the single-shot interface lacks.
    assert key.open(info, enc + schedule_seal(secret, info, b"with these keys")) == b"with these keys"
    assert len(enc) == ENC_BYTES


def test_kem_vectors_decapsulate() -> None:
    for case in load_vectors("hpke/xwing-kem.json"):
        key = KemKey(bytes.fromhex(case["seed"]))
        assert key.public.hex() == case["pk"]
        sealed = bytes.fromhex(case["ct"]) + schedule_seal(bytes.fromhex(case["ss"]), b"info", b"x")
        assert key.open(b"info", sealed) == b"x"


@settings(max_examples=20)
@given(st.binary(max_size=200), st.binary(max_size=200), st.binary(min_size=32, max_size=32))
def test_round_trip(info: bytes, plaintext: bytes, seed: bytes) -> None:
    key = KemKey(seed)
    sealed = seal_to(key.public, info, plaintext)
    assert len(sealed) == len(plaintext) + OVERHEAD_BYTES
    assert KemKey(seed).open(info, sealed) == plaintext


def test_sealing_twice_differs() -> None:
    assert seal_to(KEY.public, b"info", b"plaintext") != SEALED


def cannot_open(key: KemKey, info: bytes, sealed: bytes) -> bool:
    try:
        key.open(info, sealed)
    except LocalError as error:
        return error.code is Code.CANNOT_DECRYPT and not error.detail
    return False


@given(st.integers(0, len(SEALED) * 8 - 1))
def test_one_flipped_bit_does_not_open(bit: int) -> None:
    altered = bytearray(SEALED)
    altered[bit // 8] ^= 1 << bit % 8
    # X25519 ignores the top bit of the last byte of the encapsulation, X-Wing's hash does not.
    assert cannot_open(KEY, b"info", bytes(altered))


@given(st.binary(max_size=1_300))
def test_anything_else_does_not_open(sealed: bytes) -> None:
    assert cannot_open(KEY, b"info", sealed)


def test_wrong_info_key_or_length_does_not_open() -> None:
    assert cannot_open(KEY, b"other", SEALED)
    assert cannot_open(KemKey(bytes(32)), b"info", SEALED)
    assert all(cannot_open(KEY, b"info", SEALED[:size]) for size in (0, 1, 1_087, 1_088, 1_119, 1_120, 1_135))
    zero_point = SEALED[:1_088] + bytes(32) + SEALED[1_120:]
    assert cannot_open(KEY, b"info", zero_point)


@pytest.mark.parametrize(
    "public",
    [
        b"",
        KEY.public[:-1],
        KEY.public + b"\0",
        b"\xff" * PUBLIC_BYTES,  # coefficients beyond the modulus
        KEY.public[:1_184] + bytes(32),  # low-order X25519 point
        KEY.public[:1_184] + b"\x01" + bytes(31),
    ],
)
def test_unusable_public_key_is_the_publishers_fault(public: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        seal_to(public, b"info", b"plaintext")
    assert caught.value.code is Code.BAD_PACKAGE


@pytest.mark.parametrize("size", [0, 31, 33, 96])
def test_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        KemKey(bytes(size))


def test_repr_does_not_show_the_seed() -> None:
    KEY.open(b"info", SEALED)
    assert KEY.seed.hex() not in repr(KEY)
    assert hashlib.shake_256(KEY.seed).hexdigest(96)[:16] not in repr(KEY)


def test_this_machine_passes_the_self_test() -> None:
    self_test()
