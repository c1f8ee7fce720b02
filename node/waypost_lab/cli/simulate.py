"""`waypost lab simulate`: hours of many nodes in virtual time, from one seed, with every promise watched."""

from __future__ import annotations

from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from waypost.cli.options import Json
from waypost.cli.outcome import Exit, print_json
from waypost.cli.words import line
from waypost_lab.simulate.plan import Kind, Plan
from waypost_lab.simulate.run import Result
from waypost_lab.simulate.run import simulate as play
from waypost_lab.simulate.shrink import shrink as smaller
from waypost_lab.timeline import Recorder

_EVENTS_SHOWN = 20


class Weather(StrEnum):
    NONE = "none"
    RAIN = "rain"
    STORM = "storm"


def simulate(
    nodes: Annotated[int, typer.Option(min=2, max=1_000, help="How many nodes.")] = 10,
    users: Annotated[int, typer.Option(min=0, help="How many users in all; 0: five for each node.")] = 0,
    hours: Annotated[float, typer.Option(min=0.05, max=24 * 30, help="Virtual hours until the faults end.")] = 6.0,
    seed: Annotated[int, typer.Option(help="Decides everything: the same seed gives the same run.")] = 1,
    faults: Annotated[Weather, typer.Option(help="How hard the weather is.")] = Weather.STORM,
    without: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="Leave out a kind of fault; again: more.")
    ] = None,
    squeeze: Annotated[
        float, typer.Option(min=0.01, max=1_000, help="So many times more faults; for short runs.")
    ] = 1.0,
    messages: Annotated[float, typer.Option(min=0.1, max=10_000, help="Messages a day, of each user.")] = 12.0,
    neighbours: Annotated[float, typer.Option(min=2, help="Nodes that each node's users write to, about.")] = 2.4,
    online: Annotated[float, typer.Option(min=0, max=1, help="Share of users whose app is always connected.")] = 0.03,
    sqlite: Annotated[
        float, typer.Option(min=0, max=1, help="Share of nodes on SQLite; the others' stores are in memory.")
    ] = 0.0,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a timeline, for `lab report`.")] = None,
    shrink: Annotated[
        float, typer.Option(min=0, metavar="SECONDS", help="When it fails, look so long for less that fails.")
    ] = 60.0,
    json: Json = False,
) -> None:
    """Play hours of a network in seconds, break what can break, and watch that every promise holds.

    The relay is the one that ships, on a network, disks and clocks that fail. After the last fault everything is whole
    again, and all that waits must find its way. Exit code 1: a promise was broken; the seed, the last events, and the
    smallest failing case found are shown.
    """
    kinds = set(Kind)
    unknown = [kind for kind in without or () if kind not in kinds]
    if unknown:
        raise typer.BadParameter(f"no kind of fault is called {unknown[0]!r}; there are {', '.join(sorted(kinds))}")
    left_out = frozenset(Kind(kind) for kind in without or ())
    plan = Plan(
        nodes, users or 5 * nodes, hours, seed, faults.value, left_out, messages, neighbours, squeeze, online, sqlite
    )
    with Recorder(record) if record else nullcontext() as recorder:
        result = play(plan, recorder)
    if json:
        print_json(result.summary())
    else:
        _show(result)
    if not result.holds:
        if not json:
            _explain(result, shrink)
        raise typer.Exit(Exit.FAILED)


def _show(result: Result) -> None:
    for name, value in result.summary().items():
        if name != "broken":
            line(f"{name:12} {value}")
    line("every promise held" if result.holds else f"{len(result.violations)} promises were broken")


def _explain(result: Result, budget_s: float) -> None:
    """What broke, what happened before, and a smaller case."""
    for violation in result.violations[:_EVENTS_SHOWN]:
        line(f"at {violation.at_s:.3f} s  {violation.promise}: {violation.text}")
    if budget_s:
        smallest = smaller(result, play, budget_s)
        if smallest is not result:
            line(f"\nLess that fails too, at event {smallest.broken_at}:  {smallest.plan.command()}")
            result = smallest
    line(f"\nThe last events before the first of them ({result.plan.command()}):")
    for event in result.last[-_EVENTS_SHOWN:]:
        line(f"  {event}")
