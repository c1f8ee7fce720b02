from __future__ import annotations

from itertools import product

import pytest

from waypost.protocol.custody.fate import FOLLOWS, Event, State, state_of
from waypost.protocol.directory.asks import TrackRow


def step(event: str, party: str = "finch.example", code: int = 0) -> TrackRow:
    return TrackRow(1, event, party, code)


def test_every_state_says_what_may_follow() -> None:
    assert set(FOLLOWS) == set(State)


def test_nothing_but_the_delivery_follows_an_end() -> None:
    for end, after in product((state for state in State if state.is_final), State):
        assert (after in FOLLOWS[end]) is (after is State.DELIVERED and end is not State.DELIVERED)


def test_a_life_only_goes_forward_except_from_waiting() -> None:
    life = (State.QUEUED, State.ACCEPTED, State.HELD, State.DELIVERED)
    for (place, before), (other, after) in product(enumerate(life), repeat=2):
        assert (after in FOLLOWS[before]) is (other > place)
        assert after in FOLLOWS[State.WAITING]


def test_a_word_of_a_newer_node_is_not_an_error() -> None:
    assert Event("teleported") is Event.OTHER
    assert State("teleported") is State.OTHER
    assert state_of([step("accepted"), step("teleported")]) == (State.ACCEPTED, 0)


def test_the_furthest_step_tells_and_one_device_is_enough() -> None:
    rows = [step("accepted"), step("queued"), step("bounced", "bob@finch.example", 300)]
    assert state_of(rows) == (State.BOUNCED, 300)
    assert state_of([*rows, step("delivered", "bob@finch.example")]) == (State.DELIVERED, 0)


def test_a_trace_has_at_least_one_step() -> None:
    with pytest.raises(ValueError, match="empty"):
        state_of([])
