"""`--against REV`: this tree and another commit, measured in turn in one run."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Final

from scripts.support.bench import show
from scripts.support.bench.calibrate import calibrate
from scripts.support.bench.compare import Row, Spread, Who, interleaved, rows
from scripts.support.bench.idle import idle
from scripts.support.bench.loads import connections, forward, offline
from scripts.support.bench.memory import memory
from scripts.support.bench.record import Record
from scripts.support.bench.sides import Side, side_of, this_side

#: What a side measures in one process with its own script, since no driver stands between.
ALONE: Final = ("simulate", "mls")
ON_NODES: Final[dict[str, Callable[[Side, argparse.Namespace], dict[str, Any]]]] = {
    "forward": forward,
    "offline": offline,
    "connections": connections,
    "memory": memory,
    "idle": idle,
}


def measure(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """One round of one side."""
    if options.what in ON_NODES:
        side.check()
        return ON_NODES[options.what](side, options)
    command = [side.python, "-m", "scripts.support.bench", options.what, "--json"]
    if options.what == "simulate":
        command += ["--hours", str(options.hours), *(["--full"] if options.full else [])]
    if (side.tree / "scripts/support/bench/calibrate.py").exists():
        command += ["--syncs", "0"]
    done = subprocess.run(command, env=side.environment(), cwd=side.tree, stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    result.pop("interpreter", None)
    return result


def against(options: argparse.Namespace) -> None:
    """This tree's figures over another commit's."""
    with side_of(options.against) as old:
        sides = {Who.NEW: this_side(), Who.OLD: old}
        before = calibrate(options.dir, options.syncs) if options.syncs else {}
        measured = interleaved(options.rounds, _turns(sides, options))
        after = calibrate(options.dir, options.syncs) if options.syncs else {}
        interpreters = {who: side.interpreter for who, side in sides.items()}
    found = rows(measured)
    if options.json:
        facts = {who.value: {"commit": sides[who].commit, "interpreter": interpreters[who]} for who in Who}
        machine = {"calibration": [before, after]} if before else {}
        figures = {row.name: _as_json(row) for row in found}
        rounds = [{who.value: each[who] for who in Who} for each in measured]
        print(json.dumps({"what": options.what, **facts, **machine, "figures": figures, "rounds": rounds}))
        return
    print(f"{options.what}, {options.rounds} rounds in turn")
    for who, side in sides.items():
        print(f"{who.value}: {side.commit}\n     {show.interpreter(interpreters[who])}")
    print(show.calibration(before, after))
    print(f"\n{show.table(found)}\n\n{show.verdict(found)}")


def _turns(sides: dict[Who, Side], options: argparse.Namespace) -> Callable[[Who], dict[str, Any]]:
    numbers = iter(range(2 * options.rounds))

    def turn(who: Who) -> dict[str, Any]:
        print(f"round {next(numbers) // 2 + 1} of {options.rounds}: {who.value}", file=sys.stderr)
        return measure(sides[who], argparse.Namespace(**{**vars(options), "record": Record("")}))

    return turn


def _as_json(row: Row) -> dict[str, Any]:
    def spread(values: Spread | None) -> dict[str, float] | None:
        return asdict(values) if values else None

    return {
        "new": spread(row.new),
        "old": spread(row.old),
        "ratio": spread(row.ratio),
        "more_is_better": row.more_is_better,
        "reading": row.reading.value,
    }
