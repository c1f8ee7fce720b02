import gc
import tracemalloc
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct
from tests.protocol.strategies import messages, values

from waypost.errors import Code, PeerFault
from waypost.limits import FRAME_MAX_BYTES, MIB
from waypost.protocol import operator as admin
from waypost.protocol.custody import envelope
from waypost.protocol.custody import transfer as custody
from waypost.protocol.custody.transfer import Offer
from waypost.protocol.directory import asks, bundle, invite, record
from waypost.protocol.directory.asks import Track
from waypost.protocol.frames import messages as wire
from waypost.protocol.frames import signed
from waypost.protocol.frames.codec import HEADER_BYTES, FrameBuffer, pack, read
from waypost.protocol.frames.messages import Goodbye, Message, Ping, decode, encode


def kinds() -> list[type[Struct]]:
    """Every struct of the protocol: what it may hold is bounded, or `values` would fail."""
    found = [
        kind
        for module in (admin, bundle, envelope, invite, record, signed, custody, asks, wire)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Struct) and kind.__module__ == module.__name__
    ]
    return [kind for kind in found if not kind.__name__.startswith("_")]


@given(messages)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    (body,) = FrameBuffer().feed(encode(message))
    assert decode(body) == message
    assert decode(memoryview(body)) == message


@pytest.mark.parametrize("kind", kinds())
@given(data=st.data())
def test_every_struct_is_bounded_and_comes_back(kind: type[Struct], data: st.DataObject) -> None:
    value = data.draw(values(kind))
    assert read(pack(value), kind) == value


@given(
    messages,
    st.lists(
        st.none() | st.integers(0, 9) | st.dictionaries(st.integers(0, 9), st.text(max_size=9), max_size=2), max_size=3
    ),
)
def test_unknown_trailing_elements_are_ignored(message: Message, more: list[Any]) -> None:
    fields = msgpack.unpackb(pack(message))
    whole = list(read(pack(message), type(message)).__struct_fields__)
    if len(fields) == 1 + len(whole):
        assert decode(msgpack.packb(fields + more)) == message


# ── frames ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.binary(max_size=40), max_size=8), st.lists(st.integers(1, 50), max_size=30))
def test_frames_come_out_the_same_however_the_bytes_come_in(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    assert FrameBuffer().feed(stream) == bodies
    single = FrameBuffer()
    assert [frame for at in range(len(stream)) for frame in single.feed(stream[at : at + 1])] == bodies
    cut, frames, at = FrameBuffer(), [], 0
    for size in [*cuts, len(stream)]:
        frames += cut.feed(stream[at : at + size])
        at += size
    assert frames == bodies
    assert cut.rest() == b""


def test_a_length_beyond_the_limit_is_refused_before_its_bytes_come() -> None:
    with pytest.raises(PeerFault) as fault:
        FrameBuffer(100).feed((101).to_bytes(4, "big"))
    assert fault.value.code is Code.FRAME_TOO_LARGE
    assert FrameBuffer(100).feed((100).to_bytes(4, "big") + bytes(100)) == [bytes(100)]


def test_frames_before_one_that_is_too_large_are_not_lost() -> None:
    frames = FrameBuffer(10).cut(b"\0\0\0\1a" + b"\xff" * 4)
    assert next(frames) == b"a"
    with pytest.raises(PeerFault):
        next(frames)


def test_what_is_not_asked_for_stays() -> None:
    buffer = FrameBuffer()
    assert next(buffer.cut(b"\0\0\0\1a\0\0\0\1b\0\0")) == b"a"
    assert buffer.rest() == b"\0\0\0\1b\0\0"
    assert len(buffer) == 7
    assert buffer.feed(b"\0\1c") == [b"b", b"c"]


def test_an_own_frame_beyond_the_limit_is_our_mistake() -> None:
    with pytest.raises(ValueError, match="exceeds the limit"):
        encode(Offer(1, (bytes(64 * 1024),) * 17))


# ── hostile bytes ───────────────────────────────────────────────────────────────────────────────────────────────────

A2048 = b"\xdc\x08\x00"
HOSTILE = {
    "nothing": b"",
    "no array": b"\xc0",
    "a map": b"\x81\xa1a\x01",
    "an empty array": b"\x90",
    "text for a type": b"\x92\xa1a\x01",
    "truth for a type": b"\x92\xc3\x01",
    "a float for a number": b"\x92\x0a\xcb\x40\x14" + bytes(6),
    "truth for a number": b"\x92\x0a\xc3",
    "not a number": b"\x92\x0a\xcb\x7f\xf8" + bytes(6),
    "too few fields": b"\x91\x0a",
    "bytes after the end": b"\x92\x0a\x05x",
    "a reserved byte": b"\xc1",
    "an unfinished array": b"\x92\x0a",
    "an array of four thousand million": b"\xdd\xff\xff\xff\xff\x0a\x05",
    "a list of four thousand million": b"\x93\x03\x01\xdd\xff\xff\xff\xff",
    "a list of many that are there": b"\x93\x03\x01\xdd\x00\x07\xff\xf0" + b"\xc4\x00" * 0x7FFF0,
    "text of four thousand million": b"\x93\x0c\x01\xdb\xff\xff\xff\xff",
    "bytes of four thousand million": b"\x93\x03\x01\x91\xc6\xff\xff\xff\xff",
    "a map of four thousand million": b"\x93\x0a\x05\xdf\xff\xff\xff\xff",
    "an extension": b"\x93\x0c\xd4\x01\x00",
    "a time": b"\x92\x0a\xd6\xff\x00\x00\x00\x00",
    "text that is not UTF-8": b"\x93\x0c\x01\xa2\xff\xff",
    "text where bytes belong": msgpack.packb([3, 1, ["aGVsbG8="]]),
    "bytes where text belongs": msgpack.packb([12, 1, b"bye"]),
    "a negative number": msgpack.packb([10, -1]),
    "a number beyond the field": msgpack.packb([10, 2**32]),
    "an unknown role": msgpack.packb([1, 1, 1, 2, "a.b", bytes(32), [], "", 0, 1, 2**24]),
    "a key of 31 bytes": msgpack.packb([1, 1, 1, 0, "a.b", bytes(31), [], "", 0, 1, 2**24]),
    "an offer of nothing": msgpack.packb([3, 1, []]),
    "an offer of 513": msgpack.packb([3, 1, [b""] * 513]),
    "arrays in arrays, unfinished": (b"\x93\x0a\x05" + A2048 * (MIB // 3))[:MIB],
    "arrays in arrays, deep": b"\x93\x0a\x05" + b"\x91" * (MIB - 4) + b"\xc0",
    "maps in maps": b"\x93\x0a\x05" + b"\x81\x01" * (MIB // 2 - 4) + b"\xc0",
}
#: Well-formed, and ignored, since they trail.
HEAVY = {
    "a million empty arrays": b"\x93\x0a\x05\xdc\x01\xf0" + (A2048 + b"\x90" * 2048) * 0x1F0,
    "a million empty maps": b"\x93\x0a\x05\xdd\x00\x0f\xff\xf0" + b"\x80" * 0xFFFF0,
    "many short texts": b"\x93\x0a\x05\xdd\x00\x05\x55\x00" + b"\xa2ab" * 0x55500,
}


def decode_and_measure(frame: bytes) -> tuple[Message | PeerFault, int]:
    gc.collect()
    tracemalloc.start()
    try:
        result: Message | PeerFault = decode(frame)
    except PeerFault as fault:
        result = fault
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return result, peak


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_are_a_fault_and_cost_little(name: str) -> None:
    assert len(HOSTILE[name]) <= FRAME_MAX_BYTES
    result, peak = decode_and_measure(HOSTILE[name])
    assert isinstance(result, PeerFault)
    assert result.code is Code.BAD_FRAME
    assert len(result.detail) <= 200
    assert peak < 2 * MIB


@pytest.mark.parametrize("name", HEAVY)
def test_what_is_ignored_costs_nothing(name: str) -> None:
    assert len(HEAVY[name]) <= FRAME_MAX_BYTES
    result, peak = decode_and_measure(HEAVY[name])
    assert result == Ping(5)
    assert peak < MIB


@given(st.integers(13, 2**32) | st.just(0) | st.integers(-100, -1))
def test_an_unknown_type_is_told_from_nonsense(number: int) -> None:
    with pytest.raises(PeerFault) as fault:
        decode(msgpack.packb([number, "anything", {}]))
    assert fault.value.code is Code.UNKNOWN_TYPE


@given(st.binary(max_size=200))
def test_any_bytes_are_a_message_or_a_fault(data: bytes) -> None:
    try:
        decode(data)
    except PeerFault as fault:
        assert fault.code in {Code.BAD_FRAME, Code.UNKNOWN_TYPE}  # noqa: PT017 - a message is right as well


@given(messages, st.data())
def test_a_message_with_some_bytes_changed_is_a_message_or_a_fault(message: Message, data: st.DataObject) -> None:
    body = bytearray(encode(message)[HEADER_BYTES:])
    for at, value in data.draw(st.lists(st.tuples(st.integers(0, len(body) - 1), st.integers(0, 255)), max_size=4)):
        body[at] = value
    for part in (bytes(body), bytes(body[: data.draw(st.integers(0, len(body)))])):
        try:
            again = decode(part)
        except PeerFault:
            continue
        encode(again)


def test_read_gives_the_code_that_it_is_told() -> None:
    with pytest.raises(PeerFault) as fault:
        read(b"\xc1", Track, Code.BAD_RECEIPT)
    assert fault.value.code is Code.BAD_RECEIPT
    assert read(pack(Goodbye(1, "x")), Goodbye) == Goodbye(1, "x")
