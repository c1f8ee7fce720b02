from dataclasses import dataclass

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from waypost.clock import MINUTE_MS
from waypost.errors import Code, PeerFault
from waypost.ids import Address, Provider, User
from waypost.limits import BODY_MAX_BYTES, CLOCK_TOLERANCE_MS, ENVELOPE_MAX_BYTES, EXPIRY_MAX_S, RECIPIENTS_MAX
from waypost.protocol.custody.envelope import (
    Envelope,
    EnvelopeClass,
    decode_envelope,
    encode_envelope,
    sender_of,
    time_fault,
)

NOW_MS = 1_700_000_000_000
PLAIN = Envelope(
    1, "finch.example", ("bob",), "alice@birdy.example", NOW_MS, EXPIRY_MAX_S, EnvelopeClass.TEXT, "seal.1", b"body"
)
FIELDS = [1, "finch.example", ["bob"], "alice@birdy.example", NOW_MS, 60, 0, "seal.1", b"body"]


@given(st.binary(max_size=2000))
def test_an_envelope_comes_back_as_it_was(body: bytes) -> None:
    envelope = replace(PLAIN, body=body)
    assert decode_envelope(encode_envelope(envelope)) == envelope


@pytest.mark.parametrize("size", [0, 100, 1024, BODY_MAX_BYTES])
@pytest.mark.parametrize("suite", ["seal.1", "mls.x1"])
def test_overhead_with_ordinary_addresses(size: int, suite: str) -> None:
    envelope = replace(
        PLAIN, users=("bartholomew",), sender="alexandra@messenger.birdy.example", suite=suite, body=bytes(size)
    )
    assert len(encode_envelope(envelope)) - size <= 100


def test_the_largest_envelope_fits_the_limit() -> None:
    longest = f"{'p' * 63}." * 3 + "q" * 61
    users = tuple(f"{n:02}".ljust(64, "u") for n in range(RECIPIENTS_MAX))
    envelope = Envelope(
        1,
        longest,
        users,
        f"{users[0]}@{longest}",
        2**53 - 1,
        EXPIRY_MAX_S,
        EnvelopeClass.BULK,
        "s" * 32,
        bytes(BODY_MAX_BYTES),
    )
    assert len(encode_envelope(envelope)) <= ENVELOPE_MAX_BYTES


@dataclass(frozen=True)
class Wrong:
    at: int
    value: object


@pytest.mark.parametrize(
    "wrong",
    [
        Wrong(0, 0),
        Wrong(0, 2),
        Wrong(1, b"finch.example"),
        Wrong(1, "f" * 254),
        Wrong(2, []),
        Wrong(2, [""]),
        Wrong(2, ["u" * 65]),
        Wrong(2, ["bob"] * (RECIPIENTS_MAX + 1)),
        Wrong(2, "bob"),
        Wrong(3, "a" * 319),
        Wrong(4, -1),
        Wrong(4, 2**53),
        Wrong(4, 1.5),
        Wrong(5, 0),
        Wrong(5, EXPIRY_MAX_S + 1),
        Wrong(6, 2),
        Wrong(6, False),
        Wrong(7, ""),
        Wrong(7, "s" * 33),
        Wrong(8, "body"),
        Wrong(8, None),
        Wrong(8, bytes(BODY_MAX_BYTES + 1)),
    ],
    ids=lambda wrong: f"{wrong.at}={str(wrong.value)[:12]}",
)
def test_a_wrong_field_is_a_fault(wrong: Wrong) -> None:
    assert decode_envelope(msgpack.packb(FIELDS)).body == b"body"
    fields = [*FIELDS]
    fields[wrong.at] = wrong.value
    with pytest.raises(PeerFault) as fault:
        decode_envelope(msgpack.packb(fields))
    assert fault.value.code is Code.MALFORMED_ENVELOPE


@pytest.mark.parametrize("data", [b"", b"\x90", b"\xc0", msgpack.packb(FIELDS[:-1]), msgpack.packb(FIELDS) + b"\0"])
def test_a_wrong_shape_is_a_fault(data: bytes) -> None:
    with pytest.raises(PeerFault) as fault:
        decode_envelope(data)
    assert fault.value.code is Code.MALFORMED_ENVELOPE


def test_too_large_is_told_before_it_is_looked_at() -> None:
    with pytest.raises(PeerFault) as fault:
        decode_envelope(bytes(ENVELOPE_MAX_BYTES + 1))
    assert fault.value.code is Code.TOO_LARGE


@pytest.mark.parametrize(
    "envelope",
    [
        replace(PLAIN, provider="Finch.Example"),
        replace(PLAIN, users=("Bob",)),
        replace(PLAIN, users=("bob", "b@b")),
        replace(PLAIN, users=("",)),
    ],
)
def test_an_origin_writes_canonical_recipients_only(envelope: Envelope) -> None:
    with pytest.raises(ValueError, match="canonical"):
        encode_envelope(envelope)


def test_an_origin_writes_nothing_that_would_not_be_taken() -> None:
    with pytest.raises(PeerFault):
        encode_envelope(replace(PLAIN, body=bytes(BODY_MAX_BYTES + 1)))


@pytest.mark.parametrize(
    ("now_ms", "code"),
    [
        (NOW_MS, None),
        (NOW_MS - CLOCK_TOLERANCE_MS, None),
        (NOW_MS - CLOCK_TOLERANCE_MS - 1, Code.FROM_FUTURE),
        (NOW_MS + MINUTE_MS - 1, None),
        (NOW_MS + MINUTE_MS, Code.EXPIRED),
    ],
)
def test_the_time_in_which_it_may_be_accepted(now_ms: int, code: Code | None) -> None:
    assert time_fault(replace(PLAIN, expires_s=60), now_ms) is code


def test_a_sender_is_canonical_or_none() -> None:
    assert sender_of(PLAIN) == Address(User("alice"), Provider("birdy.example"))
    for text in (
        "",
        "@",
        "alice",
        "alice@",
        "@birdy.example",
        "Alice@birdy.example",
        "alice@Birdy.example",
        "a b@x.example",
    ):
        assert sender_of(replace(PLAIN, sender=text)) is None


@given(st.binary(max_size=300), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 255)), max_size=4))
def test_any_bytes_are_an_envelope_or_a_fault(noise: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(msgpack.packb(FIELDS))
    for at, value in changes:
        changed[at % len(changed)] = value
    for data in (noise, bytes(changed)):
        try:
            sender_of(decode_envelope(data))
        except PeerFault as fault:
            assert fault.code is Code.MALFORMED_ENVELOPE  # noqa: PT017 - an envelope is right as well
