"""How long messages took, over the whole run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from waypost.lab.report.chart import WIDTH, Key, Panel, panel_of, stretched
from waypost.lab.report.model import Latencies, Picture
from waypost.lab.report.scale import count_ticks
from waypost.lab.report.svg import Markup, element, join, number
from waypost.lab.report.words import brief, count, milliseconds

_HEIGHT, _TOP, _FOOT = 210, 50, 22  #: of the plot; above the bars for the percentiles; below for the marks
_MARKS: Final = 6


def distribution(picture: Picture) -> Markup:
    """Empty if no message was timed."""
    overall, bins = picture.overall, picture.distribution
    if overall is None or not bins:
        return Markup("")
    low, high = bins[0].low, bins[-1].high
    ticks = count_ticks(max(each.count for each in bins), 3)
    floor = _HEIGHT - _FOOT

    def x(ms: float) -> float:
        return math.log(min(max(ms, low), high) / low) / math.log(high / low)

    def y(value: float) -> float:
        return floor - (floor - _TOP) * value / ticks[-1]

    bars = "".join(
        f"M{number(WIDTH * x(each.low))} {floor}V{number(y(each.count))}H{number(WIDTH * x(each.high))}V{floor}Z"
        for each in bins
        if each.count
    )
    plot = join(
        [
            stretched(_HEIGHT, element("path", d=bars, class_="area bins")),
            _percentiles(overall, x),
            join(_mark(ms, x(ms)) for ms in _decades(low, high)),
            _hits(picture, x),
        ]
    )
    unit = f"{count(overall.count)} messages, logarithmic"
    panel = Panel(
        "Latency of all messages",
        unit,
        f"Half arrived within {milliseconds(overall.p50)}, 90 % within {milliseconds(overall.p90)}, 99 % within "
        f"{milliseconds(overall.p99)}; the longest took {milliseconds(overall.most)}.",
        _HEIGHT,
        plot,
        [(y(tick), brief(tick)) for tick in ticks],
        [Key("bins", "messages", "area"), Key("p50", "percentiles")],
        name="distribution",
    )
    return panel_of(panel, "")


def _percentiles(overall: Latencies, x: Callable[[float], float]) -> Markup:
    """Upright lines, their labels one below the other, so that they may be close."""
    drawn = []
    for row, (name, ms) in enumerate((("p50", overall.p50), ("p90", overall.p90), ("p99", overall.p99))):
        at, y = 100 * x(ms), 12 + 15 * row
        late = at > 55
        drawn += [
            element(
                "line", class_="percentile", x1=f"{number(at)}%", x2=f"{number(at)}%", y1=y - 10, y2=_HEIGHT - _FOOT
            ),
            element(
                "text",
                f"{name} {milliseconds(ms)}",
                class_="name",
                x=f"{number(at)}%",
                y=y,
                dx=-5 if late else 5,
                text_anchor="end" if late else "start",
            ),
        ]
    return join(drawn)


def _decades(low: float, high: float) -> list[float]:
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    if last - first < 1:
        # Within a decade: the ends say more.
        return [low, math.sqrt(low * high), high]
    step = math.ceil((last - first + 1) / _MARKS)
    return [10.0**power for power in range(first, last + 1, step)]


def _mark(ms: float, at: float) -> Markup:
    anchor = "start" if at < 0.03 else "end" if at > 0.97 else "middle"
    return element("text", milliseconds(ms), class_="mark", x=f"{number(100 * at)}%", y=_HEIGHT - 6, text_anchor=anchor)


def _hits(picture: Picture, x: Callable[[float], float]) -> Markup:
    return join(
        element(
            "rect",
            element("title", f"{milliseconds(each.low)} to {milliseconds(each.high)}: {count(round(each.count))}"),
            class_="hit",
            x=f"{number(100 * x(each.low))}%",
            width=f"{number(100 * (x(each.high) - x(each.low)))}%",
            height=_HEIGHT - _FOOT,
        )
        for each in picture.distribution
        if each.count
    )
