import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.routing.quota import Buckets, TokenBucket


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(10.0, 50)
    assert bucket.take(70, 0.0) == 50
    assert bucket.take(1, 0.0) == 0
    assert bucket.take(10, 0.55) == 5
    assert bucket.take(1000, 1000.0) == 50


def test_what_is_allowed_in_part_uses_up_that_part_only() -> None:
    bucket = TokenBucket(1.0, 10)
    assert bucket.take(4, 0.0) == 4
    assert bucket.take(100, 0.0) == 6
    assert bucket.take(0, 0.0) == 0


def test_wait_is_when_it_would_be_allowed() -> None:
    bucket = TokenBucket(4.0, 8)
    assert bucket.wait_s(8, 0.0) == 0
    bucket.take(8, 0.0)
    assert bucket.wait_s(2, 0.0) == pytest.approx(0.5)
    assert bucket.wait_s(100, 0.0) == pytest.approx(2.0)
    assert bucket.take(2, 0.5) == 2


def test_rate_zero_is_no_limit() -> None:
    bucket = TokenBucket(0.0, 0)
    assert bucket.take(10**9, 0.0) == 10**9
    assert bucket.wait_s(10**9, 0.0) == 0
    assert bucket.is_full(0.0)


@pytest.mark.parametrize(("rate", "burst"), [(-1.0, 1), (1.0, 0)])
def test_nonsense_is_refused(rate: float, burst: int) -> None:
    with pytest.raises(ValueError, match="at once"):
        TokenBucket(rate, burst)
    with pytest.raises(ValueError, match="at once"):
        Buckets[str](rate, burst, 10)


@given(st.lists(st.tuples(st.integers(0, 50), st.floats(-5, 5)), max_size=60))
def test_never_more_than_burst_plus_rate_even_if_the_clock_goes_back(steps: list[tuple[int, float]]) -> None:
    bucket, now, high, taken = TokenBucket(7.0, 30), 0.0, 0.0, 0
    bucket.take(0, 0.0)
    for n, gap in steps:
        now += gap
        high = max(high, now)
        taken += bucket.take(n, now)
        assert taken <= 30 + 7.0 * high + 1e-6


def test_each_key_has_its_own() -> None:
    table = Buckets[str](1.0, 5, 10)
    assert table.take("a", 9, 0.0) == 5
    assert table.take("b", 9, 0.0) == 5
    assert table.wait_s("a", 1, 0.0) == pytest.approx(1.0)


def test_a_full_bucket_leaves_first() -> None:
    table = Buckets[str](1.0, 5, 3)
    table.take("drained", 5, 0.0)
    table.get("full", 0.0)
    table.take("used", 1, 0.0)
    assert table.take("new", 9, 0.0) == 5
    assert ["drained" in table, "full" in table, "used" in table] == [True, False, True]


def test_many_keys_win_no_tokens() -> None:
    table = Buckets[int](1.0, 10, 32)
    allowed = sum(table.take(key, 10, 0.0) for key in range(5_000))
    assert len(table) == 32
    assert allowed == 32 * 10
    # Nor does coming back after having been forgotten.
    assert table.take(0, 10, 0.0) == 0


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 10), st.floats(0, 0.5)), max_size=150))
def test_the_whole_table_allows_no_more_than_its_buckets_could(steps: list[tuple[int, int, float]]) -> None:
    table, now, taken = Buckets[int](2.0, 10, 8), 0.0, 0
    for key, n, gap in steps:
        now += gap
        taken += table.take(key, n, now)
        assert len(table) <= 8
        assert taken <= 8 * (10 + 2.0 * now) + 1e-6


def test_a_table_has_room() -> None:
    with pytest.raises(ValueError, match="no buckets"):
        Buckets[int](1.0, 1, 0)
