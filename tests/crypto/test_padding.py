import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.crypto.padding import FLOOR_BYTES, pad, padded_length, unpad
from waypost.errors import Code, PeerFault


def padme(length: int) -> int:
    """The formula as the paper prints it."""
    exponent = math.floor(math.log2(length))
    kept = math.floor(math.log2(exponent)) + 1
    mask = (1 << (exponent - kept)) - 1
    return (length + mask) & ~mask


@given(st.binary(max_size=5_000))
def test_round_trip(data: bytes) -> None:
    padded = pad(data)
    assert len(padded) == padded_length(len(data)) > len(data)
    assert unpad(padded) == data


@pytest.mark.parametrize("data", [b"", b"\0" * 255, b"\0" * 256, b"\x80" * 300, b"\x80" + bytes(254)])
def test_data_that_looks_like_padding_comes_back(data: bytes) -> None:
    assert unpad(pad(data)) == data


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, 256), (200, 256), (255, 256), (256, 272), (1_499, 1_536), (65_000, 65_536), (99_999, 100_352)],
)
def test_lengths(size: int, length: int) -> None:
    assert padded_length(size) == length


def test_lengths_follow_the_paper_and_waste_little() -> None:
    sizes = range(FLOOR_BYTES, 70_000)
    lengths = [padded_length(size) for size in sizes]
    assert all(length == padme(size + 1) for size, length in zip(sizes, lengths, strict=True))
    assert all(length <= (size + 1) * 1.12 for size, length in zip(sizes, lengths, strict=True))
    assert len(set(lengths)) < 180


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        b"\x80",
        bytes(256),
        b"a" * 256,
        b"a\x80" + bytes(253) + b"\x01",
        b"a\x80" + bytes(253),
        b"a\x80" + bytes(255),
        pad(b"a") + bytes(16),
        b"a\x80" + bytes(1_022),
    ],
)
def test_padding_that_pad_does_not_make_is_refused(padded: bytes) -> None:
    with pytest.raises(PeerFault) as caught:
        unpad(padded)
    assert caught.value.code is Code.MALFORMED_ENVELOPE


@given(st.binary(max_size=600))
def test_any_bytes_unpad_to_what_pads_to_them_or_are_refused(padded: bytes) -> None:
    try:
        data = unpad(padded)
    except PeerFault:
        return
    assert pad(data) == padded
