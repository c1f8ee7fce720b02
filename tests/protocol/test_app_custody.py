"""What a device offers, what a receipt means for it, and what it takes."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.clock import SECOND_MS
from waypost.errors import Code, is_for_good
from waypost.ids import parse_address
from waypost.limits import CLOCK_TOLERANCE_MS, EXPIRY_MAX_S, RESEND_S, SEEN_EXTRA_MS
from waypost.protocol.custody.app import (
    NODE_CODES,
    RESEND_MAX_MS,
    Ended,
    Offering,
    Taken,
    Waits,
    end_of,
    fault_of,
    known_until_ms,
    resend_after_ms,
    verdict_on,
)
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass
from waypost.protocol.custody.fate import State
from waypost.protocol.custody.transfer import Refusal, Room

ME = parse_address("alice@birdy.example")
NOW_MS = 1_800_000_000_000


LETTER = Envelope(
    1, ME.provider, ("bob", ME.user), "carol@finch.example", NOW_MS, 60, EnvelopeClass.TEXT, "x-test", b""
)


def envelope(**fields: object) -> Envelope:
    return msgspec.structs.replace(LETTER, **fields)


# ── offering ────────────────────────────────────────────────────────────────────────────────────────────────────────


@given(st.lists(st.integers(1, 100)), st.integers(0, 10), st.integers(0, 300), st.sets(st.integers(0, 20)))
def test_the_oldest_that_fit_are_offered_and_none_twice(
    sizes: list[int], envelopes: int, size: int, in_flight: set[int]
) -> None:
    offering: Offering[int] = Offering()
    offering.offered(in_flight)
    due = list(enumerate(sizes))
    chosen = offering.choose(due, Room(envelopes, size))
    free = [key for key, _ in due if key not in in_flight]
    assert chosen == free[: len(chosen)]
    assert len(chosen) <= envelopes
    assert sum(sizes[key] for key in chosen) <= size
    rest = free[len(chosen) :]
    # Whatever was left out did not fit.
    assert not rest or len(chosen) == envelopes or sum(sizes[key] for key in chosen) + sizes[rest[0]] > size


def test_what_a_receipt_has_settled_may_be_offered_again() -> None:
    offering: Offering[str] = Offering()
    offering.offered(["a", "b", "c"])
    offering.settled(["a", "b"], [Refusal(1, Code.MAILBOX_FULL.number)], 100.0, 0.0)
    assert offering.choose([("a", 1), ("b", 1), ("c", 1)], Room(9, 9)) == ["a", "b"]
    assert (offering.in_flight, offering.paused_until) == (1, 0.0)


def test_refusals_about_the_node_pause_all_longer_each_time_until_it_takes_something() -> None:
    offering: Offering[str] = Offering()
    for pause_s in RESEND_S[:3]:
        offering.offered(["a"])
        offering.settled(["a"], [Refusal(0, Code.STORE_FULL.number)], 100.0, 0.0)
        assert offering.paused_until == 100.0 + pause_s
    offering.settled(["a"], [], 200.0, 0.0)
    offering.settled(["a"], [Refusal(0, Code.STORE_FULL.number)], 300.0, 0.0)
    assert offering.paused_until == 300.0 + RESEND_S[0]
    assert not any(is_for_good(code) for code in NODE_CODES)


# ── receipts ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", list(Code))
def test_refused_for_good_is_an_end_and_for_now_is_none(code: Code) -> None:
    verdict = verdict_on(Refusal(0, code.number), 0, 0.0)
    if is_for_good(code.number):
        state = State.EXPIRED if code is Code.EXPIRED else State.BOUNCED
        assert verdict == Ended(state, code.number)
        assert end_of(code.number) is state
    else:
        assert verdict == Waits(code.number, int(RESEND_S[0] * SECOND_MS))


def test_what_is_not_refused_is_taken() -> None:
    assert verdict_on(None, 3, 0.5) == Taken()
    assert end_of(0) is State.DELIVERED


def test_a_node_may_ask_for_patience_within_bounds() -> None:
    assert verdict_on(Refusal(0, Code.BUSY.number, 7), 5, 0.5) == Waits(Code.BUSY.number, 7_000)
    assert verdict_on(Refusal(0, Code.BUSY.number, 10**9), 0, 0.5) == Waits(Code.BUSY.number, RESEND_MAX_MS)


def test_tries_come_ever_later_and_spread() -> None:
    assert [resend_after_ms(tries, 0.0) for tries in range(len(RESEND_S))] == [int(s * SECOND_MS) for s in RESEND_S]
    assert resend_after_ms(10**6, 0.0) == RESEND_MAX_MS
    assert resend_after_ms(0, 0.5) == 1_750
    assert 1_500 <= resend_after_ms(0, 1 - 2**-16) < 1_510


# ── what a device takes ─────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_for_this_account_is_taken() -> None:
    assert fault_of(LETTER, ME, NOW_MS) is None


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"provider": "wren.example"}, Code.NOT_OURS),
        ({"users": ("bob",)}, Code.NOT_OURS),
        ({"sender": "Carol@finch.example"}, Code.MALFORMED_ENVELOPE),
        ({"sender": "carol"}, Code.MALFORMED_ENVELOPE),
        ({"created_ms": NOW_MS + 2 * CLOCK_TOLERANCE_MS + 1}, Code.FROM_FUTURE),
    ],
)
def test_what_is_not_is_refused_with_its_number(wrong: dict[str, object], code: Code) -> None:
    assert fault_of(envelope(**wrong), ME, NOW_MS) is code


@given(st.integers(-(10**9), 10**9), st.integers(1, EXPIRY_MAX_S))
def test_an_id_is_known_for_as_long_as_its_envelope_is_taken(age_ms: int, expires_s: int) -> None:
    letter = envelope(created_ms=NOW_MS - age_ms, expires_s=expires_s)
    assert fault_of(letter, ME, known_until_ms(letter)) is Code.EXPIRED
    assert fault_of(letter, ME, NOW_MS - age_ms + expires_s * SECOND_MS + SEEN_EXTRA_MS - 1) is None
    assert fault_of(letter, ME, NOW_MS - age_ms + expires_s * SECOND_MS + SEEN_EXTRA_MS) is Code.EXPIRED
