"""One message to many: in several envelopes, each for recipients at one provider, and each recipient has a history."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from waypost.client.mail import history
from waypost.client.mail.history import SentRecord
from waypost.client.mail.outgoing import Draft, Outgoing, SealedBody
from waypost.client.mail.status import Status
from waypost.client.parts import in_a_thread
from waypost.client.profile.at_rest import AtRest
from waypost.client.profile.database import open_database
from waypost.errors import Code
from waypost.ids import parse_address
from waypost.limits import EXPIRY_MAX_S, JOURNAL_LIFETIME_MS
from waypost.protocol.custody.app import Offering
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.custody.fate import State
from waypost.protocol.custody.transfer import Outcome, Refusal, Room
from waypost.protocol.frames.messages import Notice, NoticeKind

ME = parse_address("alice@birdy.example")
BOB, CAROL, DAN = map(parse_address, ("bob@finch.example", "carol@finch.example", "dan@wren.example"))
NOW_MS = 1_800_000_000_000
LOCAL = b"l" * 16
ROOM = Room(10, 10**6)


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    database = open_database(tmp_path / "state.db", in_a_thread, NOW_MS)
    yield database._connection
    database._connection.close()


@pytest.fixture
def outgoing(conn: sqlite3.Connection) -> Outgoing:
    made = Outgoing(ME, AtRest(b"s" * 32, bytes), float)
    made.add(conn, Draft(LOCAL, (DAN, BOB, CAROL), NOW_MS, EXPIRY_MAX_S, b"to all", accepts_key=False))
    return made


def sent(conn: sqlite3.Connection) -> SentRecord:
    record = history.find(conn, LOCAL)
    assert record is not None
    return record


def states(conn: sqlite3.Connection) -> dict[str, list[str]]:
    return {str(to.address.user): [status.state.value for status in to.history] for to in sent(conn).recipients}


def contents_left(conn: sqlite3.Connection) -> tuple[int, int]:
    (messages,) = conn.execute("SELECT count(content) FROM message").fetchone()
    (envelopes,) = conn.execute("SELECT count(data) FROM envelope").fetchone()
    return messages, envelopes


def seal_finch(conn: sqlite3.Connection, outgoing: Outgoing) -> None:
    rows = [outgoing.unsealed(conn, address)[0].recipient for address in (CAROL, BOB)]
    assert outgoing.enclose(conn, rows, SealedBody("x-test", b"body")) == [LOCAL]


def test_an_envelope_is_for_all_its_recipients_at_a_provider(conn: sqlite3.Connection, outgoing: Outgoing) -> None:
    seal_finch(conn, outgoing)
    assert outgoing.waiting_for_keys(conn) == [DAN]
    [ready] = outgoing.ready(conn, NOW_MS, ROOM, Offering())
    envelope = decode_envelope(ready.envelope)
    assert (envelope.provider, envelope.users, envelope.suite) == ("finch.example", ("bob", "carol"), "x-test")
    assert {to.address: to.envelope_id for to in sent(conn).recipients} == {DAN: None, BOB: ready.id, CAROL: ready.id}
    assert history.find(conn, ready.id) == sent(conn)
    # dan waits for the content, finch.example for its envelope.
    assert contents_left(conn) == (1, 1)


def test_each_recipient_has_a_fate_of_its_own(conn: sqlite3.Connection, outgoing: Outgoing) -> None:
    seal_finch(conn, outgoing)
    ready = outgoing.ready(conn, NOW_MS, ROOM, Offering())
    outgoing.settle(conn, ready, [], (NOW_MS, NOW_MS))
    history.noticed(conn, Notice(NoticeKind.HELD, 0, NOW_MS, ready[0].id), NOW_MS)
    history.reported(conn, ME, [Outcome("alice", str(BOB), 0, NOW_MS, ready[0].id)])
    history.reported(conn, ME, [Outcome("alice", str(CAROL), Code.MAILBOX_FULL.number, NOW_MS, ready[0].id)])
    # Nobody at that address was written to in this envelope.
    assert history.reported(conn, ME, [Outcome("alice", str(DAN), 0, NOW_MS, ready[0].id)]) == []
    outgoing.no_keys(conn, DAN, Code.UNREACHABLE.number, (NOW_MS, NOW_MS + 1))
    assert states(conn) == {
        "dan": ["queued", "waiting"],
        "bob": ["queued", "accepted", "held", "delivered"],
        "carol": ["queued", "accepted", "held", "bounced"],
    }
    assert contents_left(conn) == (1, 0)


def test_what_no_recipient_needs_leaves_the_database(conn: sqlite3.Connection, outgoing: Outgoing) -> None:
    seal_finch(conn, outgoing)
    outgoing.no_keys(conn, DAN, Code.NOT_FOUND.number, (NOW_MS, 0))
    assert contents_left(conn) == (0, 1)
    [ready] = outgoing.ready(conn, NOW_MS, ROOM, Offering())
    # One recipient has come to an end; the envelope is still needed for the other.
    history.note(conn, 2, Status(State.EXPIRED, NOW_MS))
    assert outgoing.ready(conn, NOW_MS, ROOM, Offering()) == [ready]
    history.note(conn, 3, Status(State.EXPIRED, NOW_MS))
    assert outgoing.ready(conn, NOW_MS, ROOM, Offering()) == []
    assert contents_left(conn) == (0, 0)


def test_refused_for_now_each_recipient_waits_and_for_good_each_is_bounced(
    conn: sqlite3.Connection, outgoing: Outgoing
) -> None:
    seal_finch(conn, outgoing)
    ready = outgoing.ready(conn, NOW_MS, ROOM, Offering())
    outgoing.settle(conn, ready, [Refusal(0, Code.BUSY.number, 60)], (NOW_MS, NOW_MS))
    assert outgoing.ready(conn, NOW_MS, ROOM, Offering()) == []
    assert outgoing.next_due(conn, NOW_MS) == NOW_MS + 60_000
    assert states(conn)["bob"] == states(conn)["carol"] == ["queued", "waiting"]
    outgoing.settle(conn, ready, [Refusal(0, Code.TOO_LARGE.number)], (NOW_MS, NOW_MS))
    assert states(conn)["bob"] == states(conn)["carol"] == ["queued", "waiting", "bounced"]
    assert outgoing.next_due(conn, NOW_MS) is None
    assert states(conn)["dan"] == ["queued"]


def test_time_ends_only_what_still_waits_here(conn: sqlite3.Connection, outgoing: Outgoing) -> None:
    seal_finch(conn, outgoing)
    outgoing.settle(conn, outgoing.ready(conn, NOW_MS, ROOM, Offering()), [], (NOW_MS, NOW_MS))
    late_ms = NOW_MS + EXPIRY_MAX_S * 1000
    assert outgoing.expire(conn, late_ms) == [LOCAL]
    assert states(conn) == {
        "dan": ["queued", "expired"],
        "bob": ["queued", "accepted"],
        "carol": ["queued", "accepted"],
    }
    assert contents_left(conn) == (0, 0)


def test_a_message_is_forgotten_when_nobody_waits_for_it(conn: sqlite3.Connection, outgoing: Outgoing) -> None:
    seal_finch(conn, outgoing)
    outgoing.settle(conn, outgoing.ready(conn, NOW_MS, ROOM, Offering()), [], (NOW_MS, NOW_MS))
    old_ms = NOW_MS + JOURNAL_LIFETIME_MS
    history.forget(conn, old_ms)
    assert sent(conn).local == LOCAL
    outgoing.expire(conn, old_ms)
    history.forget(conn, old_ms)
    assert history.find(conn, LOCAL) is None
    for table in ("envelope", "recipient", "status"):
        assert conn.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)


def test_recipients_of_two_messages_or_providers_share_no_envelope(
    conn: sqlite3.Connection, outgoing: Outgoing
) -> None:
    outgoing.add(conn, Draft(b"m" * 16, (BOB,), NOW_MS, 60, b"to bob", accepts_key=False))
    first, second = (waiting.recipient for waiting in outgoing.unsealed(conn, BOB))
    dan = outgoing.unsealed(conn, DAN)[0].recipient
    for rows in ([first, second], [first, dan]):
        with pytest.raises(ValueError, match="one message at one provider"):
            outgoing.enclose(conn, rows, SealedBody("x-test", b"body"))
    for recipients in ((), (BOB, BOB)):
        with pytest.raises(ValueError, match="each of them once"):
            outgoing.add(conn, Draft(b"n" * 16, recipients, NOW_MS, 60, b"?", accepts_key=False))
