"""`waypost demo`: two providers and two apps on this machine, from nothing to a conversation."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated

import trio
import typer

from waypost.cli.options import Json
from waypost.cli.outcome import Exit, print_json
from waypost_lab.cli.demo_play import Play
from waypost_lab.cli.interrupt import interruptible


def demo(
    stay: Annotated[
        bool, typer.Option("--stay", help="Keep both nodes up afterwards, until Ctrl-C, and say how to talk to them.")
    ] = False,
    static: Annotated[
        bool, typer.Option("--static", help="Tell the nodes of each other instead of letting them discover it (mDNS).")
    ] = False,
    json: Json = False,
) -> None:
    """See it work: two nodes as real processes, two apps, encrypted messages, every hop accounted for.

    Everything happens on this machine's loopback interface and in a temporary directory, which is removed at the end.
    Takes less than 30 seconds. Exit code 1 if any message did not end as it should.
    """
    place = Path(tempfile.mkdtemp(prefix="waypost-demo-"))
    play = Play(place, quiet=json, stay=stay, static=static)
    try:
        with interruptible():
            trio.run(play.perform)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if json:
        print_json(play.summary())
    if not play.is_good:
        raise typer.Exit(Exit.FAILED)
