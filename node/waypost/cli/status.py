"""`waypost status`: a node at a glance."""

from __future__ import annotations

import time
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live

from waypost.cli.node import state_dir
from waypost.cli.options import Json, State
from waypost.cli.outcome import print_json
from waypost.cli.sentences import trouble
from waypost.cli.tables import console, table
from waypost.cli.words import duration, size, until
from waypost.daemon.ask import ask_node
from waypost.protocol.operator import GetStatus, NodeStatus

_EVERY_S = 1.0


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it, every second, until Ctrl-C.")] = False,
    state: State = None,
    json: Json = False,
) -> None:
    """Show a running node: its peers, what waits for them, and how much passes through."""
    with ask_node(state_dir(state)) as node:
        found = node.ask(GetStatus())
        if json:
            print_json(found)
            while watch:
                time.sleep(_EVERY_S)
                print_json(node.ask(GetStatus()))
        elif not watch:
            console().print(_view(found, None))
        else:
            with Live(_view(found, None), screen=False, auto_refresh=False) as live:
                while True:
                    time.sleep(_EVERY_S)
                    before, found = found, node.ask(GetStatus())
                    live.update(_view(found, before), refresh=True)


def _view(now: NodeStatus, before: NodeStatus | None) -> RenderableType:
    span = now.uptime_s - (before.uptime_s if before else 0)
    past = {peer.provider: peer for peer in before.peers} if before else {}

    def rate(count: float, earlier: float) -> str:
        return f"{max(0.0, count - earlier) / span:.1f}" if span > 0 else "–"

    accepted = rate(now.totals.accepted, before.totals.accepted if before else 0)
    head = [
        f"[bold]{now.provider}[/bold]  up {duration(now.uptime_s)}  {', '.join(now.endpoints)}",
        f"fingerprint {now.fingerprint}",
        f"key {now.key}",
        f"users {now.users}, devices {now.devices}, connected {now.devices_connected}",
        f"policy for peers {now.policy.value}; who may write to users that have not chosen: {now.reach}",
        f"accepted {now.totals.accepted} ({accepted}/s)",
        f"seen twice {now.totals.duplicates}, refused {now.totals.refused}",
        f"stored {now.store.envelopes} ({size(now.store.bytes)})",
    ]
    rows = []
    for peer in now.peers:
        last = past.get(peer.provider)
        if peer.linked:
            news = f"linked for {duration(peer.linked_s)}"
        else:
            news = f"next try {until(peer.next_try_ms)}" if peer.next_try_ms else ""
            news += f" ({trouble(peer)})" if peer.code else ""
        rows.append(
            (
                peer.provider,
                peer.state.value,
                peer.waiting,
                size(peer.waiting_bytes),
                rate(peer.taken, last.taken if last else 0),
                rate(peer.given, last.given if last else 0),
                news.strip(),
            )
        )
    columns = ("peer", "state", "#waiting", "#bytes", "#in/s", "#out/s", "")
    return Group(*head, table(columns, rows) if rows else "no peers yet")
