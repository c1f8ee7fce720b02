import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl import bindings
from nacl.exceptions import BadSignatureError
from tests.vectors import load_vectors

from waypost.crypto.keys import Purpose, SigningKey, envelope_id, key_text, parse_key, verify
from waypost.errors import Code, LocalError, PeerFault

KEY = SigningKey(bytes(range(32)))


def refused(public: bytes, purpose: Purpose, payload: bytes, signature: bytes) -> bool:
    try:
        verify(public, purpose, payload, signature)
    except PeerFault as fault:
        return fault.code is Code.BAD_SIGNATURE
    return False


@pytest.mark.parametrize("purpose", Purpose)
def test_signature_verifies_for_its_own_purpose_and_no_other(purpose: Purpose) -> None:
    signature = KEY.sign(purpose, b"payload")
    accepted = [other for other in Purpose if not refused(KEY.public, other, b"payload", signature)]
    assert accepted == [purpose]


def test_signed_bytes_are_label_purpose_zero_payload() -> None:
    signature = KEY.sign(Purpose.NODE_RECORD, b"payload")
    signed = b"waypost/1 node record\0payload"
    assert bindings.crypto_sign_open(signature + signed, KEY.public) == signed


def test_no_purpose_is_the_beginning_of_another() -> None:
    prefixes = [purpose.prefix for purpose in Purpose]
    assert [(a, b) for a in prefixes for b in prefixes if a is not b and a.startswith(b)] == []


@given(st.binary(max_size=100), st.integers(0, 511), st.integers(0, 255))
def test_one_flipped_bit_is_refused(payload: bytes, signature_bit: int, key_bit: int) -> None:
    signature = bytearray(KEY.sign(Purpose.RECEIPT, payload))
    signature[signature_bit // 8] ^= 1 << signature_bit % 8
    public = bytearray(KEY.public)
    public[key_bit // 8] ^= 1 << key_bit % 8
    assert refused(KEY.public, Purpose.RECEIPT, payload, bytes(signature))
    assert refused(bytes(public), Purpose.RECEIPT, payload, KEY.sign(Purpose.RECEIPT, payload))
    assert refused(KEY.public, Purpose.RECEIPT, payload + b"\0", KEY.sign(Purpose.RECEIPT, payload))


@given(st.binary(max_size=70), st.binary(max_size=40))
def test_any_other_length_is_a_bad_signature(signature: bytes, public: bytes) -> None:
    assert refused(public, Purpose.ANSWER, b"", signature)


def test_wrong_lengths_are_refused_even_where_the_rest_fits() -> None:
    signature = KEY.sign(Purpose.ANSWER, b"payload")
    assert refused(KEY.public + b"\0", Purpose.ANSWER, b"payload", signature)
    assert refused(KEY.public[:31], Purpose.ANSWER, b"payload", signature)
    assert refused(KEY.public, Purpose.ANSWER, b"payload", signature[:63])
    assert refused(KEY.public, Purpose.ANSWER, b"payload", b"")


def test_signature_may_not_lend_bytes_to_the_message() -> None:
    prefix = Purpose.ANSWER.prefix
    signature = KEY.sign(Purpose.ANSWER, prefix + b"payload")
    assert refused(KEY.public, Purpose.ANSWER, b"payload", signature + prefix)


def test_identity_point_as_key_is_refused_for_every_purpose() -> None:
    # R = identity, S = 0 under A = identity satisfies the bare equation for every message.
    identity = b"\x01" + bytes(31)
    assert all(refused(identity, purpose, b"anything", identity + bytes(32)) for purpose in Purpose)


def test_libsodium_verifies_no_low_order_key() -> None:
    # The vectors sign bare messages, so this asks the function beneath `verify`.
    cases = load_vectors("ed25519/cctv.json")
    accepted = []
    for case in cases:
        try:
            bindings.crypto_sign_open(bytes.fromhex(case["sig"]) + case["msg"].encode(), bytes.fromhex(case["key"]))
        except BadSignatureError:
            continue
        accepted.append(case["flags"] or [])
    assert len(cases) == 914
    assert len(accepted) == 43
    assert [flags for flags in accepted if "low_order_A" in flags or "non_canonical_A" in flags] == []


def test_low_order_keys_of_the_vectors_verify_nothing_of_ours() -> None:
    low = {case["key"]: case for case in load_vectors("ed25519/cctv.json") if "low_order_A" in (case["flags"] or [])}
    assert len(low) > 8
    for key, case in low.items():
        assert refused(bytes.fromhex(key), Purpose.LINK_PROOF, case["msg"].encode(), bytes.fromhex(case["sig"]))


def test_rfc_8032_public_key() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert SigningKey(seed).public.hex() == expected
    assert SigningKey(seed).seed == seed


def test_repr_does_not_show_the_seed() -> None:
    shown = repr(KEY) + str(KEY)
    assert KEY.seed.hex() not in shown
    assert repr(KEY.seed) not in shown
    assert key_text(KEY.seed) not in shown
    assert key_text(KEY.public) in shown


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_seed_of_another_length_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        SigningKey(bytes(size))


@given(st.binary(min_size=32, max_size=32))
def test_key_text_round_trip(public: bytes) -> None:
    text = key_text(public)
    assert len(text) == 52
    assert text == text.lower()
    assert parse_key(text) == public
    assert parse_key(f" {text.upper()}\n") == public


GOOD = key_text(KEY.public)


@pytest.mark.parametrize(
    "text",
    ["", "a", GOOD[:-1], GOOD + "a", GOOD + "====", GOOD[:-1] + "1", GOOD[:-1] + "é", "\0" * 52, GOOD[:51] + "b"],
)
def test_bad_key_text_is_a_local_error(text: str) -> None:
    with pytest.raises(LocalError, match="is not a key") as caught:
        parse_key(text)
    assert caught.value.code is Code.BAD_CONFIG


@given(st.text(max_size=60))
def test_any_text_is_a_key_or_a_local_error(text: str) -> None:
    try:
        public = parse_key(text)
    except LocalError:
        return
    assert key_text(public) == text.strip().lower()


def test_envelope_id_is_blake2b_128() -> None:
    # BLAKE2b's digest size is a parameter of the hash: this is not a cut-off longer digest.
    assert envelope_id(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
    assert envelope_id(b"abc") != hashlib.blake2b(b"abc").digest()[:16]
