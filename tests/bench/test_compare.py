"""What `scripts/bench --against` says of the figures of two commits."""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import pytest
from scripts.support.bench import show
from scripts.support.bench.compare import Reading, Row, Spread, Who, flat, interleaved, median_of, rows, turns


def test_the_two_take_turns_in_going_first() -> None:
    new_first, old_first = (Who.NEW, Who.OLD), (Who.OLD, Who.NEW)
    assert list(turns(5)) == [new_first, old_first, new_first, old_first, new_first]


def test_they_are_measured_in_these_turns() -> None:
    asked: list[Who] = []

    def measure(who: Who) -> dict[str, Any]:
        asked.append(who)
        return {"nth": len(asked)}

    measured = interleaved(3, measure)
    assert asked == [Who.NEW, Who.OLD, Who.OLD, Who.NEW, Who.NEW, Who.OLD]
    assert [(each[Who.NEW]["nth"], each[Who.OLD]["nth"]) for each in measured] == [(1, 2), (4, 3), (5, 6)]


def test_a_result_is_flat_numbers() -> None:
    result = {"a": 1, "b": {"c": 2.5, "d": {"e": 3}}, "text": "x", "none": None, "yes": True}
    assert flat(result) == {"a": 1, "b.c": 2.5, "b.d.e": 3}


def measured(name: str, *pairs: tuple[float, float]) -> list[dict[Who, dict[str, float]]]:
    return [{Who.NEW: {name: new}, Who.OLD: {name: old}} for new, old in pairs]


def test_ratios_are_taken_within_a_round() -> None:
    # The machine became ten times slower meanwhile; each round says 1.1, 0.9 or 1.2.
    [row] = rows(measured("cpu_s", (110, 100), (90, 100), (1200, 1000)))
    assert row.new == Spread(110, 90, 1200)
    assert row.old == Spread(100, 100, 1000)
    assert row.ratio is not None
    assert astuple(row.ratio) == pytest.approx((1.1, 0.9, 1.2))
    assert row.loss == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("name", "pairs", "reading"),
    [
        ("p50_ms", [(12, 10)] * 5, Reading.WORSE),
        ("p50_ms", [(8, 10)] * 5, Reading.BETTER),
        ("messages_per_s", [(12, 10)] * 5, Reading.BETTER),
        ("messages_per_s", [(8, 10)] * 5, Reading.WORSE),
        ("outer.connects_per_s", [(8, 10)] * 5, Reading.WORSE),
        ("p50_ms", [(12, 10)] * 4 + [(9, 10)], Reading.NOISE),
        ("p50_ms", [(12, 10)] * 4, Reading.FEW),
        ("pairs", [(1, 1)] * 2, Reading.SAME),
        ("lost", [(1, 0)] * 5, Reading.FEW),
    ],
)
def test_a_reading_needs_rounds_that_agree(name: str, pairs: list[tuple[float, float]], reading: Reading) -> None:
    assert rows(measured(name, *pairs))[0].reading is reading


def test_what_is_counted_is_added_up_and_has_no_ratio() -> None:
    [row] = rows(measured("a.lost", (1, 0), (2, 0), (0, 4)))
    assert row == Row("a.lost", Spread(3, 3, 3), Spread(4, 4, 4), None, 0)


def test_nothing_is_divided_by_zero() -> None:
    [row] = rows(measured("cpu_percent", (0.0, 0.0), (0.1, 0.0), (0.2, 0.1)))
    assert row.ratio == Spread(1.5, 1.0, 2.0)
    assert row.rounds == 2


def test_a_figure_of_one_side_is_shown_as_such() -> None:
    each: dict[Who, dict[str, float]] = {Who.NEW: {"both": 1, "idle_kib": 50}, Who.OLD: {"both": 2, "gone": 7}}
    found = {row.name: row for row in rows([each] * 5)}
    assert list(found) == ["both", "idle_kib", "gone"]
    assert found["both"].reading is Reading.BETTER
    assert found["idle_kib"].reading is found["gone"].reading is Reading.ONE_SIDE
    assert show.table(list(found.values())).count("measured on one side only") == 2


def test_what_is_worse_is_named_apart_by_whether_all_rounds_say_so() -> None:
    sure, unsure = rows(measured("p50_ms", *[(12, 10)] * 5)), rows(measured("p99_ms", *[(12, 10)] * 4, (9, 10)))
    within, quicker = rows(measured("cpu_s", *[(104, 100)] * 5)), rows(measured("x_per_s", *[(12, 10)] * 5))
    assert show.verdict([*sure, *unsure, *within, *quicker]) == (
        "worse by more than 5% in the median, and worse in every one of enough rounds: p50_ms (+20%)\n"
        "worse by more than 5% in the median only: p99_ms (+20%)"
    )


def test_runs_of_one_side_give_medians_and_sums() -> None:
    runs = [{"x_per_s": x, "lost": 1, "inner": {"ms": x / 10}, "text": None} for x in (10, 50, 20)]
    assert median_of(runs) == {"x_per_s": 20, "lost": 3, "inner": {"ms": 2.0}, "text": None}
