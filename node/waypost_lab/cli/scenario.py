"""`waypost lab scenario`: play what is written down, and say where it went another way."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from waypost.cli.options import Json
from waypost.cli.outcome import Exit, print_json
from waypost_lab.scenario.parse import forms
from waypost_lab.scenario.play import Played, play
from waypost_lab.scenario.shipped import load, names
from waypost_lab.timeline import Recorder


def scenario(
    files: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE…", help="Files, or names from --list; without any, all of those.", show_default=False
        ),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="Show the scenarios that come with Waypost.")] = False,
    sentences: Annotated[
        bool, typer.Option("--sentences", help="Show the sentences that a scenario can be made of.")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", metavar="N", help="Decides what chance decides.")] = 1,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", metavar="FILE", help="Write the timeline there, for waypost lab report; of one scenario."
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Play scenarios: a network, its people, and what happens to them, in sentences that anybody can read.

    Real nodes and real apps, in virtual time: days take seconds, and the same seed gives the same play. Exit code 1 if
    one went another way than its file says.
    """
    if listed or sentences:
        _list(json) if listed else _sentences(json)
        return
    which = files or names()
    if record is not None and len(which) != 1:
        raise typer.BadParameter("--record takes one scenario")
    played = [_play(each, seed, record, quiet=json) for each in [(name, load(name)) for name in which]]
    if not all(each.passed for each in played):
        raise typer.Exit(Exit.FAILED)


def _play(named: tuple[str, Any], seed: int, record: Path | None, *, quiet: bool) -> Played:
    name, script = named
    with ExitStack() as stack:
        if record is None:
            played = play(script, seed=seed)
        else:
            played = play(script, seed=seed, on_event=stack.enter_context(Recorder(record)).add)
    if quiet:
        print_json({"scenario": name, "passed": played.passed, **asdict(played)})
        return played
    verdict = "passed" if played.passed else "FAILED"
    typer.echo(f"{verdict}  {name}: {script.title} ({_span(played.virtual_s)} in {played.wall_s:.1f} s)")
    if played.failure:
        typer.echo(f"  line {played.failure.line}: {played.failure.text}\n  but {played.failure.instead}")
        typer.echo(f"  seed {seed}; what happened before:")
        for at, text in played.failure.events:
            typer.echo(f"  {at:>14,.3f} s  {text}")
    return played


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.1f} s"


def _list(as_json: bool) -> None:
    for name in names():
        script = load(name)
        if as_json:
            print_json(
                {"scenario": name, "title": script.title, "about": script.about, "answers": list(script.answers)}
            )
        else:
            typer.echo(f"{name:<26}{script.title}")


def _sentences(as_json: bool) -> None:
    for form in forms():
        if as_json:
            print_json({"kind": form.kind.value, "sentence": form.template, "about": form.about})
        else:
            typer.echo(f"{form.kind.value:<9}{form.template}")
