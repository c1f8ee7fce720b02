"""`waypost queue`: what waits for other nodes."""

from __future__ import annotations

from pathlib import Path

import typer
from msgspec.structs import asdict

from waypost.cli.node import ask
from waypost.cli.options import Json, Provider, State, Yes
from waypost.cli.outcome import print_json, tell
from waypost.cli.sentences import queue_changed, trouble
from waypost.cli.shapes import QueueTold
from waypost.cli.tables import show
from waypost.cli.words import line, size, until
from waypost.ids import parse_provider
from waypost.protocol.operator import ActOnQueue, ListQueue, QueueAction

app = typer.Typer(invoke_without_command=True, help="Show what waits for each peer; try again now; give it up.")


@app.callback()
def queue(context: typer.Context, state: State = None, json: Json = False) -> None:
    """Show what waits for each peer; try again now; give it up."""
    if context.invoked_subcommand is None:
        list_(state, json)


@app.command("list")
def list_(state: State = None, json: Json = False) -> None:
    """Show per peer: how much waits, when the next try is, and why the last one failed."""
    found = ask(state, ListQueue())
    if json:
        print_json(found)
        return
    if not found.queues:
        line("Nothing waits.")
        return
    rows = []
    for peer in found.queues:
        due = until(peer.next_try_ms) if peer.next_try_ms else "linked" if peer.linked else "–"
        rows.append((peer.provider, peer.waiting, size(peer.waiting_bytes), due, trouble(peer)))
    show(("peer", "#waiting", "#bytes", "next try", "last error"), rows, left_out=found.left_out)


@app.command("retry")
def retry(provider: Provider, state: State = None, json: Json = False) -> None:
    """Try now to reach the peer, instead of waiting for the next turn."""
    _act(provider, QueueAction.RETRY, state, json=json)


@app.command("drop")
def drop(provider: Provider, yes: Yes = False, state: State = None, json: Json = False) -> None:
    """Give up all that waits for a peer. Each sender is told that the operator dropped it."""
    if not yes:
        typer.confirm(f"Give up everything that waits for {provider}?", abort=True)
    _act(provider, QueueAction.DROP, state, json=json)


def _act(provider: str, action: QueueAction, state: Path | None, *, json: bool) -> None:
    found = ask(state, ActOnQueue(parse_provider(provider), action))
    text = queue_changed(found)
    tell(QueueTold(**asdict(found), text=text), text, as_json=json)
