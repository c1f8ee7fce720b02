import hashlib
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

from waypost.crypto.kem import KemKey, seal_to
from waypost.crypto.keys import Purpose, SigningKey
from waypost.crypto.padding import pad
from waypost.crypto.seal import (
    open_sealed,
    package_id,
    parse_sealed,
    seal,
    sealed_length,
    sign_content,
    verify_content,
)
from waypost.errors import Code, LocalError, PeerFault, Refused
from waypost.limits import BODY_MAX_BYTES, DEVICES_PER_ACCOUNT_MAX

BOB = "bob@finch.example"
CONTENT_KEY = bytes(range(100, 132))
DEVICES = [KemKey(bytes([n]) * 32) for n in range(DEVICES_PER_ACCOUNT_MAX + 1)]
IDS = [package_id(b"package %d" % n) for n in range(DEVICES_PER_ACCOUNT_MAX + 1)]
PACKAGES = [(identifier, key.public) for identifier, key in zip(IDS, DEVICES, strict=True)]
BODY = seal(b"hello", CONTENT_KEY, BOB, PACKAGES[:3])
ENTRY = 16 + 1_168

FindKey = Callable[[bytes], KemKey | None]


def holder(*numbers: int) -> FindKey:
    return {IDS[n]: DEVICES[n] for n in numbers}.get


def code_for(body: bytes, recipient: str = BOB, find_key: FindKey | None = None) -> Code:
    with pytest.raises((PeerFault, LocalError)) as caught:
        open_sealed(body, recipient, find_key or holder(1))
    return caught.value.code


@pytest.mark.parametrize("device", [0, 1, 2])
def test_every_device_opens_it(device: int) -> None:
    assert open_sealed(BODY, BOB, holder(device)) == b"hello"


@settings(max_examples=20)
@given(st.binary(max_size=2_000), st.integers(1, DEVICES_PER_ACCOUNT_MAX), st.text(max_size=100))
def test_round_trip(content: bytes, devices: int, recipient: str) -> None:
    body = seal(content, CONTENT_KEY, recipient, PACKAGES[:devices])
    assert len(body) == sealed_length(len(content), devices)
    assert open_sealed(body, recipient, holder(devices - 1)) == content
    assert list(parse_sealed(body).package_ids) == IDS[:devices]


def test_body_is_as_documented() -> None:
    address = len(BOB).to_bytes(2, "big") + BOB.encode()
    context = b"waypost/1 seal.1\0" + address
    info = context + b"\x01\x02" + IDS[0] + IDS[1]
    both = hashlib.blake2b(info, key=CONTENT_KEY, digest_size=64).digest()
    entries = [IDS[n] + seal_to(DEVICES[n].public, info, CONTENT_KEY) for n in (0, 1)]
    header = b"\x01\x02" + both[32:] + b"".join(entries)
    body = header + ChaCha20Poly1305(both[:32]).encrypt(bytes(12), pad(b"by hand"), context + header)
    assert open_sealed(body, BOB, holder(1)) == b"by hand"


def test_stranger_cannot_open_and_learns_no_reason() -> None:
    with pytest.raises(LocalError) as caught:
        open_sealed(BODY, BOB, lambda _: None)
    assert caught.value.code is Code.CANNOT_DECRYPT
    assert caught.value.detail == ""


def test_other_key_under_our_package_id_cannot_open() -> None:
    assert code_for(BODY, find_key=lambda _: DEVICES[5]) is Code.CANNOT_DECRYPT


def test_body_sent_on_to_another_recipient_does_not_open() -> None:
    assert code_for(BODY, recipient="eve@finch.example") is Code.CANNOT_DECRYPT


@pytest.mark.parametrize(
    "altered",
    [
        # our entry alone, with the count to match: the others were part of what the sender bound
        b"\x01\x01" + BODY[2:34] + BODY[34 + ENTRY : 34 + 2 * ENTRY] + BODY[34 + 3 * ENTRY :],
        # entries swapped
        BODY[: 34 + ENTRY]
        + BODY[34 + 2 * ENTRY : 34 + 3 * ENTRY]
        + BODY[34 + ENTRY : 34 + 2 * ENTRY]
        + BODY[34 + 3 * ENTRY :],
        # somebody else's entry altered
        BODY[:60] + bytes((BODY[60] ^ 1,)) + BODY[61:],
        # commitment altered
        BODY[:2] + bytes(32) + BODY[34:],
        # ciphertext cut, lengthened
        BODY[:-1],
        BODY + b"\0",
        # ciphertext of another body
        BODY[: 34 + 3 * ENTRY] + seal(b"hello", bytes(32), BOB, PACKAGES[:3])[34 + 3 * ENTRY :],
    ],
)
def test_rearranged_body_does_not_open(altered: bytes) -> None:
    assert code_for(altered) in (Code.CANNOT_DECRYPT, Code.MALFORMED_ENVELOPE)


def test_two_content_keys_in_one_body_open_for_one_device_at_most() -> None:
    # A hostile sender may seal different keys to different devices; the commitment fits one of them.
    other_key = bytes(32)
    info = b"waypost/1 seal.1\0" + len(BOB).to_bytes(2, "big") + BOB.encode() + b"\x01\x02" + IDS[0] + IDS[1]
    both = hashlib.blake2b(info, key=CONTENT_KEY, digest_size=64).digest()
    keys = seal_to(DEVICES[0].public, info, CONTENT_KEY), seal_to(DEVICES[1].public, info, other_key)
    header = b"\x01\x02" + both[32:] + IDS[0] + keys[0] + IDS[1] + keys[1]
    context = info[: -2 - 32]
    body = header + ChaCha20Poly1305(both[:32]).encrypt(bytes(12), pad(b"x"), context + header)
    assert open_sealed(body, BOB, holder(0)) == b"x"
    assert code_for(body, find_key=holder(1)) is Code.CANNOT_DECRYPT


def test_commitment_to_another_key_does_not_open_although_the_tag_fits() -> None:
    # Without this check a ciphertext made to fit two keys would read differently on two devices.
    info = b"waypost/1 seal.1\0" + len(BOB).to_bytes(2, "big") + BOB.encode() + b"\x01\x01" + IDS[1]
    key = hashlib.blake2b(info, key=CONTENT_KEY, digest_size=64).digest()[:32]
    header = b"\x01\x01" + bytes(32) + IDS[1] + seal_to(DEVICES[1].public, info, CONTENT_KEY)
    body = header + ChaCha20Poly1305(key).encrypt(bytes(12), pad(b"x"), info[: -2 - 16] + header)
    assert code_for(body) is Code.CANNOT_DECRYPT


@given(st.integers(0, len(BODY) * 8 - 1))
def test_one_flipped_bit_does_not_open(bit: int) -> None:
    altered = bytearray(BODY)
    altered[bit // 8] ^= 1 << bit % 8
    assert code_for(bytes(altered)) in (Code.CANNOT_DECRYPT, Code.MALFORMED_ENVELOPE)


@given(st.integers(0, len(BODY) - 1), st.integers(0, 60), st.binary(max_size=60))
def test_spliced_body_gives_only_our_errors(at: int, removed: int, inserted: bytes) -> None:
    altered = BODY[:at] + inserted + BODY[at + removed :]
    if altered != BODY:
        assert code_for(altered) in (Code.CANNOT_DECRYPT, Code.MALFORMED_ENVELOPE)


@given(st.binary(max_size=200), st.integers(0, 3))
def test_any_bytes_are_malformed(data: bytes, count: int) -> None:
    for body in (data, bytes((1, count)) + data):
        assert code_for(body) is Code.MALFORMED_ENVELOPE


@pytest.mark.parametrize("size", [0, 1, 2, 33, 34, 34 + 3 * ENTRY - 1, 34 + 3 * ENTRY, 34 + 3 * ENTRY + 271])
def test_cut_short_is_malformed(size: int) -> None:
    assert code_for(BODY[:size]) is Code.MALFORMED_ENVELOPE


def test_ill_formed_headers() -> None:
    tail = bytes(60_000)
    first = BODY[34 : 34 + ENTRY]
    assert code_for(b"\x02" + BODY[1:]) is Code.MALFORMED_ENVELOPE
    assert code_for(b"\x01\x00" + BODY[2:]) is Code.MALFORMED_ENVELOPE
    assert code_for(bytes((1, DEVICES_PER_ACCOUNT_MAX + 1)) + tail) is Code.MALFORMED_ENVELOPE
    assert code_for(b"\x01\xff" + tail) is Code.MALFORMED_ENVELOPE
    assert code_for(b"\x01\x02" + bytes(32) + first + first + tail) is Code.MALFORMED_ENVELOPE
    assert code_for(BODY + bytes(BODY_MAX_BYTES)) is Code.MALFORMED_ENVELOPE


def test_wrong_padding_inside_is_the_senders_fault() -> None:
    info = b"waypost/1 seal.1\0" + len(BOB).to_bytes(2, "big") + BOB.encode() + b"\x01\x01" + IDS[1]
    both = hashlib.blake2b(info, key=CONTENT_KEY, digest_size=64).digest()
    header = b"\x01\x01" + both[32:] + IDS[1] + seal_to(DEVICES[1].public, info, CONTENT_KEY)
    body = header + ChaCha20Poly1305(both[:32]).encrypt(bytes(12), bytes(256), info[: -2 - 16] + header)
    assert code_for(body) is Code.MALFORMED_ENVELOPE


def test_largest_body() -> None:
    size = next(size for size in range(BODY_MAX_BYTES, 0, -1) if sealed_length(size, 1) <= BODY_MAX_BYTES)
    assert open_sealed(seal(bytes(size), CONTENT_KEY, BOB, PACKAGES[:1]), BOB, holder(0)) == bytes(size)
    with pytest.raises(Refused) as caught:
        seal(bytes(size + 1), CONTENT_KEY, BOB, PACKAGES[:1])
    assert caught.value.code is Code.TOO_LARGE


def test_bad_packages_are_their_publishers_fault() -> None:
    for packages in ([PACKAGES[0], PACKAGES[0]], [(IDS[0], b"")], [(IDS[0], b"\xff" * 1_216)]):
        with pytest.raises(PeerFault) as caught:
            seal(b"hello", CONTENT_KEY, BOB, packages)
        assert caught.value.code is Code.BAD_PACKAGE


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="devices"):
        seal(b"hello", CONTENT_KEY, BOB, [])
    with pytest.raises(ValueError, match="devices"):
        seal(b"hello", CONTENT_KEY, BOB, PACKAGES)
    with pytest.raises(ValueError, match="content key"):
        seal(b"hello", CONTENT_KEY[:31], BOB, PACKAGES[:1])
    with pytest.raises(ValueError, match="package id"):
        seal(b"hello", CONTENT_KEY, BOB, [(b"short", DEVICES[0].public)])


SIGNER = SigningKey(bytes(range(32)))
SIGNED = sign_content(SIGNER, b"from, to, purpose")


def test_signed_content_round_trip() -> None:
    assert verify_content(SIGNED) == (SIGNER.public, b"from, to, purpose")
    assert verify_content(sign_content(SIGNER, b"")) == (SIGNER.public, b"")


def test_signed_content_is_payload_key_signature() -> None:
    assert b"from, to, purpose" + SIGNER.public + SIGNER.sign(Purpose.CONTENT, b"from, to, purpose") == SIGNED


@given(st.integers(0, len(SIGNED) * 8 - 1))
def test_altered_signed_content_is_refused(bit: int) -> None:
    altered = bytearray(SIGNED)
    altered[bit // 8] ^= 1 << bit % 8
    with pytest.raises(PeerFault) as caught:
        verify_content(bytes(altered))
    assert caught.value.code is Code.BAD_SIGNATURE


def test_signature_for_another_purpose_is_refused() -> None:
    with pytest.raises(PeerFault) as caught:
        verify_content(b"x" + SIGNER.public + SIGNER.sign(Purpose.RECEIPT, b"x"))
    assert caught.value.code is Code.BAD_SIGNATURE


@given(st.binary(max_size=200))
def test_any_bytes_are_no_signed_content(data: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        verify_content(data)
    assert caught.value.code is (Code.MALFORMED_ENVELOPE if len(data) < 96 else Code.BAD_SIGNATURE)
