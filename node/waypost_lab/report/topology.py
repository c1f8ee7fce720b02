"""The nodes on a ring, and the links between them as chords."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from waypost_lab.report.chart import Key, figure
from waypost_lab.report.model import Fate, LinkSummary, Node, Picture
from waypost_lab.report.svg import Markup, element, join, number
from waypost_lab.report.words import count, lasting, of, short

_SIZE: Final = 640  #: units of the picture, which is square
_LABEL: Final = 14  #: characters of a name on the ring, and
_TOLD: Final = 60  #: where one points at
_FEW: Final = 24  #: nodes whose labels are upright; more labels stand like spokes
_NARROW_LETTERS: Final = {"few": 20.0, "many": 17.0}  #: their height on a narrow screen, as the style sheet has it
_CROWD: Final = 40  #: more nodes than these: every third label on a narrow screen
_SINGLY: Final = 120  #: links that tell their figures; more are drawn in one stroke for each look
_PULL: Final = 0.55  #: how far the longest chord is drawn to the centre, of the way
_WEIGHTS: Final = 4

#: The class of the style sheet, and what the legend says.
_LINKS: Final = {
    Fate.STEADY: ("steady", "link up throughout"),
    Fate.BROKEN: ("broken", "link was interrupted"),
    Fate.DOWN: ("lost", "link down at the end"),
    Fate.UNSEEN: ("unseen", "messages between them"),
}
_NODES: Final = {
    "up": "node up throughout",
    "shaken": "node was down, is up",
    "down": "node down at the end",
    "gone": "node gone for good",
}


def topology(picture: Picture) -> Markup:
    """Empty if there are fewer than two nodes, or nothing happened to or between them that could be drawn."""
    eventful = picture.links or any(node.state != "up" or node.downs or node.faults for node in picture.nodes)
    if len(picture.nodes) < 2 or not eventful:
        return Markup("")
    nodes = picture.nodes
    names = _short_names(nodes)
    where = _ring([names[node.name] for node in nodes])
    at = {node.name: spot for node, spot in zip(nodes, where, strict=True)}
    drawn = element(
        "svg",
        element("title", "Nodes and links"),
        element(
            "desc", f"{of(picture.node_count, 'node')} on a ring and {of(len(picture.links), 'link')} between them."
        ),
        _chords(picture.links, at),
        join(_node(node, at[node.name], len(nodes)) for node in nodes),
        join(
            _label(names[node.name], spot, n, len(nodes))
            for n, (node, spot) in enumerate(zip(nodes, where, strict=True))
        ),
        class_="ring",
        viewBox=_window(where),
        role="img",
    )
    return figure("topology", ("Nodes and links", _extent(picture), _reading(picture)), _keys(picture), drawn)


def looks_of(node: Node) -> str:
    """up, shaken (was down, is up), down or gone."""
    if node.state in ("down", "gone"):
        return node.state
    return "shaken" if node.downs else "up"


def _short_names(nodes: Sequence[Node]) -> dict[str, str]:
    """Without the end that all names have in common, from a dot on."""
    ends = {node.name[node.name.find(".") :] if "." in node.name else "" for node in nodes}
    end = ends.pop() if len(ends) == 1 else ""
    return {node.name: short(node.name.removesuffix(end) or node.name, _LABEL) for node in nodes}


def _ring(labels: Sequence[str]) -> list[tuple[float, float, float]]:
    """x, y and angle of each node; the ring leaves room for the longest label."""
    room = 22 + max(len(label) for label in labels) * _NARROW_LETTERS[_style(len(labels))] * 0.62
    radius, middle = _SIZE / 2 - room, _SIZE / 2
    angles = [2 * math.pi * n / len(labels) - math.pi / 2 for n in range(len(labels))]
    return [(middle + radius * math.cos(a), middle + radius * math.sin(a), a) for a in angles]


def _window(where: Sequence[tuple[float, float, float]]) -> str:
    """Upright labels need room at the sides, not above and below."""
    if len(where) > _FEW:
        return f"0 0 {_SIZE} {_SIZE}"
    top, bottom = min(y for _, y, _ in where) - 40, max(y for _, y, _ in where) + 40
    return f"0 {number(top)} {_SIZE} {number(bottom - top)}"


def _style(nodes: int) -> str:
    return "few" if nodes <= _FEW else "many"


def _letter(nodes: int) -> float:
    """Height of a label's letters in units: as large as the ring lets them be, up to 14."""
    return 14.0 if nodes <= _FEW else max(6.0, min(12.0, 1_150 / nodes))


def _chords(links: Sequence[LinkSummary], at: dict[str, tuple[float, float, float]]) -> Markup:
    most = max((link.messages for link in links), default=0)
    opacity = number(max(0.12, min(0.9, 14 / math.sqrt(len(links) or 1))))
    looks: dict[str, list[LinkSummary]] = defaultdict(list)
    # What failed is drawn last, above the others.
    for link in sorted(links, key=lambda each: (list(Fate).index(each.fate) % 3, each.messages)):
        looks[f"{_LINKS[link.fate][0]} weight{_weight(link.messages, most)}"].append(link)
    drawn = []
    for look, alike in looks.items():
        if len(links) <= _SINGLY:
            paths = [element("path", element("title", _told(link)), d=_chord(at[link.a], at[link.b])) for link in alike]
        else:
            paths = [element("path", d="".join(_chord(at[link.a], at[link.b]) for link in alike))]
        drawn.append(element("g", *paths, class_=f"link {look}", opacity="1" if "lost" in look else opacity))
    return join(drawn)


def _chord(a: tuple[float, float, float], b: tuple[float, float, float]) -> str:
    """Bent towards the centre, the more the longer it is, so that others show between."""
    centre = _SIZE / 2
    length = math.dist(a[:2], b[:2]) / (2 * math.dist(a[:2], (centre, centre)))
    pull = 1 - _PULL * length
    x, y = (centre + ((one + other) / 2 - centre) * pull for one, other in zip(a[:2], b[:2], strict=True))
    return f"M{a[0]:.0f} {a[1]:.0f}Q{x:.0f} {y:.0f} {b[0]:.0f} {b[1]:.0f}"


def _weight(messages: int, most: int) -> int:
    """1 to 4, by the share of the busiest link."""
    return max(1, math.ceil(_WEIGHTS * messages / most)) if most else 1


def _told(link: LinkSummary) -> str:
    parts = [f"{short(link.a, _TOLD)} – {short(link.b, _TOLD)}: {link.fate.value}"]
    if link.drops:
        parts.append(f"interrupted {of(link.drops, 'time')}")
    if link.messages:
        parts.append(of(link.messages, "message"))
    return ", ".join(parts)


def _node(node: Node, spot: tuple[float, float, float], nodes: int) -> Markup:
    """A shape for each look, so that none is told by its colour alone."""
    x, y, _ = spot
    size = 9.0 if nodes <= 12 else 6.5 if nodes <= 40 else 4.5
    look = looks_of(node)
    told = f"{short(node.name, _TOLD)}: {_NODES[look].removeprefix('node ')}"
    if node.down_s:
        told += f", {lasting(node.down_s)} down in {of(max(1, node.downs), 'outage')}"
    if node.faults:
        told += f", {of(node.faults, 'fault')}"
    if look == "up":
        shape = element("circle", cx=x, cy=y, r=size)
    elif look == "shaken":
        d = size * 1.2
        shape = element("path", d=f"M{number(x)} {number(y - d)}l{d} {d}l{-d} {d}l{-d} {-d}Z")
    else:
        d = size * 0.9
        shape = element("rect", x=x - d, y=y - d, width=2 * d, height=2 * d)
    return element("g", element("title", told), shape, class_=f"node {look}")


def _label(text: str, spot: tuple[float, float, float], index: int, nodes: int) -> Markup:
    x, y, angle = spot
    turn = math.degrees(angle)
    outward = 18 if nodes <= 12 else 13 if nodes <= 40 else 10
    left = math.cos(angle) < -1e-9
    if nodes <= _FEW:
        # Few: upright, on the side that faces away from the ring.
        anchor = "middle" if abs(math.cos(angle)) < 0.15 else "end" if left else "start"
        place = {"x": x + outward * math.cos(angle), "y": y + outward * math.sin(angle)}
        return element(
            "text", text, class_="label few", text_anchor=anchor, dy="0.35em", font_size=_letter(nodes), **place
        )
    if left:
        turn, outward, anchor = turn + 180, -outward, "end"
    else:
        anchor = "start"
    return element(
        "text",
        text,
        class_="label many" if nodes <= _CROWD or (index % 3 == 0 and index <= nodes - 3) else "label many wide",
        x=outward,
        dy="0.35em",
        text_anchor=anchor,
        font_size=_letter(nodes),
        transform=f"translate({number(x)} {number(y)}) rotate({number(turn)})",
    )


def _extent(picture: Picture) -> str:
    shown = len(picture.nodes)
    nodes = of(picture.node_count, "node") + (f", {shown} of them drawn" if shown < picture.node_count else "")
    return f"{nodes}, {of(len(picture.links), 'link')}" if picture.links else nodes


def _keys(picture: Picture) -> list[Key]:
    nodes = [looks_of(node) for node in picture.nodes]
    fates = [link.fate for link in picture.links]
    looks = [(look, said, nodes.count(look)) for look, said in _NODES.items()]
    dots = [Key(f"node {look}", f"{said} ({number})", "dot") for look, said, number in looks if number]
    fared = [(look, said, fates.count(fate)) for fate, (look, said) in _LINKS.items()]
    return [*dots, *(Key(f"link {look}", f"{said} ({count(number)})") for look, said, number in fared if number)]


def _reading(picture: Picture) -> str:
    if not picture.links:
        return "When links came up and ended was not written down in this run."
    if any(link.messages for link in picture.links):
        return "The thicker a link, the more messages went between the users of its two nodes."
    return "Each chord is a link that was up at some time."
