"""The faults of a run above its charts: one by one in lanes, or, if they are many, how many of each kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from waypost_lab.report.chart import Key, Panel, area, hits, line, percent, stretched
from waypost_lab.report.grid import Grid
from waypost_lab.report.lanes import NARROW_PX, label_of, label_s, label_start
from waypost_lab.report.model import Band, Picture
from waypost_lab.report.scale import Axis, linear_ticks
from waypost_lab.report.svg import Markup, element, join
from waypost_lab.report.trouble import OTHER
from waypost_lab.report.words import brief, clock, count, lasting, listed, of, short

_LANE, _ROW, _CAPTION = 22, 44, 17

#: What a fault does to whom it hits → its colour. The first word that its name contains decides.
_COLOURS: Final = (
    ("crash", "ends"), ("kill", "ends"), ("stop", "ends"), ("down", "ends"), ("gone", "ends"), ("tomb", "ends"),
    ("power", "ends"), ("leave", "ends"),
    ("cut", "parts"), ("part", "parts"), ("half", "parts"), ("way", "parts"), ("unreach", "parts"),
    ("disk", "disk"), ("full", "disk"), ("quota", "disk"),
    ("slow", "delays"), ("loss", "delays"), ("delay", "delays"), ("jitter", "delays"), ("latency", "delays"),
    ("skew", "clock"), ("clock", "clock"),
)  # fmt: skip
_MEANINGS: Final = {
    "ends": "node ends",
    "parts": "network parts",
    "delays": "slow or lossy",
    "disk": "disk",
    "clock": "clock",
    "kind": "other",
}


def colour_of(name: str) -> str:
    """A class of the style sheet."""
    return next((colour for word, colour in _COLOURS if word in name.lower()), "kind")


def fault_panel(picture: Picture) -> Panel | None:
    """None if there were no faults and no node was ever down."""
    faults = picture.faults
    if not faults.count and not any(picture.down):
        return None
    if faults.bands:
        return _one_by_one(picture.faults.bands, picture)
    return _by_kind(picture)


def _one_by_one(bands: Sequence[Band], picture: Picture) -> Panel:
    grid = picture.grid
    by_lane: dict[int, list[Band]] = {}
    for band in bands:
        by_lane.setdefault(band.lane, []).append(band)
    height = _LANE * len(by_lane)
    drawn = [
        _band(band, grid, narrow=_has_room(band, after, grid))
        for lane in by_lane.values()
        for band, after in pairwise([*lane, None])
        if band is not None
    ]
    colours = dict.fromkeys(colour_of(band.name) for band in bands)
    return Panel(
        "Faults",
        of(picture.faults.count, "fault"),
        "Each bar is one fault, from its beginning to its end. The same spans are shaded behind the charts below.",
        height,
        join(drawn),
        keys=[Key(colour, _MEANINGS[colour], "area") for colour in colours],
        name="faults",
    )


def _has_room(band: Band, after: Band | None, grid: Grid) -> bool:
    """Whether the label fits on a narrow screen, before the next band of its lane and the end."""
    needs = label_s(band, grid.end_s, NARROW_PX)
    return band.start + needs <= (after.start if after else grid.end_s)


def _band(band: Band, grid: Grid, *, narrow: bool) -> Markup:
    top = band.lane * _LANE
    colour = colour_of(band.name)
    width = max(band.stop - band.start, grid.end_s / 400)
    begin = label_start(band, grid.end_s)
    end = clock(band.stop, grid.end_s) if band.mended else "the end"
    told = f"{band.name}: {listed(band.nodes)}{f' ({band.detail})' if band.detail else ''}, "
    told += f"{clock(band.start, grid.end_s)} to {end}, {lasting(band.stop - band.start)}"
    x, wide = percent(band.start, grid), percent(width, grid)
    return element(
        "g",
        element("title", told),
        element("rect", class_=f"bar {colour}", x=x, y=top + 1, width=wide, height=_LANE - 3),
        element("rect", class_=f"edge {colour}", x=x, y=top + 1, width=3, height=_LANE - 3),
        element(
            "text", label_of(band), x=percent(begin, grid), dx=7, y=top + 14.5, class_="name" if narrow else "name wide"
        ),
    )


def _by_kind(picture: Picture) -> Panel:
    grid, faults = picture.grid, picture.faults
    rows = [
        (
            strip.name,
            colour_of(strip.name) if strip.name != OTHER else "kind",
            strip.active,
            _totals(strip.count, strip.seconds),
        )
        for strip in faults.strips
    ]
    if any(picture.down):
        rows.append(("nodes down", "ends", picture.down, f"up to {count(max(picture.down))} at once"))
    drawn, marks = [], []
    for n, (name, colour, values, note) in enumerate(rows):
        row, mark = _strip(n * _ROW, (name, note), values, grid, colour)
        drawn.append(row)
        marks.append(mark)
    texts = [
        f"{clock(grid.start(n), grid.end_s)} to {clock(grid.stop(n), grid.end_s)}: "
        + ", ".join(f"{name} {count(values[n])}" for name, _, values, _ in rows if values[n])
        if any(values[n] for _, _, values, _ in rows)
        else ""
        for n in range(grid.count)
    ]
    return Panel(
        "Faults",
        of(faults.count, "fault"),
        "How many of each kind were active. The more there are, the darker the shade behind the charts below.",
        _ROW * len(rows),
        join([*drawn, hits(texts, grid)]),
        marks,
        name="faults",
    )


def _totals(number: int, seconds: float) -> str:
    return f"{of(number, 'fault')}, {lasting(seconds)} in all"


def _strip(
    top: int, words: tuple[str, str], values: Sequence[float], grid: Grid, colour: str
) -> tuple[Markup, tuple[float, str]]:
    floor = top + _ROW - 3
    axis = Axis(linear_ticks(max(values), 1), floor, top + _CAPTION + 2)
    heights = axis.heights(values)
    name, note = words
    caption = element(
        "text", element("tspan", short(name, 24), class_="kind"), f"  {note}", x="0", dx=2, y=top + 12, class_="name"
    )
    shapes = element(
        "svg",
        stretched(top + _ROW, area(heights, [floor] * grid.count, grid, colour), line(heights, grid, colour)),
        width="100%",
        height=top + _ROW,
    )
    return join([shapes, caption]), axis.marks(brief)[-1]
