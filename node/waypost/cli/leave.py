"""`waypost leave`: the orderly end of a provider."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.node import ask
from waypost.cli.options import Json, State, Yes
from waypost.cli.outcome import tell
from waypost.cli.sentences import left
from waypost.ids import parse_provider
from waypost.protocol.operator import Leave


def leave(
    moved_to: Annotated[
        str, typer.Option("--moved-to", metavar="PROVIDER", help="Tell the others that its users are now there.")
    ] = "",
    yes: Yes = False,
    state: State = None,
    json: Json = False,
) -> None:
    """Close the provider for good: tell all peers, and stop the node.

    Peers then send back at once what is for its users, instead of trying for days. What waits on this node goes back to
    its senders. To stop a node for a while, stop its process.
    """
    target = parse_provider(moved_to) if moved_to else ""
    if not yes:
        typer.confirm("Close this provider for good and tell all peers?", abort=True)
    found = ask(state, Leave(target))
    tell(found, left(found), as_json=json)
