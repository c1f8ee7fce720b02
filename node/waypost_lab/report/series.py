"""The charts over time: messages, what is in custody, queues, latency."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from waypost_lab.report.chart import Key, Panel, area, hits, line, stretched
from waypost_lab.report.grid import Grid
from waypost_lab.report.model import Latencies, Picture
from waypost_lab.report.scale import Axis, count_ticks, latency_ticks, linear_ticks
from waypost_lab.report.svg import join
from waypost_lab.report.words import brief, clock, count, milliseconds, short

_TALL, _MIDDLE, _LOW = 180, 150, 84


@dataclass(frozen=True)
class _Rate:
    """Messages a second, minute or hour, whichever gives numbers that one can say."""

    seconds: float
    word: str


def panels(picture: Picture) -> list[Panel]:
    """Those that have something to show, from top to bottom."""
    made = []
    if picture.flows.any:
        made.append(_flow(picture))
        if any(picture.custody) or picture.faults.count:
            made.append(_custody(picture))
    if picture.queues or picture.rest:
        made.append(_queues(picture))
    if any(picture.latency):
        made.append(_latency(picture))
    return made


def _rate(picture: Picture) -> _Rate:
    grid, flows = picture.grid, picture.flows
    peak = max(max(flows.accepted[n], flows.settled(n)) / grid.seconds(n) for n in range(grid.count))
    for seconds, word in ((1, "per second"), (60, "per minute")):
        if peak * seconds >= 2:
            return _Rate(seconds, word)
    return _Rate(3600, "per hour")


def _flow(picture: Picture) -> Panel:
    grid, flows, rate = picture.grid, picture.flows, _rate(picture)
    rows = [flows.delivered, flows.bounced, flows.expired]
    per = [rate.seconds / grid.seconds(n) for n in range(grid.count)]
    accepted = [flows.accepted[n] * per[n] for n in range(grid.count)]
    sums = [[sum(row[n] for row in rows[:upto]) * per[n] for n in range(grid.count)] for upto in range(4)]
    axis = Axis(linear_ticks(max(*accepted, *sums[3])), _TALL)
    levels = [axis.heights(row) for row in sums]
    names = ("delivered", "bounced", "expired")
    texts = [
        f"{_span(n, grid)}: {count(flows.accepted[n])} accepted"
        + "".join(f", {count(row[n])} {name}" for name, row in zip(names, rows, strict=True) if row[n])
        for n in range(grid.count)
    ]
    shapes = [area(levels[n + 1], levels[n], grid, name) for n, name in enumerate(names) if any(rows[n])]
    reading = (
        "The line is what nodes took in; the areas, one on the other, are how it left them. "
        "Where the line is above, messages pile up; where the areas are above, they drain."
    )
    keys = [Key(name, name, "area") for n, name in enumerate(names) if any(rows[n]) or name == "delivered"]
    shapes.append(line(axis.heights(accepted), grid, "accepted"))
    return _chart(
        "messages", ("Messages", rate.word, reading), grid, axis, shapes, texts, [Key("accepted", "accepted"), *keys]
    )


def _custody(picture: Picture) -> Panel:
    grid, values = picture.grid, picture.custody
    axis = Axis(count_ticks(max(values), 2), _LOW)
    heights = axis.heights(values)
    texts = [f"{clock(grid.stop(n), grid.end_s)}: {count(round(value))} in custody" for n, value in enumerate(values)]
    shapes = area(heights, [_LOW] * grid.count, grid, "custody"), line(heights, grid, "custody")
    head = (
        "In custody",
        "messages",
        "Accepted, and neither delivered nor reported back yet. It returns to 0 once every fault has ended.",
    )
    return _chart("custody", head, grid, axis, shapes, texts)


def _queues(picture: Picture) -> Panel:
    grid = picture.grid
    lines = [*picture.queues, *([picture.rest] if picture.rest else [])]
    styles = [*(f"queue{n}" for n in range(len(picture.queues))), *(["rest"] if picture.rest else [])]
    axis = Axis(count_ticks(max(each.peak for each in lines)), _MIDDLE)
    texts = []
    for n in range(grid.count):
        waits = [f"{short(each.peer, 40)} {count(each.values[n])}" for each in lines if each.values[n]]
        texts.append(f"{_span(n, grid)}: " + ", ".join(waits) if waits else "")
    shapes = [line(axis.heights(each.values), grid, style) for each, style in zip(lines, styles, strict=True)]
    if picture.rest:
        shapes.insert(0, area(axis.heights(picture.rest.values), [_MIDDLE] * grid.count, grid, "rest"))
    head = (
        "Queues",
        "messages waiting for a peer",
        "The peers for which most waited, on all nodes together; the highest of each moment.",
    )
    keys = [
        Key(style, f"{short(each.peer, 28)} (up to {brief(each.peak)})", "area" if style == "rest" else "line")
        for each, style in zip(lines, styles, strict=True)
    ]
    return _chart("queues", head, grid, axis, shapes, texts, keys)


def _latency(picture: Picture) -> Panel:
    grid, points = picture.grid, picture.latency
    there = [point for point in points if point]
    ticks = latency_ticks(max(0.1, min(p.p50 for p in there)), max(0.1, *(p.most for p in there)))
    axis = Axis(ticks, _MIDDLE, logarithmic=True)

    def heights(of: Callable[[Latencies], float]) -> list[float | None]:
        return [axis.y(of(point)) if point else None for point in points]

    p50, p90, p99 = heights(lambda p: p.p50), heights(lambda p: p.p90), heights(lambda p: p.p99)
    shapes = [
        area(p99, p90, grid, "p99"),
        area(p90, p50, grid, "p90"),
        line(heights(lambda p: p.most), grid, "most"),
        line(p50, grid, "p50"),
    ]
    texts = [
        f"{_span(n, grid)}: half within {milliseconds(p.p50)}, 90\u00a0% within {milliseconds(p.p90)}, "
        f"99\u00a0% within {milliseconds(p.p99)}, longest {milliseconds(p.most)}, of {count(p.count)}"
        if p
        else ""
        for n, p in enumerate(points)
    ]
    reading = (
        "Of the messages that arrived at a moment: half were faster than the line, 90\u00a0% lie below the dark band’s "
        "upper edge, 99\u00a0% below the light one’s. After a fault the late ones arrive, so it rises as queues drain."
    )
    keys = [
        Key("p50", "half (p50)"),
        Key("p90", "to p90", "area"),
        Key("p99", "to p99", "area"),
        Key("most", "longest"),
    ]
    return _chart(
        "latency", ("Latency", "from sending to delivery, logarithmic", reading), grid, axis, shapes, texts, keys
    )


def _span(index: int, grid: Grid) -> str:
    return f"{clock(grid.start(index), grid.end_s)} to {clock(grid.stop(index), grid.end_s)}"


def _chart(
    name: str,
    head: tuple[str, str, str],
    grid: Grid,
    axis: Axis,
    shapes: Iterable[str],
    texts: Sequence[str],
    keys: Sequence[Key] = (),
) -> Panel:
    """Shapes over time with their axis. `head`: the title, the unit and how to read it; `texts`: of each bucket."""
    height = round(axis.floor)
    plot = join([stretched(height, *shapes), hits(texts, grid)])
    marks = axis.marks(milliseconds if axis.logarithmic else brief)
    return Panel(*head, height, plot, marks, keys, name=name)
