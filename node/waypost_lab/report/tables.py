"""What the pictures show, as tables: for who cannot see them, and for exact figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from waypost_lab.report.chart import heading
from waypost_lab.report.model import Picture
from waypost_lab.report.svg import Markup, element
from waypost_lab.report.words import clock, count, lasting, listed, milliseconds, of, short


def node_table(picture: Picture) -> Markup:
    """A row for each node; a column only for what was written down. Empty if nothing was."""
    nodes = picture.nodes
    eventful = any(n.state != "up" or n.downs or n.faults or n.waiting or n.sent or n.received for n in nodes)
    if not eventful:
        return Markup("")
    columns = [
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
    note = picture.node_count - len(nodes)
    heads = [head for head, _ in columns]
    rows = list(zip(*(cells for _, cells in columns), strict=True))
    caption = f"and {note:,} more nodes that are left out" if note else ""
    return element(
        "section", element("h2", "Nodes"), _table(heads, rows, words=2, caption=caption), class_="card", id="nodes"
    )


def fault_table(picture: Picture) -> Markup:
    """The longest faults; empty if there were none."""
    faults, end = picture.faults, picture.grid.end_s
    if not faults.count:
        return Markup("")
    rows = [
        (
            band.name,
            listed(band.nodes, 6),
            band.detail,
            clock(band.start, end),
            clock(band.stop, end) if band.mended else "never",
            lasting(band.stop - band.start),
        )
        for band in faults.longest
    ]
    left = faults.count - len(rows)
    title = f"Faults as a table: {of(faults.count, 'fault')}" + (f", the {len(rows)} longest" if left else "")
    heads = ("Fault", "Nodes", "Detail", "From", "Mended", "Lasted")
    return _folded(title, _table(heads, rows, words=3))


def time_table(picture: Picture) -> Markup:
    """The charts over time, a row for each bucket."""
    grid, flows = picture.grid, picture.flows
    indices = range(grid.count)
    columns = [("From", [clock(grid.start(n), grid.end_s) for n in indices])]
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
    heads = [head for head, _ in columns]
    table = _table(heads, list(zip(*(cells for _, cells in columns), strict=True)), words=1)
    return _folded(f"The charts as a table: {of(grid.count, 'row')} of {lasting(grid.width_s)}", table)


def link_table(picture: Picture) -> Markup:
    """The links that failed most and were busiest; empty if there are none."""
    links = picture.links[:100]
    if not links:
        return Markup("")
    columns = [
        ("Between", [short(each.a, 32) for each in links]),
        ("and", [short(each.b, 32) for each in links]),
        ("State", [each.fate.value for each in links]),
        ("Interrupted", [count(each.drops) for each in links]),
    ]
    if picture.steps:
        columns.append(("Messages", [count(each.messages) for each in links]))
    rows = list(zip(*(cells for _, cells in columns), strict=True))
    left = len(picture.links) - len(rows)
    unit = f"{len(rows)} of {len(picture.links):,}" if left else f"{len(rows)}"
    reading = element("p", "Those that were interrupted most come first, then the busiest.")
    table = _table([head for head, _ in columns], rows, words=3)
    return element("figure", element("figcaption", heading("Links", unit), reading), table, class_="panel", id="links")


def _folded(title: str, table: Markup) -> Markup:
    return element("details", element("summary", title), table)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, words: int, caption: str = "") -> Markup:
    """The first `words` columns hold words, the others figures."""
    style = ["word" if n < words else None for n in range(len(heads))]
    head = element("tr", *(element("th", text, scope="col", class_=style[n]) for n, text in enumerate(heads)))
    body = [
        element(
            "tr",
            element("th", row[0], scope="row", class_="word"),
            *(element("td", text, class_=style[n]) for n, text in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    said = [element("caption", caption)] if caption else []
    table = element("table", *said, element("thead", head), element("tbody", *body))
    return element("div", table, class_="scroll", tabindex="0", role="region", aria_label=", ".join(heads))
