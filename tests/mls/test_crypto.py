from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts.support.mls.members import Seeded
from tests.mls.world import refused
from tests.vectors import load_vectors

from waypost.mls.base.codec import opaque
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import XWingKem
from waypost.mls.base.kdf import expand
from waypost.mls.base.signing import SignatureKey, check_signature_key, verify_with_label
from waypost.mls.base.suites import SUITES, X25519_AES128, XWING_AES128, CipherSuite, cipher_suite

EVERY_SUITE = pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
LOW_ORDER_ED25519 = [bytes(32), b"\x01" + bytes(31), bytes.fromhex("ec" + "ff" * 30 + "7f")]


@EVERY_SUITE
def test_what_is_encrypted_with_a_label_decrypts_with_it_alone(suite: CipherSuite) -> None:
    key = suite.derive_key_pair(b"ikm")
    sealed = suite.encrypt_with_label(key.public, b"label", b"context", b"secret")
    assert suite.decrypt_with_label(key, b"label", b"context", sealed) == b"secret"
    refused(lambda: suite.decrypt_with_label(key, b"other", b"context", sealed), MlsFault.HPKE_OPEN_FAILED)
    refused(lambda: suite.decrypt_with_label(key, b"label", b"other", sealed), MlsFault.HPKE_OPEN_FAILED)
    other = suite.derive_key_pair(b"other")
    refused(lambda: suite.decrypt_with_label(other, b"label", b"context", sealed), MlsFault.HPKE_OPEN_FAILED)
    for spoilt in ((b"", sealed[1]), (sealed[0][:-1], sealed[0][-1:] + sealed[1]), (sealed[0], b""), (b"", b"")):
        refused(partial(suite.decrypt_with_label, key, b"label", b"context", spoilt), MlsFault.HPKE_OPEN_FAILED)


@EVERY_SUITE
def test_both_sides_have_the_same_external_init_secret(suite: CipherSuite) -> None:
    key = suite.derive_key_pair(b"ikm")
    secret, kem_output = suite.external_init_send(key.public, Seeded())
    assert suite.external_init_receive(key, kem_output) == secret
    assert suite.external_init_receive(suite.derive_key_pair(b"other"), kem_output) != secret
    refused(lambda: suite.external_init_receive(key, kem_output[:-1]), MlsFault.HPKE_OPEN_FAILED)
    refused(lambda: suite.external_init_receive(key, bytes(len(kem_output))), MlsFault.HPKE_OPEN_FAILED)


@EVERY_SUITE
def test_keys_of_the_wrong_length_or_low_order_are_refused(suite: CipherSuite) -> None:
    public = suite.derive_key_pair(b"ikm").public
    head = public[:-32]
    for spoilt in (b"", public[:-1], public + b"\0", head + bytes(32), head + b"\x01" + bytes(31)):
        refused(partial(suite.kem.public_key, spoilt), MlsFault.BAD_HPKE_KEY)
        refused(partial(suite.external_init_send, spoilt, Seeded()), MlsFault.BAD_HPKE_KEY)
    refused(lambda: suite.kem.private_key(bytes(31)), MlsFault.BAD_SECRET_KEY)


def test_every_low_order_point_of_x25519_is_refused() -> None:
    prime = 2**255 - 19
    small = [
        325606250916557431795983626356110631294008115727848805560023387167927233504,
        39382357235489614581723060781553021112529911719440698176882885853963445705823,
    ]
    for number in (0, 1, prime - 1, prime, prime + 1, *small):
        for top in (0, 2**255):
            data = (number + top).to_bytes(32, "little")
            refused(partial(X25519_AES128.kem.public_key, data), MlsFault.BAD_HPKE_KEY)


def test_an_unknown_suite_is_refused() -> None:
    refused(lambda: cipher_suite(2), MlsFault.UNKNOWN_SUITE)


def xwing_cases() -> list[dict[str, Any]]:
    cases: list[dict[str, Any]] = load_vectors("hpke/xwing.json")
    return cases


def test_xwing_key_pairs_come_out_as_the_draft_says() -> None:
    for case in xwing_cases():
        key = XWING_AES128.derive_key_pair(bytes.fromhex(case["ikmR"]))
        assert (key.data.hex(), key.public.hex()) == (case["skRm"], case["pkRm"])


def test_xwing_decapsulates_as_the_draft_says() -> None:
    for case in xwing_cases():
        key = XWING_AES128.kem.private_key(bytes.fromhex(case["skRm"]))
        assert key.decapsulate(bytes.fromhex(case["enc"])).hex() == case["shared_secret"]
    for case in load_vectors("hpke/xwing-kem.json"):
        key = XWING_AES128.kem.private_key(bytes.fromhex(case["seed"]))
        assert key.public.hex() == case["pk"]
        assert key.decapsulate(bytes.fromhex(case["ct"])).hex() == case["ss"]


def test_xwing_encapsulation_is_what_decapsulates() -> None:
    key = XWING_AES128.derive_key_pair(b"ikm")
    secret, kem_output = XWingKem().encapsulate(key.public, Seeded())
    assert key.decapsulate(kem_output) == secret


@settings(max_examples=20)
@given(st.binary(max_size=100), st.binary(max_size=20))
def test_signatures_are_for_one_label_and_content(signed: bytes, label: bytes) -> None:
    key = SignatureKey(bytes(32))
    signature = key.sign_with_label(label, signed)
    assert verify_with_label(key.public, label, signed, signature)
    assert not verify_with_label(key.public, label + b"!", signed, signature)
    assert not verify_with_label(key.public, label, signed + b"!", signature)
    assert not verify_with_label(SignatureKey(b"\x01" * 32).public, label, signed, signature)
    assert not verify_with_label(key.public, label, signed, b"")
    assert not verify_with_label(key.public[:-1], label, signed, signature)
    assert not verify_with_label(b"", label, signed, signature)


@pytest.mark.parametrize("public", LOW_ORDER_ED25519, ids=bytes.hex)
def test_low_order_signature_keys_never_verify(public: bytes) -> None:
    # R = A's identity, S = 0: verifies under a low-order key in libraries that allow such keys.
    for signature in (bytes(64), b"\x01" + bytes(63)):
        assert not verify_with_label(public, b"label", b"content", signature)
    refused(lambda: check_signature_key(public), MlsFault.BAD_SIGNATURE_KEY)


def test_a_signature_key_is_a_point_and_a_seed_is_32_bytes() -> None:
    check_signature_key(SignatureKey(bytes(32)).public)
    for spoilt in (b"", bytes(31), b"\xff" * 32, b"\x02" + bytes(31)):
        refused(partial(check_signature_key, spoilt), MlsFault.BAD_SIGNATURE_KEY)
    refused(lambda: SignatureKey(bytes(31)), MlsFault.BAD_SECRET_KEY)


def test_expansion_beyond_one_block_continues_the_first() -> None:
    long = expand(b"secret" * 6, b"info", 100)
    assert len(long) == 100
    assert long[:32] == expand(b"secret" * 6, b"info", 32)
    assert len({long[0:32], long[32:64], long[64:96]}) == 3


def test_errors_have_each_number_once_and_say_where_it_is_demanded() -> None:
    numbers = [fault.number for fault in MlsFault]
    assert len(set(numbers)) == len(numbers)
    assert all(fault.clause.startswith("§") or fault.number >= 900 for fault in MlsFault)
    error = MlsError(MlsFault.TRUNCATED, "here")
    assert str(error) == "MLS 100: the input ends within a field: here (RFC 9420 §2.1)"
    assert opaque(b"") == b"\0"
