"""Tables for people, by rich."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table

#: Where nobody looks, such as in a pipe, lines are not folded.
_WIDE = 400


def console() -> Console:
    """As wide as the terminal; in a pipe as wide as the lines are."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "") -> Table:
    """Columns whose name starts with `#` hold numbers and lean to the right."""
    made = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column.lstrip("#"), justify="right" if column.startswith("#") else "left")
    for row in rows:
        made.add_row(*(str(cell) for cell in row))
    return made


def show(columns: Sequence[str], rows: Iterable[Sequence[object]], title: str = "", *, left_out: int = 0) -> None:
    """Print a table. `left_out`: how many more rows there would be."""
    console().print(table(columns, rows, title))
    if left_out:
        sys.stdout.write(f"{left_out} more are not shown.\n")
