"""The fault model, as values."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from waypost_lab.ways import CLEAR, LOSSES_MAX, Way, parse_duration, parse_latency, parse_share


def times(way: Way, size: int, how_many: int = 10_000) -> list[float | None]:
    rng = random.Random(7)
    return [way.transit_s(size, rng) for _ in range(how_many)]


def test_a_clear_way_takes_no_time_and_loses_nothing() -> None:
    assert set(times(CLEAR, 100_000, 100)) == {0.0}
    assert CLEAR.connect_s(random.Random(1)) == 0.0
    assert CLEAR.is_clear
    assert CLEAR.words() == ""


def test_latency_and_jitter_are_bounds() -> None:
    found = [time for time in times(Way(0.2, 0.05), 1, 1_000) if time is not None]
    assert len(found) == 1_000
    assert min(found) >= 0.2
    assert max(found) < 0.25
    assert max(found) - min(found) > 0.04, "there is no jitter"


def test_each_loss_in_a_row_doubles_the_wait() -> None:
    counts = Counter(round(time, 9) if time is not None else None for time in times(Way(loss=0.5), 1))
    assert counts[0.0] == pytest.approx(5_000, rel=0.05)
    assert counts[0.2] == pytest.approx(2_500, rel=0.1)
    delays = sorted(time for time in counts if time is not None)
    assert delays == pytest.approx([0.2 * (2**n - 1) for n in range(LOSSES_MAX)])


def test_a_long_run_of_losses_breaks_the_connection() -> None:
    assert set(times(Way(loss=1.0), 1, 10)) == {None}
    assert Way(loss=1.0).connect_s(random.Random(1)) is None
    assert None not in times(Way(loss=0.01), 1)


def test_timeouts_grow_with_the_round_trip() -> None:
    delayed = min(time for time in times(Way(0.5, loss=0.5), 1) if time is not None and time > 0.5)
    assert delayed == pytest.approx(0.5 + 1.0)


def test_many_packets_are_hit_more_often_than_one() -> None:
    one, many = (sum(time != 0.0 for time in times(Way(loss=0.05), size)) for size in (1_000, 14_480))
    assert one == pytest.approx(500, rel=0.2)
    assert many == pytest.approx(10_000 * (1 - 0.95**10), rel=0.1)


def test_a_lost_connection_request_waits_a_second() -> None:
    rng = random.Random(3)
    found = {Way(loss=0.3).connect_s(rng) for _ in range(500)}
    assert {0.0, 1.0, 3.0} <= found


def test_ways_say_what_they_do() -> None:
    assert Way(cut=True, latency_s=1).words() == "cut"
    assert Way(0.04, 0.005, 0.01).words() == "40 ms + 0–5 ms, loss 1%"


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("1.5s", 1.5), (" 0ms ", 0.0), ("60 s", 60.0)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert parse_latency(text) == parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "200", "fast", "-1s", "1m", "1e3s"])
def test_what_is_no_time_is_refused_with_a_remedy(text: str) -> None:
    with pytest.raises(ValueError, match="Write a number and a unit"):
        parse_duration(text)


def test_a_latency_has_a_bound() -> None:
    with pytest.raises(ValueError, match="cut the link"):
        parse_latency("61s")


@pytest.mark.parametrize(("text", "share"), [("5%", 0.05), ("0%", 0.0), ("100 %", 1.0), ("0.5%", 0.005)])
def test_shares_are_read(text: str, share: float) -> None:
    assert parse_share(text) == pytest.approx(share)


@pytest.mark.parametrize("text", ["", "5", "0.05", "101%", "-1%", "%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="percentage"):
        parse_share(text)
