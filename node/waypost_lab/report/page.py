"""The page: one file of HTML with its style and its pictures inside, which asks the network for nothing."""

from __future__ import annotations

import time
from importlib.resources import files

from waypost_lab.report.bands import fault_panel
from waypost_lab.report.chart import axis_unit, backdrop, card, panel_of, ruler, time_axis
from waypost_lab.report.distribution import distribution
from waypost_lab.report.model import Figure, Picture
from waypost_lab.report.series import panels
from waypost_lab.report.svg import Markup, element, escape, join
from waypost_lab.report.tables import fault_table, link_table, node_table, time_table
from waypost_lab.report.topology import topology
from waypost_lab.report.words import clock, count, lasting, milliseconds, of

_KEPT = {"lost": "nothing lost", "duplicates": "nothing shown twice", "violations": "no violation"}
#: Nothing is fetched and no script runs, whatever the page may contain.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(picture: Picture) -> str:
    """HTML, complete without scripts, fonts or pictures from elsewhere."""
    style = (files("waypost_lab.report") / "style.css").read_text(encoding="utf-8")
    body = element(
        "main",
        _head(picture),
        _figures(picture),
        _notes(picture),
        _over_time(picture),
        _pair(picture),
        node_table(picture),
        _result(picture),
        element("footer", f"Written by waypost lab report from {of(picture.events, 'event')}."),
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{escape(picture.title)}</title><style>\n{style}</style></head>\n<body>{body}</body></html>\n"
    )


def _head(picture: Picture) -> Markup:
    facts = [picture.source]
    if picture.seed:
        facts.append(f"seed {picture.seed}")
    facts += [lasting(picture.grid.end_s), of(picture.node_count, "node")]
    if picture.faults.count:
        facts.append(of(picture.faults.count, "fault"))
    if picture.started_ms > 0:
        facts.append(_moment(picture.started_ms))
    listed = element("ul", *(element("li", fact) for fact in facts), class_="facts")
    return element("header", element("h1", picture.title or "A run without a title"), listed, _verdict(picture))


def _verdict(picture: Picture) -> Markup:
    """Whether the promises were kept, in one line; nothing if nobody has looked."""
    if not picture.ended:
        return element("p", "✕ The run was cut off: its timeline has no end.", class_="verdict bad")
    judged = [figure for figure in picture.figures if figure.bad is not None]
    broken = [f"{count(figure.value)} {_singular(figure)}" for figure in judged if figure.bad]
    if broken or any(note.error for note in picture.notes):
        text = "✕ Promises were broken" + (f": {', '.join(broken)}." if broken else "; see the notes.")
        return element("p", text, class_="verdict bad")
    if judged:
        kept = ", ".join(_KEPT[figure.name] for figure in judged)
        return element("p", f"✓ {kept[0].upper()}{kept[1:]}.", class_="verdict good")
    return Markup("")


def _singular(figure: Figure) -> str:
    return figure.name.removesuffix("s") if figure.value == 1 and figure.name != "lost" else figure.name


def _figures(picture: Picture) -> Markup:
    values = {figure.name: figure.value for figure in picture.figures}
    accepted = values.get("accepted", 0)
    tiles = [_tile(figure, accepted) for figure in picture.figures]
    overall = picture.overall
    if overall is not None:
        tiles.append(_cell(milliseconds(overall.p50), "p50 latency", f"p99 {milliseconds(overall.p99)}", ""))
    return element("dl", *tiles, class_="tiles") if tiles else Markup("")


def _tile(figure: Figure, accepted: float) -> Markup:
    style = ""
    under: str = "\u00a0"
    if figure.bad is not None:
        under, style = ("broken", "bad") if figure.bad else ("as promised", "good")
    elif figure.name != "accepted" and accepted:
        share = f"{100 * figure.value / accepted:.3g}\u00a0%"
        under = join([share, element("span", " of all", class_="wide")])
    return _cell(count(figure.value), figure.name, under, style)


def _cell(value: str, name: str, under: str, style: str) -> Markup:
    return element(
        "div",
        element("dt", name),
        element("dd", value, class_="value"),
        element("dd", under, class_="under"),
        class_=f"tile {style}".strip(),
    )


def _notes(picture: Picture) -> Markup:
    if not picture.notes:
        return Markup("")
    end = picture.grid.end_s
    rows = [
        element(
            "li",
            element("span", clock(note.t, end), class_="at"),
            element("span", *([element("strong", "✕ violation: ")] if note.error else []), note.text),
            class_="error" if note.error else None,
        )
        for note in picture.notes
    ]
    if picture.unheard:
        rows.append(element("li", element("span", ""), element("span", f"and {picture.unheard:,} more notes")))
    return card("notes", "Notes", element("ol", *rows, class_="notes"))


def _over_time(picture: Picture) -> Markup:
    """All charts that share the time axis, which stands above the first and below the last."""
    grid = picture.grid
    troubles, charts = fault_panel(picture), panels(picture)
    if troubles is None and not charts:
        text = "This timeline holds no messages, queues or faults, so there is nothing to draw over time."
        return card("time", "Over time", element("p", text))
    rules = ruler(grid)
    behind = join([backdrop(picture.faults, grid), rules])
    axis = time_axis(grid)
    drawn: list[str] = [panel_of(troubles, rules)] if troubles else []
    if troubles and charts:
        drawn.append(axis)
    drawn += [panel_of(each, behind) for each in charts]
    drawn.append(axis)
    tables = [time_table(picture), fault_table(picture)]
    head = join(["Over time ", element("span", axis_unit(grid), class_="unit")])
    return card("time", head, *drawn, *tables)


def _pair(picture: Picture) -> Markup:
    """Who was there, and beside it how it went between them."""
    right = join([distribution(picture), link_table(picture)])
    return element(
        "div", topology(picture), *([element("div", right, class_="column")] if right else []), class_="pair"
    )


def _result(picture: Picture) -> Markup:
    if not picture.result:
        return Markup("")
    rows = [element("div", element("dt", name), element("dd", value)) for name, value in picture.result]
    return card("result", "What the run printed", element("dl", *rows))


def _moment(at_ms: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at_ms / 1000))
    except (OverflowError, OSError, ValueError):
        return "at a time that no calendar has"
