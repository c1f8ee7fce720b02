"""What the pictures show, as tables: for who cannot see them, and for exact figures."""

from __future__ import annotations

from collections.abc import Sequence

from waypost_lab.report.chart import card, figure
from waypost_lab.report.model import Picture
from waypost_lab.report.svg import Markup, element
from waypost_lab.report.words import clock, count, lasting, listed, milliseconds, of, short

_Column = tuple[str, Sequence[str]]  #: the word above it, and its cells


def node_table(picture: Picture) -> Markup:
    """A row for each node; a column only for what was written down. Empty if nothing was."""
    nodes = picture.nodes
    eventful = any(n.state != "up" or n.downs or n.faults or n.waiting or n.sent or n.received for n in nodes)
    if not eventful:
        return Markup("")
    columns: list[_Column] = [
        ("Node", [short(node.name, 60) for node in nodes]),
        ("At the end", [short(node.state, 20) for node in nodes]),
    ]
    if picture.steps:
        columns.append(("Sent", [count(node.sent) for node in nodes]))
        columns.append(("Received", [count(node.received) for node in nodes]))
    if any(node.waiting for node in nodes):
        columns.append(("Most waiting", [count(node.waiting) for node in nodes]))
    columns += [
        ("Outages", [count(node.downs) for node in nodes]),
        ("Time down", [lasting(node.down_s) if node.down_s else "–" for node in nodes]),
        ("Faults", [count(node.faults) for node in nodes]),
    ]
    left = picture.node_count - len(nodes)
    return card("nodes", "Nodes", _table(columns, 2, f"and {left:,} more nodes that are left out" if left else ""))


def fault_table(picture: Picture) -> Markup:
    """The longest faults; empty if there were none."""
    faults, end = picture.faults, picture.grid.end_s
    if not faults.count:
        return Markup("")
    bands = faults.longest
    columns: list[_Column] = [
        ("Fault", [band.name for band in bands]),
        ("Nodes", [listed(band.nodes, 6) for band in bands]),
        ("Detail", [band.detail for band in bands]),
        ("From", [clock(band.start, end) for band in bands]),
        ("Mended", [clock(band.stop, end) if band.mended else "never" for band in bands]),
        ("Lasted", [lasting(band.stop - band.start) for band in bands]),
    ]
    some = f", the {len(bands)} longest" if faults.count > len(bands) else ""
    return _folded(f"Faults as a table: {of(faults.count, 'fault')}{some}", _table(columns, 3))


def time_table(picture: Picture) -> Markup:
    """The charts over time, a row for each bucket."""
    grid, flows = picture.grid, picture.flows
    indices = range(grid.count)
    columns: list[_Column] = [("From", [clock(grid.start(n), grid.end_s) for n in indices])]
    if flows.any:
        rows = (flows.accepted, flows.delivered, flows.bounced, flows.expired, picture.custody)
        names = ("Accepted", "Delivered", "Bounced", "Expired", "In custody")
        columns += [(name, [count(value) for value in row]) for name, row in zip(names, rows, strict=True)]
    lines = [*picture.queues, *([picture.rest] if picture.rest else [])]
    columns += [(f"For {short(each.peer, 30)}", [count(value) for value in each.values]) for each in lines]
    if any(picture.latency):
        points = picture.latency
        columns += [
            ("p50", [milliseconds(p.p50) if p else "–" for p in points]),
            ("p90", [milliseconds(p.p90) if p else "–" for p in points]),
            ("p99", [milliseconds(p.p99) if p else "–" for p in points]),
            ("Longest", [milliseconds(p.most) if p else "–" for p in points]),
        ]
    if picture.faults.count:
        columns.append(("Faults", [count(value) for value in picture.faults.active]))
    if len(columns) == 1:
        return Markup("")
    return _folded(f"The charts as a table: {of(grid.count, 'row')} of {lasting(grid.width_s)}", _table(columns, 1))


def link_table(picture: Picture) -> Markup:
    """The links that failed most and were busiest; empty if there are none."""
    links = picture.links[:100]
    if not links:
        return Markup("")
    columns: list[_Column] = [
        ("Between", [short(each.a, 32) for each in links]),
        ("and", [short(each.b, 32) for each in links]),
        ("State", [each.fate.value for each in links]),
        ("Interrupted", [count(each.drops) for each in links]),
    ]
    if picture.steps:
        columns.append(("Messages", [count(each.messages) for each in links]))
    every = len(picture.links)
    unit = f"{len(links)} of {every:,}" if every > len(links) else f"{len(links)}"
    reading = "Those that were interrupted most come first, then the busiest."
    return figure("links", ("Links", unit, reading), (), _table(columns, 3))


def _folded(title: str, table: Markup) -> Markup:
    return element("details", element("summary", title), table)


def _table(columns: Sequence[_Column], words: int, caption: str = "") -> Markup:
    """The first `words` columns hold words, the others figures."""
    heads = [head for head, _ in columns]
    style = ["word" if n < words else None for n in range(len(columns))]
    head = element("tr", *(element("th", text, scope="col", class_=style[n]) for n, text in enumerate(heads)))
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_="word"),
            *(element("td", text, class_=style[n]) for n, text in enumerate(row[1:], 1)),
        )
        for row in zip(*(cells for _, cells in columns), strict=True)
    ]
    said = [element("caption", caption)] if caption else []
    table = element("table", *said, element("thead", head), element("tbody", *body))
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=", ".join(heads))
