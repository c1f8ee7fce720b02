from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.protocol.strategies import messages

from waypost.clock import NEVER
from waypost.crypto.keys import Purpose, SigningKey, envelope_id
from waypost.errors import Code
from waypost.limits import (
    PING_AFTER_S,
    QUERIES_IN_FLIGHT_MAX,
    QUERY_TIMEOUT_S,
    SEND_BUFFER_MAX_BYTES,
    SILENT_AFTER_S,
    WINDOW_BYTES,
    WINDOW_ENVELOPES,
)
from waypost.protocol.custody.transfer import (
    Delivered,
    Offer,
    Offered,
    Outcome,
    Receipt,
    ReceiptPayload,
    Refusal,
    Reported,
    Room,
    Settled,
    batch_digest,
)
from waypost.protocol.directory.asks import Track
from waypost.protocol.frames.codec import FrameBuffer, pack
from waypost.protocol.frames.messages import (
    Answer,
    Goodbye,
    Hello,
    Message,
    Notice,
    NoticeKind,
    Ping,
    Proof,
    Query,
    Signal,
    decode,
    encode,
)
from waypost.protocol.frames.session import Answered, Asked, Closed, Event, Noticed, Session, Signalled, Terms

LEFT, RIGHT = SigningKey(b"l" * 32), SigningKey(b"r" * 32)
AT_MS = 1_700_000_000_000
TRACK = Track(bytes(16))
OUTCOME = Outcome("alice", "bob@finch.example", 0, AT_MS, bytes(16))
NOTICE = Notice(NoticeKind.KEYS_LOW, 20)
SIGNAL = Signal("bob@finch.example", "alice@birdy.example", "x-typing", b"1")


def session(
    own: SigningKey = LEFT,
    peer: SigningKey = RIGHT,
    window: tuple[int, int] = (WINDOW_ENVELOPES, WINDOW_BYTES),
    **more: Any,
) -> Session:
    return Session(Terms(own, peer.public, *window, *window), 0.0, **more)


def pair() -> tuple[Session, Session]:
    return session(), session(RIGHT, LEFT)


def said(by: Session) -> list[Message]:
    return [decode(body) for body in FrameBuffer().feed(by.bytes_to_send())]


def carry(sender: Session, receiver: Session, now: float = 0.0) -> list[Event]:
    return receiver.receive(sender.bytes_to_send(), now)


def closed(events: list[Event]) -> Closed:
    assert isinstance(events[-1], Closed)
    return events[-1]


def test_custody_both_ways() -> None:
    left, right = pair()
    left.offer((b"one", b"two"), [envelope_id(b"one"), envelope_id(b"two")], "mail")
    left.report((OUTCOME,), "news")
    offered, reported = carry(left, right)
    assert offered == Offered(1, (envelope_id(b"one"), envelope_id(b"two")), (b"one", b"two"))
    assert reported == Reported(2, (OUTCOME,))
    assert left.in_flight == 2
    right.receipt(2, (), AT_MS)
    right.receipt(1, (Refusal(0, 300),), AT_MS)
    assert carry(right, left) == [Settled("news", AT_MS, ()), Settled("mail", AT_MS, (Refusal(0, 300),))]
    assert left.in_flight == 0


def test_everything_else_that_is_said() -> None:
    left, right = pair()
    left.notice(NOTICE)
    left.signal(SIGNAL)
    left.ask(TRACK, "token", 0.0)
    assert carry(left, right) == [Noticed(NOTICE), Signalled(SIGNAL), Asked(1, TRACK)]
    right.answer(1, 0, "", b"body", bytes(64))
    assert carry(right, left) == [Answered("token", Answer(1, 0, "", b"body", bytes(64)))]


def test_no_room_while_too_much_is_unsent() -> None:
    left = session(window=(10**6, 2**31))
    while left.room.envelopes:
        left.offer((bytes(60_000),) * 16, [bytes(16)] * 16, None)
    assert SEND_BUFFER_MAX_BYTES <= left.pending_bytes < SEND_BUFFER_MAX_BYTES + 2**20
    left.signal(SIGNAL)
    assert SIGNAL not in said(left)
    assert left.pending_bytes == 0
    assert left.room.envelopes > 0
    assert left.bytes_to_send() == b""


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_request_without_an_answer_times_out_once() -> None:
    left, right = pair()
    left.ask(TRACK, "slow", 0.0)
    assert left.deadline() == QUERY_TIMEOUT_S
    assert left.expire(QUERY_TIMEOUT_S - 0.01) == []
    (answered,) = left.expire(QUERY_TIMEOUT_S)
    assert answered == Answered("slow", Answer(1, Code.TIMED_OUT.number))
    assert left.deadline() == PING_AFTER_S
    carry(left, right)
    right.answer(1, 0)
    assert carry(right, left) == []


def test_only_so_many_requests_at_once() -> None:
    left, right = pair()
    for n in range(QUERIES_IN_FLIGHT_MAX):
        assert left.can_ask
        left.ask(TRACK, n, 0.0)
    assert not left.can_ask
    assert len(carry(left, right)) == QUERIES_IN_FLIGHT_MAX
    assert closed(right.receive(encode(Query(10_000, TRACK)), 0.0)).code == Code.TOO_MANY_REQUESTS.number


def test_an_id_may_be_used_again_after_its_answer_only() -> None:
    right = session()
    query = encode(Query(5, TRACK))
    assert right.receive(query, 0.0) == [Asked(5, TRACK)]
    right.answer(5, 0)
    assert right.receive(query, 0.0) == [Asked(5, TRACK)]
    assert closed(right.receive(query, 0.0)).code == Code.TOO_MANY_REQUESTS.number


# ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_quiet_link_is_kept_alive() -> None:
    left, right = pair()
    assert left.deadline() == PING_AFTER_S
    assert left.expire(PING_AFTER_S) == []
    assert left.expire(PING_AFTER_S + 1) == []
    data = left.bytes_to_send()
    assert [decode(body) for body in FrameBuffer().feed(data)] == [Ping(0)]
    assert right.receive(data, PING_AFTER_S) == []
    assert carry(right, left, 26.0) == []
    assert left.deadline() == 26.0 + PING_AFTER_S


def test_a_silent_peer_is_given_up() -> None:
    left = session()
    left.expire(PING_AFTER_S)
    assert left.deadline() == SILENT_AFTER_S
    event = closed(left.expire(SILENT_AFTER_S))
    assert (event.code, event.by_peer) == (Code.SILENT.number, False)
    assert [type(message) for message in said(left)] == [Ping, Goodbye]
    assert left.deadline() == NEVER
    assert left.expire(1e9) == []


def test_a_slow_frame_is_a_sign_of_life() -> None:
    left = session()
    for at, byte in enumerate(encode(Goodbye(150))[:-1]):
        assert left.receive(bytes([byte]), at * 20.0) == []
        assert left.expire(at * 20.0) == []


# ── ends ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_goodbye_ends_both_sides() -> None:
    left, right = pair()
    assert left.close(Code.CLOSING, "bye") == [Closed(Code.CLOSING.number, "bye", by_peer=False)]
    assert left.close(Code.CLOSING) == []
    assert carry(left, right) == [Closed(Code.CLOSING.number, "bye", by_peer=True)]
    assert (left.closed, right.closed) == (True, True)


def test_a_closed_session_neither_hears_nor_speaks() -> None:
    left = session()
    left.receive(encode(Offer(1, (b"x",))) + encode(Goodbye(150)), 0.0)
    left.bytes_to_send()
    assert left.receive(encode(NOTICE), 0.0) == []
    assert left.receive(b"", 0.0) == []
    assert left.room == Room(0, 0)
    assert not left.can_ask
    left.notice(NOTICE)
    left.signal(SIGNAL)
    left.receipt(1, (), AT_MS)
    left.answer(1, 0)
    assert left.bytes_to_send() == b""
    assert left.deadline() == NEVER


def test_news_of_a_kind_that_only_a_newer_peer_knows_end_no_link() -> None:
    newer = Notice(99, 1)
    here = session()
    assert here.receive(encode(newer) + encode(NOTICE), 0.0) == [Noticed(newer), Noticed(NOTICE)]
    assert not here.closed


def test_hanging_up_is_told_without_a_code() -> None:
    assert session().receive(b"", 0.0) == [Closed(None, "the connection ended", by_peer=True)]


def test_nothing_after_a_goodbye_counts() -> None:
    stream = encode(NOTICE) + encode(Goodbye(150)) + encode(NOTICE)
    expected = [Noticed(NOTICE), Closed(150, "", by_peer=True)]
    assert session().receive(stream, 0.0) == expected
    assert session(early=stream).start() == expected


def test_what_came_with_the_end_of_the_handshake_comes_first() -> None:
    frames = encode(NOTICE) + encode(SIGNAL)
    for at in range(len(frames) + 1):
        both = session(early=frames[:at])
        events = both.start()
        assert both.start() == []
        events += both.receive(frames[at:], 0.0) if at < len(frames) else []
        assert events == [Noticed(NOTICE), Signalled(SIGNAL)]


def test_a_fault_in_what_came_early_closes_as_any_other() -> None:
    early = session(early=encode(NOTICE) + b"\xff" * 4)
    events = early.start()
    assert events[0] == Noticed(NOTICE)
    assert closed(events).code == Code.FRAME_TOO_LARGE.number


HELLO = Hello(1, 1, 0, "a.example", bytes(32), (), "", 0, 1, 2**24)  # type: ignore[arg-type] # as it comes off the wire


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\xff" * 4, Code.FRAME_TOO_LARGE),
        (b"\0\0\0\1\xc1", Code.BAD_FRAME),
        (b"\0\0\0\0", Code.BAD_FRAME),
        (b"\0\0\0\2\x91\x63", Code.UNKNOWN_TYPE),
        (encode(HELLO), Code.OUT_OF_ORDER),
        (encode(Proof(bytes(64))), Code.OUT_OF_ORDER),
        (encode(Receipt(b"", bytes(64))), Code.BAD_SIGNATURE),
        (encode(Offer(1, (b"x",))) * 2, Code.DUPLICATE_BATCH),
        (encode(Offer(1, (b"x",) * 5)), Code.WINDOW_EXCEEDED),
        (encode(Delivered(1, (OUTCOME,) * 5)), Code.WINDOW_EXCEEDED),
    ],
)
def test_a_fault_is_told_by_number_alone(stream: bytes, code: Code) -> None:
    whole, single = session(window=(4, 1000)), session(window=(4, 1000))
    events = whole.receive(encode(NOTICE) + stream, 0.0)
    assert events[0] == Noticed(NOTICE)
    assert (closed(events).code, closed(events).by_peer) == (code.number, False)
    assert said(whole)[-1] == Goodbye(code.number, "")
    one_by_one = [event for at in range(len(stream)) for event in single.receive(stream[at : at + 1], 0.0)]
    assert one_by_one == events[1:]


def test_a_receipt_for_nothing_is_a_fault() -> None:
    payload = pack(ReceiptPayload(1, AT_MS, batch_digest(b"")))
    receipt = Receipt(payload, RIGHT.sign(Purpose.RECEIPT, payload))
    assert closed(session().receive(encode(receipt), 0.0)).code == Code.BAD_RECEIPT.number


# ── any bytes ───────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(messages, max_size=4), st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
def test_any_stream_gives_the_same_events_however_it_is_cut(
    talk: list[Message], changes: list[tuple[int, int]]
) -> None:
    stream = bytearray(b"".join(map(encode, talk)))
    for at, value in changes if stream else ():
        stream[at % len(stream)] = value
    whole, single = session(), session()
    data = bytes(stream)
    events = whole.receive(data, 0.0) if data else []
    one_by_one = [event for at in range(len(data)) for event in single.receive(data[at : at + 1], 0.0)]
    assert one_by_one == events
    assert whole.closed is single.closed is any(isinstance(event, Closed) for event in events)
    assert whole.bytes_to_send() == single.bytes_to_send()


@given(st.binary(max_size=200))
def test_any_bytes_are_events(data: bytes) -> None:
    session(early=data).start()
    session().receive(data, 0.0)
