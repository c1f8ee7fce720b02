"""Markup that cannot be broken by what is put into it."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterable


class Markup(str):
    """Text that is markup already. Any other text is escaped when it becomes part of an element."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Text of anybody's making as inert markup.

    What could act on the reader's browser or eyes without being seen (control and direction characters, lone
    surrogates) becomes U+FFFD.
    """
    seen = "".join("\ufffd" if unicodedata.category(each) in ("Cc", "Cf", "Cs") else each for each in text)
    return Markup(html.escape(seen, quote=True))


def number(value: float) -> str:
    """A coordinate: at most two decimals, as short as it goes."""
    written = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if written == "-0" else written


def element(name: str, /, *children: str, **attributes: str | float | None) -> Markup:
    """`<name attributes>children</name>`. A trailing underscore of an attribute goes, others become hyphens.

    Attributes that are None are left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(value) if isinstance(value, str) else number(value)}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{written}>{join(children)}</{name}>")


def join(parts: Iterable[str]) -> Markup:
    """One after the other."""
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def path(points: Iterable[tuple[float, float]], *, close: bool = False) -> str:
    """The `d` of a polyline; empty for no points."""
    drawn = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    return f"M{drawn}{'Z' if close else ''}" if drawn else ""
