from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.routing.retry import PROBE_GAP_S, Backoff, delay_s

MIDDLE = 0.5
EARLY = [2, 10, 30, 120, 300, 900, 1800, 3600]


@pytest.mark.parametrize(("failures", "seconds"), list(enumerate(EARLY, 1)))
def test_the_schedule(failures: int, seconds: float) -> None:
    assert delay_s(failures, MIDDLE) == pytest.approx(seconds)


def test_hourly_for_a_day_then_every_six_hours() -> None:
    delays = [delay_s(n, MIDDLE) for n in range(8, 40)]
    assert delays[:24] == pytest.approx([3600] * 24)
    assert delays[24:] == pytest.approx([6 * 3600] * 8)


@given(st.integers(1, 10**9), st.floats(0, 1, exclude_max=True))
def test_jitter_spreads_over_a_fifth_either_way(failures: int, jitter: float) -> None:
    middle = delay_s(failures, MIDDLE)
    assert 0.8 * middle * 0.999 <= delay_s(failures, jitter) <= 1.2 * middle * 1.001


def test_jitter_reaches_both_ends() -> None:
    assert delay_s(1, 0.0) == pytest.approx(1.6)
    assert delay_s(1, 0.999999) == pytest.approx(2.4, rel=1e-4)


@pytest.mark.parametrize(("failures", "jitter"), [(0, 0.5), (-1, 0.5), (1, 1.0), (1, -0.1), (1, float("nan"))])
def test_nonsense_is_refused(failures: int, jitter: float) -> None:
    with pytest.raises(ValueError, match="failures"):
        delay_s(failures, jitter)


def test_a_new_peer_is_due_at_once_and_a_failed_one_later() -> None:
    peer = Backoff()
    assert peer.due(0.0)
    peer = peer.failed(100.0, MIDDLE)
    assert (peer.due(101.9), peer.due(102.0)) == (False, True)
    peer = peer.failed(102.0, MIDDLE)
    assert (peer.due(111.9), peer.due(112.0)) == (False, True)
    assert peer.succeeded() == Backoff()


def _after(failures: int, now: float) -> Backoff:
    peer = Backoff()
    for _ in range(failures):
        peer = peer.failed(now, MIDDLE)
    return peer


def test_a_sign_of_life_brings_one_try_and_no_reset() -> None:
    peer = _after(9, 0.0)
    assert not peer.due(1000.0)
    peer = peer.heard(1000.0)
    assert peer.due(1000.0)
    assert peer.failures == 9
    assert peer.heard(1001.0) == peer
    peer = peer.failed(1005.0, MIDDLE)
    assert peer.failures == 10
    assert not peer.due(1005.0 + 3599)
    assert peer.heard(2000.0).due(2000.0)


def test_a_sign_of_life_means_nothing_to_a_peer_in_good_health() -> None:
    assert Backoff().heard(5.0) == Backoff()


def test_a_sign_of_life_never_delays() -> None:
    peer = _after(1, 0.0)
    late = peer.heard(50.0)
    assert late.next_try <= peer.next_try


@given(st.integers(1, 40), st.lists(st.floats(0.001, 1), min_size=1, max_size=60))
def test_a_flood_of_signs_cannot_hurry_the_tries(failures: int, gaps: list[float]) -> None:
    peer, now, tries = _after(failures, 0.0), 0.0, [0.0]
    for gap in gaps:
        now += gap
        peer = peer.heard(now)
        if peer.due(now):
            tries.append(now)
            peer = peer.failed(now, 0.0)
    assert all(later - earlier >= PROBE_GAP_S * 0.8 for earlier, later in pairwise(tries))
