"""`waypost lab up` and `waypost lab down`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.options import Json
from waypost.cli.outcome import Exit, print_json
from waypost.cli.tables import console
from waypost.cli.words import line
from waypost.daemon.config import read_text
from waypost.errors import Code, LocalError
from waypost_lab.box import home as homes
from waypost_lab.box import plan
from waypost_lab.box.control import ShowLab
from waypost_lab.box.home import Home
from waypost_lab.box.launch import Launched, end, launch
from waypost_lab.cli.asking import Directory, asked, home_of
from waypost_lab.cli.show import follow


def up(
    nodes: Annotated[int | None, typer.Argument(metavar="[N]", help="How many nodes; 3 unless said.")] = None,
    users: Annotated[int | None, typer.Option("--users", metavar="N", help="At each node; 1 unless said.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", metavar="LAB.TOML", help="A network as this file describes it.")
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Leave it running, and return.")] = False,
    record: Annotated[
        Path | None, typer.Option("--record", metavar="FILE", help="Write down what happens, for waypost lab report.")
    ] = None,
    directory: Directory = None,
    json: Json = False,
) -> None:
    """Start a network of real nodes on this machine, introduce them, join users, and show a live table.

    Everything is on the loopback interface and in one directory. Ctrl-C, or waypost lab down, ends it and removes that.
    """
    text = _plan_text(nodes, users, file)
    home = home_of(directory)
    homes.make(home, text)
    lab = launch(home, record, _progress(quiet=json))
    if detach:
        lab.leave()
        if json:
            print_json({"directory": str(home.path), **lab.facts})
        else:
            _greet(home, lab)
        return
    try:
        if not json:
            _greet(home, lab)
        _watch(directory, json=json)
    finally:
        _end(home, keep=False, json=json)


def down(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the nodes' states and logs in the directory.")] = False,
    directory: Directory = None,
    json: Json = False,
) -> None:
    """Stop all nodes of a lab, remove what it has made, and see that nothing is left. Exit code 1 if something is."""
    _end(home_of(directory), keep=keep, json=json)


def _plan_text(nodes: int | None, users: int | None, file: Path | None) -> str:
    """The lab.toml, checked."""
    if file is None:
        return plan.simple(3 if nodes is None else nodes, 1 if users is None else users)
    if nodes is not None or users is not None:
        raise LocalError(Code.BAD_REQUEST, f"nodes and users are what {file} says; give numbers or a file")
    plan.load(file)
    return read_text(file)


def _progress(*, quiet: bool) -> Callable[[str], None]:
    shown = console()

    def tell(text: str) -> None:
        if not quiet and shown.is_terminal:
            shown.print(f"\r{text:<60}", end="")

    return tell


def _greet(home: Home, lab: Launched) -> None:
    line(f"\rThe lab runs, after {lab.facts['seconds']:.1f} s, in {home.path}")
    for a, b in lab.facts["missing"]:
        line(f"Not linked yet: {a} and {b}")


def _watch(directory: Path | None, *, json: bool) -> None:
    with asked(directory) as node:
        if not json:
            follow(node)
        while True:
            print_json(node.ask(ShowLab()))
            time.sleep(1.0)


def _end(home: Home, *, keep: bool, json: bool) -> None:
    ended = end(home, keep=keep)
    if json:
        print_json({"directory": str(home.path), "nodes": ended.nodes, "left": ended.left, "kept": keep})
    else:
        line(f"{len(ended.nodes)} nodes have ended." + (f" States and logs are in {home.path}." if keep else ""))
        for what in ended.left:
            line(f"LEFT: {what}")
    if ended.left:
        raise typer.Exit(Exit.FAILED)
