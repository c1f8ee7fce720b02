"""`waypost lab status`, and the live table of `waypost lab up`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape

from waypost.cli.options import Json
from waypost.cli.outcome import print_json
from waypost.cli.tables import console, table
from waypost.cli.words import duration, size
from waypost.daemon.ask import Node
from waypost_lab.box.answers import LabLink, LabNode, LabNow
from waypost_lab.box.control import ShowLab
from waypost_lab.cli.asking import Directory, asked

_EVERY_S = 1.0
#: Links with something to tell, in the table; all of them are in the JSON.
_LINKS_SHOWN = 15


def status(
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Keep showing it, every second, until Ctrl-C.")] = False,
    directory: Directory = None,
    json: Json = False,
) -> None:
    """Show a running lab: its nodes, what passes through them, and what is wrong between them."""
    with asked(directory) as node:
        if json:
            print_json(node.ask(ShowLab()))
            while watch:
                time.sleep(_EVERY_S)
                print_json(node.ask(ShowLab()))
        elif watch:
            follow(node)
        else:
            console().print(view(node.ask(ShowLab())))


def follow(node: Node) -> None:
    """The table, every second, until interrupted."""
    with Live(view(node.ask(ShowLab())), screen=False, auto_refresh=False) as live:
        while True:
            time.sleep(_EVERY_S)
            live.update(view(node.ask(ShowLab())), refresh=True)


def view(found: LabNow) -> RenderableType:
    """Nodes, and those links that have something to tell."""
    running = [node for node in found.nodes if node.state == "up"]
    linked = sum(link.linked for link in found.links if link.source < link.to)
    head = (
        f"[bold]{escape(found.title)}[/bold]  up {duration(found.uptime_s)}  {escape(found.directory)}",
        f"{len(running)} of {len(found.nodes)} nodes run, {linked} links, {found.users} users; {_memory(running)}",
    )
    columns = (
        "node",
        "state",
        "#links",
        "#apps",
        "#accepted",
        "#/s",
        "#out/s",
        "#waiting",
        "#stored",
        "#RSS",
        "#PSS",
        "",
    )
    parts: list[RenderableType] = [*head, table(columns, map(_node_row, found.nodes))]
    telling = [link for link in found.links if link.fault or link.waiting or link.error]
    if telling:
        telling.sort(key=lambda link: (not link.fault, -link.waiting))
        parts.append(
            table(("from", "to", "state", "#waiting", "#out/s", "fault", ""), map(_link_row, telling[:_LINKS_SHOWN]))
        )
        if len(telling) > _LINKS_SHOWN:
            parts.append(f"and {len(telling) - _LINKS_SHOWN} more links; all of them: waypost lab status --json")
    return Group(*parts)


def _node_row(node: LabNode) -> tuple[object, ...]:
    colour = {"up": "green", "starting": "yellow"}.get(node.state, "red")
    return (
        node.name,
        f"[{colour}]{node.state}[/{colour}]",
        node.links,
        node.devices,
        node.accepted,
        node.accepted_per_s,
        node.given_per_s,
        node.waiting,
        node.stored,
        size(node.rss),
        size(node.pss) if node.pss else "–",
        escape(node.error),
    )


def _link_row(link: LabLink) -> tuple[object, ...]:
    fault = f"[red]{link.fault}[/red]" if link.fault else ""
    return (link.source, link.to, link.state, link.waiting, link.given_per_s, fault, escape(link.error))


def _memory(nodes: Sequence[LabNode]) -> str:
    """Resident memory, most and mean."""
    held = [node.rss for node in nodes if node.rss]
    if not held:
        return "memory unknown"
    shared = sum(node.pss for node in nodes)
    together = f", {size(shared)} together" if shared else ""
    return f"RSS {size(max(held))} at most, {size(sum(held) / len(held))} each{together}"
