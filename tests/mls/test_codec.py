from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.mls.world import refused

from waypost.mls.base import codec
from waypost.mls.base.bounds import ELEMENTS_MAX, MESSAGE_MAX_BYTES
from waypost.mls.base.codec import Reader, decode
from waypost.mls.base.errors import MlsError, MlsFault


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (37, "25"),
        (63, "3f"),
        (64, "4040"),
        (15_293, "7bbd"),
        (16_383, "7fff"),
        (16_384, "80004000"),
        (494_878_333, "9d7f3e7d"),
        (2**30 - 1, "bfffffff"),
    ],
)
def test_varints(value: int, encoded: str) -> None:
    assert codec.varint(value).hex() == encoded
    assert decode(bytes.fromhex(encoded), Reader.varint) == value


@pytest.mark.parametrize(
    ("encoded", "fault"),
    [
        ("", MlsFault.TRUNCATED),
        ("40", MlsFault.TRUNCATED),
        ("800000", MlsFault.TRUNCATED),
        ("403f", MlsFault.VARINT_NOT_MINIMAL),
        ("4000", MlsFault.VARINT_NOT_MINIMAL),
        ("80003fff", MlsFault.VARINT_NOT_MINIMAL),
        ("c0", MlsFault.VARINT_INVALID),
        ("ffffffffffffffff", MlsFault.VARINT_INVALID),
        ("0000", MlsFault.TRAILING_BYTES),
    ],
)
def test_other_varints_are_refused(encoded: str, fault: MlsFault) -> None:
    refused(lambda: decode(bytes.fromhex(encoded), Reader.varint), fault)


def test_a_vector_of_2_to_the_30_bytes_cannot_be_written() -> None:
    refused(lambda: codec.varint(2**30), MlsFault.TOO_LARGE)


def test_input_beyond_the_bound_is_refused_before_it_is_read() -> None:
    refused(lambda: Reader(bytes(MESSAGE_MAX_BYTES + 1)), MlsFault.TOO_LARGE)


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**16 - 1)))
def test_what_is_written_is_read(data: bytes, number: int, numbers: list[int]) -> None:
    written = codec.opaque(data) + codec.u64(number) + codec.u16_vector(tuple(numbers)) + codec.optional(None)
    reader = Reader(written)
    assert (reader.opaque(), reader.u64(), reader.u16_vector()) == (data, number, tuple(numbers))
    assert reader.optional(Reader.opaque) is None
    reader.done()


@given(st.lists(st.binary(max_size=70)))
def test_vectors_of_vectors(items: list[bytes]) -> None:
    written = codec.vector(map(codec.opaque, items))
    assert decode(written, lambda reader: reader.vector(Reader.opaque)) == tuple(items)


@pytest.mark.parametrize(
    ("encoded", "fault"),
    [
        ("0105", MlsFault.TRUNCATED),  # an element that ends beyond its vector
        ("030105020000", MlsFault.TRUNCATED),
        ("05", MlsFault.TRUNCATED),
    ],
)
def test_elements_stay_in_their_vector(encoded: str, fault: MlsFault) -> None:
    refused(lambda: decode(bytes.fromhex(encoded), lambda reader: reader.vector(Reader.opaque)), fault)


@pytest.mark.parametrize(
    ("encoded", "read"),
    [
        (codec.opaque(bytes(ELEMENTS_MAX + 1)), lambda reader: reader.vector(Reader.u8)),
        (
            codec.opaque(codec.opaque(bytes(1_024)) * (ELEMENTS_MAX // 1_024)),
            lambda reader: reader.vector(lambda inner: inner.vector(Reader.u8)),
        ),
        (codec.opaque(bytes(16 * (ELEMENTS_MAX + 1))), Reader.u16_vector),
        (codec.opaque(bytes(16 * (ELEMENTS_MAX + 1))), Reader.u32_vector),
    ],
    ids=["one", "nested", "u16", "u32"],
)
def test_elements_are_counted_over_all_vectors(encoded: bytes, read: Callable[[Reader], object]) -> None:
    refused(lambda: decode(encoded, read), MlsFault.TOO_LARGE)


def test_a_vector_of_numbers_is_whole() -> None:
    refused(lambda: Reader(b"\x03\0\0\0").u16_vector(), MlsFault.VECTOR_NOT_WHOLE)
    refused(lambda: Reader(b"\x03\0\0\0").u32_vector(), MlsFault.VECTOR_NOT_WHOLE)


def test_presence_is_0_or_1() -> None:
    assert Reader(b"\x01\x07").optional(Reader.u8) == 7
    refused(lambda: Reader(b"\x02\x07").optional(Reader.u8), MlsFault.OPTIONAL_INVALID)


@given(st.binary(max_size=64))
def test_any_bytes_are_read_or_refused_and_written_the_same(data: bytes) -> None:
    reader = Reader(data)
    try:
        value = reader.opaque()
    except MlsError:
        return
    assert codec.opaque(value) == data[: reader.position]
