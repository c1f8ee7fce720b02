"""Which lab a verb is about, and how it is asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from waypost.cli import outcome
from waypost.daemon.ask import Node, ask_node
from waypost.errors import Code, LocalError
from waypost.protocol.operator import OperatorRequest
from waypost_lab.box.answers import Done
from waypost_lab.box.home import Home, default_home

D = TypeVar("D", bound=Done)

Directory = Annotated[
    Path | None,
    typer.Option(
        "--dir",
        metavar="DIR",
        help="Directory of the lab; default: $WAYPOST_LAB, else ~/.local/state/waypost-lab.",
        show_default=False,
    ),
]
OneWay = Annotated[bool, typer.Option("--one-way", help="Only from A to B.")]

#: Stopping a node, or all of them, takes time.
_TIMEOUT_S = 120.0


def home_of(directory: Path | None) -> Home:
    """The lab that --dir names, or the default."""
    return Home((directory or default_home()).expanduser().absolute())


@contextmanager
def asked(directory: Path | None) -> Iterator[Node]:
    """A connection to the lab's supervisor. Raises LocalError(NO_LAB)."""
    home = home_of(directory)
    try:
        with ask_node(home.control, _TIMEOUT_S) as node:
            yield node
    except LocalError as error:
        if error.code in (Code.STATE_MISSING, Code.NOT_RUNNING):
            left = " (its supervisor has ended; clear it away: waypost lab down)" if home.is_lab else ""
            raise LocalError(Code.NO_LAB, f"{home.path}{left}") from None
        raise


def value(parse: Callable[[str], float], text: str) -> float:
    """What a person has typed, such as 5%. Raises LocalError(BAD_REQUEST)."""
    try:
        return parse(text)
    except ValueError as error:
        problem, _, remedy = str(error).partition("|")
        raise LocalError(Code.BAD_REQUEST, f"{problem}. {remedy}") from None


def tell(directory: Path | None, request: OperatorRequest[D], *, json: bool) -> None:
    """Ask one thing, and show the answer."""
    with asked(directory) as node:
        found = node.ask(request)
    outcome.tell(found, found.text, as_json=json)
