"""`waypost leave`: the orderly end of a provider."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.options import Json, State, Yes


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
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.ids import parse_provider
    from waypost.protocol.operator import Leave

    target = parse_provider(moved_to) if moved_to else ""
    if not yes:
        typer.confirm("Close this provider for good and tell all peers?", abort=True)
    with ask_node(state_dir(state)) as node:
        answer = node.ask(Leave(target))
    if json:
        print_json(answer)
    else:
        peers = "one linked peer" if answer["told"] == 1 else f"{answer['told']} linked peers"
        line(f"{answer['provider']} has told {peers}, and stops. Others learn it from them.")
        if answer["left_behind"]:
            line(f"{answer['left_behind']} reports of what became of messages could not be delivered any more.")
