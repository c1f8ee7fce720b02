"""`waypost queue`: what waits for other nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.options import Json, State, Yes

app = typer.Typer(invoke_without_command=True, help="Show what waits for each peer; try again now; give it up.")

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="The peer's name, such as finch.example.")]


@app.callback()
def queue(context: typer.Context, state: State = None, json: Json = False) -> None:
    """Show what waits for each peer; try again now; give it up."""
    if context.invoked_subcommand is None:
        list_(state, json)


@app.command("list")
def list_(state: State = None, json: Json = False) -> None:
    """Show per peer: how much waits, when the next try is, and why the last one failed."""
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.tables import show
    from waypost.cli.words import line, reason, size, until
    from waypost.protocol.operator import ListQueue

    with ask_node(state_dir(state)) as node:
        found = node.ask(ListQueue())
    if json:
        print_json(found)
        return
    if not found["queues"]:
        line("Nothing waits.")
        return
    rows = []
    for waiting in found["queues"]:
        due = until(waiting["next_try_ms"]) if waiting["next_try_ms"] else "linked" if waiting["linked"] else "–"
        why = waiting["error"] or (reason(waiting["code"]) if waiting["code"] else "")
        rows.append((waiting["provider"], waiting["waiting"], size(waiting["waiting_bytes"]), due, why))
    show(("peer", "#waiting", "#bytes", "next try", "last error"), rows)
    if found["left_out"]:
        line(f"{found['left_out']} more are not shown.")


@app.command("retry")
def retry(provider: Provider, state: State = None, json: Json = False) -> None:
    """Try now to reach the peer, instead of waiting for the next turn."""
    _act(provider, "retry", state, json=json)


@app.command("drop")
def drop(provider: Provider, yes: Yes = False, state: State = None, json: Json = False) -> None:
    """Give up all that waits for a peer. Each sender is told that the operator dropped it."""
    if not yes:
        typer.confirm(f"Give up everything that waits for {provider}?", abort=True)
    _act(provider, "drop", state, json=json)


def _act(provider: str, action: str, state: Path | None, *, json: bool) -> None:
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.ids import parse_provider
    from waypost.protocol.operator import ActOnQueue

    request = ActOnQueue(parse_provider(provider), action)
    with ask_node(state_dir(state)) as node:
        answer = node.ask(request)
    if json:
        print_json(answer)
    else:
        line(answer["text"])
