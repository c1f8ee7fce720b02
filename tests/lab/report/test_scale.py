"""Axes: where marks lie and what they say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost_lab.report import words
from waypost_lab.report.grid import Grid, Level
from waypost_lab.report.scale import (
    count_ticks,
    latency_ticks,
    linear_ticks,
    nice_step,
    time_label,
    time_step,
    time_ticks,
    time_unit,
)


@pytest.mark.parametrize(
    ("peak", "ticks"),
    [
        (0, (0, 1)),
        (1, (0, 0.5, 1)),
        (7, (0, 2, 4, 6, 8)),
        (80, (0, 20, 40, 60, 80)),
        (424_321, (0, 200_000, 400_000, 600_000)),
    ],
)
def test_linear_marks_are_round_and_reach_the_peak(peak: float, ticks: tuple[float, ...]) -> None:
    assert linear_ticks(peak) == pytest.approx(ticks)


def test_counts_have_no_half_marks() -> None:
    assert count_ticks(0) == (0, 1)
    assert count_ticks(1) == (0, 1)
    assert count_ticks(3) == (0, 1, 2, 3)
    assert count_ticks(9) == (0, 5, 10)


@given(st.floats(1e-6, 1e15), st.integers(1, 12))
def test_a_nice_step_is_large_enough_and_no_larger_than_needed(span: float, most: int) -> None:
    step = nice_step(span, most)
    assert span / step <= most * (1 + 1e-6)
    assert span / step > most / 2.6


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (3.0, 80.0, (1, 10, 100)),
        (12.0, 1_800_000.0, (10, 1_000, 60_000, 3_600_000)),
        (500.0, 500.0, (100, 1_000)),
        (0.001, 0.001, (0.001, 0.01)),
    ],
)
def test_latency_marks_are_what_people_say(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert latency_ticks(low, high) == pytest.approx(ticks)


@given(st.floats(1e-3, 1e12), st.floats(1e-3, 1e12), st.integers(3, 9))
def test_latency_marks_span_any_two_values(one: float, other: float, most: int) -> None:
    low, high = sorted((one, other))
    ticks = latency_ticks(low, high, most)
    assert 2 <= len(ticks) <= most + 1
    assert ticks[0] <= low * (1 + 1e-6)
    assert ticks[-1] >= high * (1 - 1e-6)
    assert list(ticks) == sorted(set(ticks))


@pytest.mark.parametrize(
    ("end", "step", "labels"),
    [
        (0.4, 0.05, ["0.00 s", "0.05 s"]),
        (30, 5, ["0 s", "5 s"]),
        (90, 10, ["0:00", "0:10"]),
        (600, 60, ["0 min", "1 min"]),
        (7_200, 600, ["0:00", "0:10"]),
        (86_400, 7_200, ["0 h", "2 h"]),
        (691_200, 86_400, ["0 d", "1 d"]),
    ],
)
def test_time_marks_are_those_of_a_clock(end: float, step: float, labels: list[str]) -> None:
    assert time_step(end, 12) == pytest.approx(step)
    ticks = time_ticks(end, 12)
    assert [time_label(t, step, end) for t in ticks[:2]] == labels
    assert ticks[-1] <= end * (1 + 1e-9)


def test_the_unit_of_a_time_axis_tells_minutes_from_hours() -> None:
    assert time_unit(10, 90) == "m:ss"
    assert time_unit(600, 7_200) == "h:mm"
    assert time_label(5_400, 1_800, 7_200) == "1:30"


@given(st.floats(0, 3e8), st.integers(1, 160), st.floats(0, 1e6))
def test_a_grid_covers_the_run_in_few_buckets(end: float, most: int, at_least: float) -> None:
    grid = Grid.over(end, most, min(at_least, end))
    assert 1 <= grid.count <= most
    assert grid.stop(grid.count - 1) == grid.end_s
    assert grid.width_s >= min(at_least, end) * (1 - 1e-6)
    assert grid.index(-1) == 0
    assert grid.index(1e300 if end else 0) in (0, grid.count - 1)


@given(st.floats(0, 100), st.floats(0, 100))
def test_what_an_interval_overlaps_adds_up_to_it(one: float, other: float) -> None:
    grid = Grid(100.0, 7.0)
    start, stop = sorted((one, other))
    assert sum(inside for _, inside in grid.overlaps(start, stop)) == pytest.approx(stop - start, abs=1e-9)


def test_a_level_holds_until_it_is_set_and_keeps_each_buckets_peak() -> None:
    level = Level(Grid(50.0, 10.0))
    level.set(1, 5)
    level.set(2, 3)
    level.set(25, 0)
    assert level.values() == (5, 3, 3, 0, 0)


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0 ms"), (0.85, "850 µs"), (12, "12 ms"), (3_400, "3.4 s"), (150_000, "2.5 min"), (86_400_000, "1 d")],
)
def test_latencies_in_words(ms: float, said: str) -> None:
    assert words.milliseconds(ms).replace("\u202f", " ") == said


def test_numbers_in_words() -> None:
    assert [words.brief(n) for n in (0, 0.5, 250, 1_200, 30_000, 4e6)] == ["0", "0.5", "250", "1.2k", "30k", "4M"]
    assert [words.count(n) for n in (3, 1234567, 0.25)] == ["3", "1,234,567", "0.25"]
    assert [words.lasting(s) for s in (0.4, 45, 185, 86_400, 2 * 86_400 + 7_200)] == [
        "0.4 s", "45 s", "3 min 5 s", "24 h", "2 d 2 h",
    ]  # fmt: skip
    assert [words.clock(*pair) for pair in ((12.34, 50), (245, 600), (61_445, 86_400))] == [
        "12.34 s", "4:05", "17:04:05",
    ]  # fmt: skip
    assert words.listed(["a", "b", "c", "d", "e"], 3) == "a, b and 3 more"
    assert words.short("abcdef", 4) == "abc…"
