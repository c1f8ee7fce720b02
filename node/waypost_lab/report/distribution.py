"""How long messages took, over the whole run."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from waypost_lab.report.chart import WIDTH, Key, Panel, panel_of, stretched
from waypost_lab.report.model import Latencies, Picture
from waypost_lab.report.scale import Axis, count_ticks, latency_ticks, log_share
from waypost_lab.report.svg import Markup, element, join, number
from waypost_lab.report.words import brief, count, milliseconds, of

_HEIGHT, _TOP, _FOOT = 240, 52, 22  #: of the plot; above the bars for the percentiles; below for the marks
_MARKS: Final = 9


def distribution(picture: Picture) -> Markup:
    """Empty if no message was timed."""
    overall, bins = picture.overall, picture.distribution
    if overall is None or not bins:
        return Markup("")
    low, high = bins[0].low, bins[-1].high
    floor = _HEIGHT - _FOOT
    axis = Axis(count_ticks(max(each.count for each in bins), 3), floor, _TOP)

    def x(ms: float) -> float:
        return log_share(ms, low, high)

    bars = "".join(
        f"M{number(WIDTH * x(each.low))} {floor}V{number(axis.y(each.count))}H{number(WIDTH * x(each.high))}V{floor}Z"
        for each in bins
        if each.count
    )
    plot = join(
        [
            stretched(_HEIGHT, element("path", d=bars, class_="area bins")),
            _percentiles(overall, x),
            _axis(low, high, x),
            _hits(picture, x),
        ]
    )
    unit = f"{of(round(overall.count), 'message')}, logarithmic"
    panel = Panel(
        "Latency of all messages",
        unit,
        f"Half arrived within {milliseconds(overall.p50)}, 90\u00a0% within {milliseconds(overall.p90)}, "
        f"99\u00a0% within {milliseconds(overall.p99)}; the longest took {milliseconds(overall.most)}.",
        _HEIGHT,
        plot,
        axis.marks(brief),
        [Key("bins", "messages", "area"), Key("p50", "percentiles")],
        name="distribution",
    )
    return panel_of(panel, "")


def _percentiles(overall: Latencies, x: Callable[[float], float]) -> Markup:
    """Upright lines, their labels one below the other, so that they may be close."""
    found = [("p50", overall.p50), ("p90", overall.p90), ("p99", overall.p99)]
    late = x(overall.p50) > 0.55
    lines, labels = [], []
    # The label that reaches over the others' lines stands above them.
    for row, (name, ms) in enumerate(reversed(found) if late else found):
        at, y = f"{number(100 * x(ms))}%", 12 + 16 * row
        leftward = late or x(ms) > 0.8
        lines.append(element("line", class_="percentile", x1=at, x2=at, y1=y - 10, y2=_HEIGHT - _FOOT))
        anchor, aside = ("end", -5) if leftward else ("start", 5)
        text = f"{name} {milliseconds(ms)}"
        labels.append(element("text", text, class_="name", text_anchor=anchor, x=at, y=y, dx=aside))
    return join([*lines, *labels])


def _axis(low: float, high: float, x: Callable[[float], float]) -> Markup:
    inside = [ms for ms in latency_ticks(low, high, _MARKS) if low <= ms <= high]
    # Within a decade the ends say more.
    marks = inside if len(inside) > 1 else [low, math.sqrt(low * high), high]
    drawn = []
    for index, ms in enumerate(marks):
        at = x(ms)
        anchor = "start" if at < 0.03 else "end" if at > 0.97 else "middle"
        style = "mark wide" if len(marks) > 5 and index % 2 else "mark"
        drawn.append(
            element("text", milliseconds(ms), class_=style, x=f"{number(100 * at)}%", y=_HEIGHT - 6, text_anchor=anchor)
        )
    return join(drawn)


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
