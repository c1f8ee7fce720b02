"""What all charts over time have in common: one time axis, marks, faults behind everything, room for labels.

A plot is as wide as its column, whatever the screen: what has a shape is drawn in a box of 1,000 units that is
stretched, text is placed by per cent and never stretched. Class `wide` marks what a narrow screen leaves out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from waypost_lab.report.grid import Grid
from waypost_lab.report.model import Faults
from waypost_lab.report.scale import time_label, time_step, time_ticks, time_unit
from waypost_lab.report.svg import Markup, element, join, number, path

WIDTH: Final = 1000  #: units of a stretched box
_WIDE_MARKS, _NARROW_MARKS = 12, 5
_SHADES: Final = 4  #: of how many faults were active


@dataclass(frozen=True)
class Key:
    """An entry of a legend. `style`: the class that the drawn thing has as well."""

    style: str
    text: str
    shape: str = "line"  #: line, area or dot


@dataclass(frozen=True)
class Panel:
    """A chart with its title, legend and marks. `marks`: distance from the top in pixels, and text."""

    title: str
    unit: str
    reading: str  #: one sentence: how to read it
    height: int
    plot: str
    marks: Sequence[tuple[float, str]] = ()
    keys: Sequence[Key] = ()
    name: str = field(default="chart", kw_only=True)


def x_of(t: float, grid: Grid) -> float:
    """In a stretched box."""
    return WIDTH * t / grid.end_s


def percent(t: float, grid: Grid) -> str:
    """Of a plot's width."""
    return f"{number(100 * t / grid.end_s)}%"


def stretched(height: int, *shapes: str) -> Markup:
    """A box of WIDTH × height units, as wide as its column and `height` pixels high. Lines keep their thickness."""
    return element(
        "svg",
        *shapes,
        class_="shapes",
        viewBox=f"0 0 {WIDTH} {height}",
        width="100%",
        height=height,
        preserveAspectRatio="none",
    )


def stairs(
    values: Sequence[float | None], heights: Sequence[float | None], grid: Grid
) -> Iterator[list[tuple[float, float]]]:
    """The corners of a line that has one height for each bucket; a new list after each gap (None)."""
    run: list[tuple[float, float]] = []
    for index, (value, y) in enumerate(zip(values, heights, strict=True)):
        if value is None or y is None:
            if run:
                yield run
            run = []
            continue
        run += [(x_of(grid.start(index), grid), y), (x_of(grid.stop(index), grid), y)]
    if run:
        yield run


def line(heights: Sequence[float | None], grid: Grid, style: str) -> Markup:
    """One height for each bucket, None for a gap."""
    drawn = "".join(path(_thin(corners)) for corners in stairs(heights, heights, grid))
    return element("path", d=drawn, class_=f"line {style}") if drawn else Markup("")


def area(tops: Sequence[float | None], floors: Sequence[float | None], grid: Grid, style: str) -> Markup:
    """Between two heights for each bucket; None for a gap."""
    drawn = ""
    floor_of: list[float | None] = [None if top is None else floor for top, floor in zip(tops, floors, strict=True)]
    for above, below in zip(stairs(tops, tops, grid), stairs(floor_of, floor_of, grid), strict=True):
        drawn += path([*_thin(above), *reversed(_thin(below))], close=True)
    return element("path", d=drawn, class_=f"area {style}") if drawn else Markup("")


def hits(texts: Sequence[str], grid: Grid) -> Markup:
    """An unseen column over each bucket that tells its figures to whoever points at it."""
    return join(
        element(
            "rect",
            element("title", text),
            class_="hit",
            x=percent(grid.start(index), grid),
            width=percent(grid.stop(index) - grid.start(index), grid),
            height="100%",
        )
        for index, text in enumerate(texts)
        if text
    )


def backdrop(faults: Faults, grid: Grid) -> Markup:
    """When there were faults; darker, where there were more at once."""
    if faults.bands:
        return join(_column(band.start, band.stop, grid, "band") for band in faults.bands)
    most = max(faults.active, default=0.0)
    if not most:
        return Markup("")
    shades = [-(-active * _SHADES // most) for active in faults.active]
    drawn, begin = [], 0
    for index in range(1, len(shades) + 1):
        if index == len(shades) or shades[index] != shades[begin]:
            if shades[begin]:
                span = grid.start(begin), grid.stop(index - 1)
                drawn.append(_column(*span, grid, f"shade shade{shades[begin]:.0f}"))
            begin = index
    return join(drawn)


def ruler(grid: Grid) -> Markup:
    """The upright lines at the marks of the time axis."""
    return join(
        element("line", class_="rule wide" if not is_coarse else "rule", x1=at, x2=at, y2="100%")
        for at, _, is_coarse in _marks(grid)
    )


def time_axis(grid: Grid) -> Markup:
    """The marks of the time axis, as a row of its own between or below panels."""
    labels = [
        element("text", text, x=at, y=17, class_="mark" if is_coarse else "mark wide")
        for at, text, is_coarse in _marks(grid)
    ]
    row = element("svg", *labels, class_="plot", width="100%", height=24)
    return element("div", element("span", class_="gutter"), row, class_="frame axis", aria_hidden="true")


def axis_unit(grid: Grid) -> str:
    """How to read marks like `1:30`; empty where each mark says it."""
    unit = time_unit(time_step(grid.end_s, _WIDE_MARKS), grid.end_s)
    return unit if ":" in unit else ""


def panel_of(panel: Panel, behind: str) -> Markup:
    """The whole figure; `behind` goes behind the plot."""
    lines = join(element("line", class_="level", x2="100%", y1=y, y2=y) for y, _ in panel.marks)
    labels = join(element("text", text, x="100%", dx=-8, y=y, dy="0.32em") for y, text in panel.marks)
    gutter = element("svg", labels, class_="gutter", height=panel.height, aria_hidden="true")
    plot = element(
        "svg",
        element("title", panel.title),
        element("desc", panel.reading),
        behind,
        lines,
        panel.plot,
        class_="plot",
        width="100%",
        height=panel.height,
        role="img",
    )
    head = (panel.title, panel.unit, panel.reading)
    return figure(panel.name, head, panel.keys, element("div", gutter, plot, class_="frame"))


def figure(name: str, head: tuple[str, str, str], keys: Sequence[Key], drawn: Markup) -> Markup:
    """`head`: the title, what its values are, and how to read it. Without keys it has no legend."""
    title, unit, reading = head
    entries = [
        element("li", element("span", class_=f"swatch {key.shape} {key.style}"), element("span", key.text))
        for key in keys
    ]
    caption = [
        element("h3", title, *([" ", element("span", unit, class_="unit")] if unit else [])),
        *([element("ul", *entries, class_="legend")] if entries else []),
        element("p", reading),
    ]
    return element("figure", element("figcaption", *caption), drawn, class_="panel", id=name)


def card(name: str, head: str, *inside: str) -> Markup:
    """A part of the page."""
    return element("section", element("h2", head), *inside, class_="card", id=name)


def _column(start: float, stop: float, grid: Grid, style: str) -> Markup:
    width = max(stop - start, grid.end_s / 800)
    return element("rect", class_=style, x=percent(start, grid), width=percent(width, grid), height="100%")


def _marks(grid: Grid) -> Iterator[tuple[str, str, bool]]:
    step = time_step(grid.end_s, _WIDE_MARKS)
    ticks = time_ticks(grid.end_s, _WIDE_MARKS)
    every = -(-len(ticks) // _NARROW_MARKS)
    for index, t in enumerate(ticks):
        yield percent(t, grid), time_label(t, step, grid.end_s), index % every == 0


def _thin(corners: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Without corners in the middle of a level stretch."""
    return [
        corner
        for n, corner in enumerate(corners)
        if n in (0, len(corners) - 1) or not corners[n - 1][1] == corner[1] == corners[n + 1][1]
    ]
