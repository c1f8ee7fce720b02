from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed

from waypost.crypto.keys import SigningKey
from waypost.errors import Code, PeerFault
from waypost.limits import CLOCK_TOLERANCE_MS, HANDSHAKE_FRAME_MAX_BYTES
from waypost.protocol.custody.transfer import Offer, Offered
from waypost.protocol.frames.codec import FrameBuffer
from waypost.protocol.frames.handshake import Channel, Handshake, Own
from waypost.protocol.frames.messages import Goodbye, Hello, Ping, Proof, Role, decode, encode

NOW_MS = 1_700_000_000_000
ALICE = Own(Role.NODE, "alice.example", SigningKey(b"a" * 32), ("x-a",), record=b"record", epoch=3)
BOB = Own(Role.NODE, "bob.local", SigningKey(b"b" * 32), window_envelopes=77)
PHONE = Own(Role.DEVICE, "carol@bob.local", SigningKey(b"c" * 32))
OUT = Channel(b"e" * 32, "X25519MLKEM768", dialed=True)
IN = replace(OUT, dialed=False)


def sides(left: Own = ALICE, right: Own = BOB) -> tuple[Handshake, Handshake]:
    return Handshake(left, OUT, NOW_MS), Handshake(right, IN, NOW_MS)


def exchange(left: Handshake, right: Handshake, step: int = 1 << 30) -> None:
    """Carry bytes both ways, `step` at a time, until neither says anything."""
    while True:
        there, back = left.bytes_to_send(), right.bytes_to_send()
        if not there and not back:
            return
        for data, side in ((there, right), (back, left)):
            for at in range(0, len(data), step):
                side.receive(data[at : at + step])


def code_of(call: Callable[[], Any]) -> Code:
    with pytest.raises(PeerFault) as fault:
        call()
    return fault.value.code


def frames(data: bytes) -> list[Any]:
    return [decode(body) for body in FrameBuffer().feed(data)]


@pytest.mark.parametrize("step", [1, 7, 1 << 30])
def test_each_learns_who_the_other_is(step: int) -> None:
    alice, bob = sides()
    exchange(alice, bob, step)
    assert alice.peer is not None
    assert bob.peer is not None
    assert (alice.peer.name, alice.peer.key, alice.peer.window_envelopes) == ("bob.local", BOB.key.public, 77)
    assert (bob.peer.name, bob.peer.features, bob.peer.record, bob.peer.epoch) == (
        "alice.example",
        ("x-a",),
        b"record",
        3,
    )
    assert (alice.peer.version, alice.peer.dialed, bob.peer.dialed) == (1, True, False)


def test_a_device_proves_itself_in_the_same_way() -> None:
    phone, bob = sides(PHONE, BOB)
    exchange(phone, bob)
    assert bob.peer is not None
    assert (bob.peer.role, bob.peer.name, bob.peer.key) == (Role.DEVICE, "carol@bob.local", PHONE.key.public)


def test_nothing_is_proven_before_the_proof() -> None:
    alice, bob = sides()
    bob.receive(alice.bytes_to_send())
    assert bob.peer is None
    with pytest.raises(ValueError, match="not complete"):
        bob.finish(0.0)


def test_the_expected_key_and_no_other() -> None:
    hello = Handshake(BOB, IN, NOW_MS).bytes_to_send()
    Handshake(ALICE, OUT, NOW_MS, BOB.key.public).receive(hello)
    picky = Handshake(ALICE, OUT, NOW_MS, PHONE.key.public)
    assert code_of(lambda: picky.receive(hello)) is Code.WRONG_PEER
    assert [type(message) for message in frames(picky.bytes_to_send())] == [Hello]


def test_something_in_the_middle_has_two_exporters() -> None:
    """A proxy that ends TLS passes every byte on, and yet nobody is fooled."""
    alice = Handshake(ALICE, OUT, NOW_MS)
    bob = Handshake(BOB, replace(IN, exporter=b"f" * 32), NOW_MS)
    bob.receive(alice.bytes_to_send())
    alice.receive(bob.bytes_to_send()[: len(encode(_hello(BOB)))])
    assert code_of(lambda: bob.receive(alice.bytes_to_send())) is Code.BAD_PROOF
    assert (alice.peer, bob.peer) == (None, None)


def test_a_recorded_handshake_fails_on_any_other_connection() -> None:
    alice, bob = sides()
    recorded = alice.bytes_to_send()
    bob.receive(recorded)
    alice.receive(bob.bytes_to_send())
    recorded += alice.bytes_to_send()
    bob.receive(recorded[len(encode(_hello(ALICE))) :])
    assert bob.peer is not None
    again = Handshake(BOB, replace(IN, exporter=b"g" * 32), NOW_MS)
    assert code_of(lambda: again.receive(recorded)) is Code.BAD_PROOF
    assert again.peer is None


def _hello(own: Own) -> Hello:
    (hello,) = frames(Handshake(own, OUT, NOW_MS).bytes_to_send())
    assert isinstance(hello, Hello)
    return hello


def test_an_echo_proves_nothing() -> None:
    alice = Handshake(ALICE, OUT, NOW_MS)
    assert code_of(lambda: alice.receive(alice.bytes_to_send())) is Code.WRONG_PEER


def test_our_own_proof_does_not_prove_another() -> None:
    """A peer with its own Hello reflects our Proof, and one from a second link to us."""
    alice, second = Handshake(ALICE, OUT, NOW_MS), Handshake(ALICE, IN, NOW_MS)
    alice.receive(encode(_hello(BOB)))
    second.receive(encode(_hello(BOB)))
    _, own_proof = frames(alice.bytes_to_send())
    _, other_proof = frames(second.bytes_to_send())
    assert code_of(lambda: alice.receive(encode(own_proof))) is Code.BAD_PROOF
    assert code_of(lambda: second.receive(encode(other_proof))) is Code.BAD_PROOF


@pytest.mark.parametrize(
    "change",
    [
        {"name": "mallory.example"},
        {"features": ("x-a", "x-b")},
        {"window_envelopes": 1},
        {"now_ms": NOW_MS + 1},
        {"record": b""},
        {"epoch": 4},
        {"role": Role.DEVICE, "name": "x@alice.example"},
        {"version_max": 2},
    ],
    ids=str,
)
def test_a_hello_changed_on_its_way_fails(change: dict[str, Any]) -> None:
    alice, bob = sides()
    (hello,) = frames(alice.bytes_to_send())
    bob.receive(encode(changed(hello, **change)))
    alice.receive(bob.bytes_to_send()[: len(encode(_hello(BOB)))])
    assert code_of(lambda: bob.receive(alice.bytes_to_send())) is Code.BAD_PROOF


def test_a_key_that_is_not_ones_own_cannot_be_claimed() -> None:
    thief = replace(BOB, key=SigningKey(b"t" * 32))
    bob = Handshake(ALICE, IN, NOW_MS)
    mallory = Handshake(thief, OUT, NOW_MS)
    bob.receive(encode(changed(frames(mallory.bytes_to_send())[0], key=BOB.key.public)))
    mallory.receive(bob.bytes_to_send()[: len(encode(_hello(ALICE)))])
    assert code_of(lambda: bob.receive(mallory.bytes_to_send())) is Code.BAD_PROOF


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"group": "X25519"}, Code.BAD_PROOF),
        ({"now_ms": NOW_MS + CLOCK_TOLERANCE_MS + 1}, Code.CLOCK_SKEW),
        ({"now_ms": NOW_MS - CLOCK_TOLERANCE_MS - 1}, Code.CLOCK_SKEW),
        ({"version_min": 2, "version_max": 3}, Code.VERSION),
        ({"version_min": 0, "version_max": 0}, Code.VERSION),
        ({"name": "Bob.Local"}, Code.BAD_FRAME),
        ({"name": "bob"}, Code.BAD_FRAME),
        ({"name": "bob@bob.local"}, Code.BAD_FRAME),
        ({"role": Role.DEVICE}, Code.BAD_FRAME),
        ({"role": Role.DEVICE, "name": "Bob@bob.local"}, Code.BAD_FRAME),
        ({"window_bytes": 1}, Code.BAD_FRAME),
        ({"window_envelopes": 0}, Code.BAD_FRAME),
    ],
    ids=str,
)
def test_a_hello_that_does_not_do(change: dict[str, Any], code: Code) -> None:
    alice = Handshake(ALICE, OUT, NOW_MS)
    assert code_of(lambda: alice.receive(encode(changed(_hello(BOB), **change)))) is code
    # And nothing is signed for it.
    assert [type(message) for message in frames(alice.bytes_to_send())] == [Hello]


@pytest.mark.parametrize(
    "change", [{"now_ms": NOW_MS - CLOCK_TOLERANCE_MS}, {"version_min": 0, "version_max": 9}], ids=str
)
def test_a_hello_at_the_edge_does(change: dict[str, Any]) -> None:
    alice = Handshake(ALICE, OUT, NOW_MS)
    alice.receive(encode(changed(_hello(BOB), **change)))
    assert [type(message) for message in frames(alice.bytes_to_send())] == [Hello, Proof]


@pytest.mark.parametrize(
    "first", [Ping(1), Proof(bytes(64)), Offer(1, (b"x",))], ids=lambda message: type(message).__name__
)
def test_nothing_comes_before_hello_nor_between_hello_and_proof(first: Any) -> None:
    assert code_of(lambda: sides()[0].receive(encode(first))) is Code.OUT_OF_ORDER
    if not isinstance(first, Proof):
        assert code_of(lambda: sides()[0].receive(encode(_hello(BOB)) + encode(first))) is Code.OUT_OF_ORDER
    assert code_of(lambda: sides()[0].receive(encode(_hello(BOB)) * 2)) is Code.OUT_OF_ORDER


def test_the_peers_own_reason_is_passed_on() -> None:
    refused = sides()[1].refuse(Code.NOT_ADMITTED, "not you")
    for before in (b"", encode(_hello(BOB))):
        with pytest.raises(PeerFault, match="not you") as fault:
            sides()[0].receive(before + refused)
        assert fault.value.code is Code.NOT_ADMITTED
    assert code_of(lambda: sides()[0].receive(encode(Goodbye(999)))) is Code.OUT_OF_ORDER
    assert code_of(lambda: sides()[0].receive(b"")) is Code.OUT_OF_ORDER


def test_a_stranger_may_make_us_hold_little() -> None:
    length = (HANDSHAKE_FRAME_MAX_BYTES + 1).to_bytes(4, "big")
    assert code_of(lambda: sides()[0].receive(length)) is Code.FRAME_TOO_LARGE
    assert code_of(lambda: sides()[0].receive(encode(_hello(BOB)) + length)) is Code.FRAME_TOO_LARGE


@pytest.mark.parametrize("step", [1000, 1 << 30])
def test_what_comes_on_the_heels_of_the_proof_is_the_sessions_and_may_be_large(step: int) -> None:
    alice, bob = sides()
    bob.receive(alice.bytes_to_send())
    alice.receive(bob.bytes_to_send())
    session = alice.finish(0.0)
    envelopes = (bytes(60_000),) * 5
    session.offer(envelopes, [bytes(16)] * 5, None)
    stream = alice.bytes_to_send() + session.bytes_to_send() + encode(Ping(1))
    data = [stream[at : at + step] for at in range(0, len(stream), step)]
    while bob.peer is None:
        bob.receive(data.pop(0))
    taker = bob.finish(0.0)
    events = taker.start()
    for part in data:
        events += taker.receive(part, 0.0)
    assert [type(event) for event in events] == [Offered]
    assert not taker.closed
    assert taker.pending_bytes > 0  # the Pong


@given(st.binary(max_size=300))
def test_any_bytes_are_a_fault_or_wait_for_more(data: bytes) -> None:
    _feed(sides()[0], data)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=4), st.integers(0, 400))
def test_a_changed_stream_proves_nothing(changes: list[tuple[int, int]], cut: int) -> None:
    alice, bob = sides()
    alice.receive(bob.bytes_to_send())
    stream = alice.bytes_to_send()
    spoilt = bytearray(stream)
    for at, value in changes:
        spoilt[at % len(spoilt)] = value
    _feed(bob, bytes(spoilt))
    assert (bob.peer is not None) == (bytes(spoilt) == stream)
    _feed(sides()[1], stream[: cut % len(stream)])


def _feed(side: Handshake, data: bytes) -> None:
    try:
        if data:
            side.receive(data)
    except PeerFault:
        assert side.peer is None
