"""Where a peer stands: the table, state by state, and what holds for all of it."""

import itertools
from functools import reduce

import pytest

from waypost.routing.peering import TABLE, PeerEvent, Peering, after

I, W, D, L, T, B, G = Peering  # noqa: E741 - a table

#: Event → the state after it, from each state in the order above.
EXPECTED = {
    PeerEvent.NEEDED: (W, W, D, L, T, B, G),
    PeerEvent.UNNEEDED: (I, I, D, L, T, B, G),
    PeerEvent.TRIED: (I, D, D, L, T, B, G),
    PeerEvent.FAILED: (I, W, T, L, T, B, G),
    PeerEvent.CONNECTED: (L, L, L, L, L, B, G),
    PeerEvent.LOST: (I, W, D, T, T, B, G),
    PeerEvent.DUE: (I, W, D, L, I, B, G),
    PeerEvent.BLOCK: (B, B, B, B, B, B, B),
    PeerEvent.UNBLOCK: (I, W, D, L, T, I, G),
    PeerEvent.CLOSED: (G, G, G, G, G, B, G),
    PeerEvent.RETURNED: (I, W, D, L, T, B, I),
}


@pytest.mark.parametrize("event", PeerEvent)
def test_the_table(event: PeerEvent) -> None:
    assert tuple(after(state, event) for state in Peering) == EXPECTED[event]


def test_each_state_can_be_reached_and_left() -> None:
    assert set(TABLE) == set(Peering)
    reached = {next_ for row in TABLE.values() for next_ in row.values()}
    assert reached == set(Peering)
    assert all(any(next_ is not state for next_ in TABLE[state].values()) for state in Peering)


def test_a_peer_is_dialled_only_where_it_is_wanted() -> None:
    assert [state for state in Peering if state is not D and after(state, PeerEvent.TRIED) is D] == [W]


@pytest.mark.parametrize("state", [I, W, D])
def test_a_failure_is_followed_by_a_wait_before_the_next_try(state: Peering) -> None:
    """Whatever else happens, but for what says that it may be tried again, or what is stronger."""
    waiting = reduce(after, (PeerEvent.NEEDED, PeerEvent.TRIED, PeerEvent.FAILED), state)
    others = set(PeerEvent) - {PeerEvent.DUE, PeerEvent.CONNECTED, PeerEvent.BLOCK, PeerEvent.CLOSED}
    for events in itertools.product(others, repeat=3):
        assert reduce(after, events, waiting) is T


@pytest.mark.parametrize("first", [PeerEvent.BLOCK, PeerEvent.CLOSED])
def test_who_is_blocked_or_gone_stays_so_until_told_otherwise(first: PeerEvent) -> None:
    back = {PeerEvent.UNBLOCK, PeerEvent.RETURNED}
    for state in Peering:
        stands = after(state, first)
        assert reduce(after, set(PeerEvent) - back - {PeerEvent.BLOCK}, stands) is stands
