"""Lanes, histograms, and markup that nothing can break out of."""

from __future__ import annotations

from itertools import combinations, pairwise
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost_lab.report.histogram import Histogram
from waypost_lab.report.lanes import label_s, label_start, lanes
from waypost_lab.report.model import Band, Latencies
from waypost_lab.report.svg import Markup, element, escape, number, path

END = 600.0


def band(start: float, stop: float, name: str = "cut") -> Band:
    return Band(name, ("birdy.local", "finch.local"), "", start, stop, mended=True)


def covers(each: Band) -> tuple[float, float]:
    start = label_start(each, END)
    return start, max(each.stop, start + label_s(each, END))


def test_bands_apart_share_a_lane_and_those_at_once_do_not() -> None:
    placed = lanes([band(0, 10), band(300, 400), band(310, 320), band(100, 590)], END)
    assert [(each.start, each.lane) for each in placed] == [(0, 0), (100, 1), (300, 0), (310, 2)]


def test_a_short_band_keeps_room_for_its_label() -> None:
    needs = label_s(band(0, 1), END)
    assert [each.lane for each in lanes([band(0, 1), band(needs - 1, needs)], END)] == [0, 1]
    assert [each.lane for each in lanes([band(0, 1), band(needs + 1, needs + 2)], END)] == [0, 0]


def test_a_label_at_the_end_goes_to_the_left() -> None:
    late = band(599, 600)
    assert label_start(late, END) == pytest.approx(END - label_s(late, END))


@given(st.lists(st.tuples(st.floats(0, END), st.floats(0, END)), max_size=30))
def test_nothing_in_a_lane_covers_anything_else(spans: list[tuple[float, float]]) -> None:
    placed = lanes([band(min(span), max(span)) for span in spans], END)
    assert len(placed) == len(spans)
    for one, other in combinations(placed, 2):
        if one.lane == other.lane:
            (a, b), (c, d) = covers(one), covers(other)
            assert b <= c or d <= a


def test_percentiles_of_single_messages_are_right_to_a_bin() -> None:
    histogram = Histogram()
    for ms in range(1, 1001):
        histogram.add(float(ms))
    found = histogram.summary()
    assert found is not None
    assert (found.p50, found.p90, found.p99) == pytest.approx((500, 900, 990), rel=0.045)
    assert (found.count, found.most, found.exact) == (1000, 1000, False)
    assert sum(each.count for each in histogram.bins()) == 1000


def test_one_summary_stays_exactly_as_it_was() -> None:
    histogram, summary = Histogram(), Latencies(100, 12.5, 40, 90, 95, exact=True)
    histogram.add_summary(summary)
    whole = Histogram()
    whole.merge(histogram)
    assert histogram.summary() == whole.summary() == summary


def test_several_summaries_make_one_distribution() -> None:
    histogram = Histogram()
    histogram.add_summary(Latencies(900, 10, 12, 14, 15, exact=True))
    histogram.add_summary(Latencies(100, 10_000, 12_000, 14_000, 15_000, exact=True))
    found = histogram.summary()
    assert found is not None
    assert found.count == pytest.approx(1000)
    assert found.p50 < 13
    assert found.p99 == pytest.approx(11_500, rel=0.2)
    assert found.most == 15_000


@pytest.mark.parametrize("ms", [-5.0, 0.0, 1e-9, 1e300])
def test_latencies_out_of_reason_are_kept_in_bounds(ms: float) -> None:
    histogram = Histogram()
    histogram.add(ms)
    found = histogram.summary()
    assert found is not None
    assert 0 < found.p50 <= 1e12
    assert len(histogram.bins()) == 1


@given(st.lists(st.floats(0.001, 1e9), min_size=1, max_size=200))
def test_percentiles_rise_and_bins_hold_every_message(values: list[float]) -> None:
    histogram = Histogram()
    for ms in values:
        histogram.add(ms)
    found = histogram.summary()
    assert found is not None
    assert found.p50 <= found.p90 <= found.p99 <= found.most * (1 + 1e-9)
    bins = histogram.bins()
    assert len(bins) <= 72
    assert sum(each.count for each in bins) == pytest.approx(len(values))
    assert all(one.high == pytest.approx(other.low) for one, other in pairwise(bins))


@given(st.text())
def test_any_text_stays_text(text: str) -> None:
    made = element("text", text, title=text)
    parsed = ET.fromstring(made)
    assert list(parsed) == []
    assert set(parsed.attrib) == {"title"}


def test_markup_is_not_escaped_twice_and_text_always_once() -> None:
    inner = element("b", "<i>&'\"")
    assert inner == "<b>&lt;i&gt;&amp;&#x27;&quot;</b>"
    assert element("p", inner) == f"<p>{inner}</p>"
    assert isinstance(inner, Markup)


def test_what_acts_unseen_is_replaced() -> None:
    assert escape("a\u202eb\x00c\ud800d\ne") == "a\ufffdb\ufffdc\ufffdd\ufffde"


def test_coordinates_are_short() -> None:
    assert [number(n) for n in (1.0, 0.333333, -0.001, 12)] == ["1", "0.33", "0", "12"]
    assert path([(0, 1), (2.5, 3)]) == "M0 1L2.5 3"
    assert path([]) == ""
