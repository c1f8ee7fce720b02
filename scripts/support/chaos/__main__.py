"""`scripts/chaos`: kills real nodes while they carry messages, and counts what became of each message."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.support.chaos import network, runs
from scripts.support.chaos.network import NetworkPlan
from scripts.support.chaos.runs import Plan

from waypost_lab.faults.noted import Note
from waypost_lab.timeline import Recorder


def main() -> int:
    """0: nothing lost, nothing shown twice, everything reported; 1: not so."""
    options = _arguments()
    where = Path(tempfile.mkdtemp(prefix="waypost-chaos-", dir=options.dir))
    try:
        with ExitStack() as stack:
            note = stack.enter_context(Recorder(options.record)).add if options.record else lambda _: None
            facts = _run(options, where, note)
    except BaseException:
        options.keep = True
        raise
    finally:
        if options.keep:
            print(f"state directories and logs: {where}", file=sys.stderr)
        else:
            shutil.rmtree(where, ignore_errors=True)
    if options.json:
        print(json.dumps(facts))
    else:
        _show(facts)
    return 0 if facts["holds"] else 1


def _run(options: argparse.Namespace, where: Path, note: Note) -> dict[str, Any]:
    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if options.nodes:
        plan = NetworkPlan(
            options.nodes,
            options.users,
            options.seconds,
            options.rate,
            options.seed,
            options.timeout,
            options.disk,
            options.retry,
        )
        return network.run(plan, where, note, say)
    kills = 0 if options.outage else options.kills
    two = Plan(options.messages, options.seed, options.timeout, kills, options.outage, options.offline)
    return runs.run(two, where, note, say)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Kill nodes while they carry messages; count what became of each."
    )
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of either node, so many times (20)")
    parser.add_argument(
        "--messages", type=int, default=20_000, help="from a user of one to a user of the other (20000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides what happens to whom, and when (1)")
    parser.add_argument("--offline", action="store_true", help="the recipient is away until after the last kill")
    parser.add_argument(
        "--outage", type=float, default=0.0, metavar="S", help="instead of kills: the other node is down for so long"
    )
    many = parser.add_argument_group("many nodes", "instead: a storm of faults over a whole network, under load")
    many.add_argument("--nodes", type=int, default=0, metavar="N", help="so many, all linked")
    many.add_argument("--users", type=int, default=2, metavar="N", help="at each node (2)")
    many.add_argument("--for", type=float, default=600.0, dest="seconds", metavar="S", help="so long (600)")
    many.add_argument("--rate", type=float, default=60.0, help="messages a second, all users together (60)")
    many.add_argument("--disk", choices=("auto", "tmpfs", "quota"), default="auto", help="how disks are full (auto)")
    many.add_argument("--retry", action="store_true", help="at the end the operators say: waypost queue retry")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write down what happens, for waypost lab report")
    parser.add_argument(
        "--timeout",
        type=float,
        default=300.0,
        metavar="S",
        help="give up after so many seconds; with --nodes, after the faults (300)",
    )
    parser.add_argument("--dir", help="where to put the nodes' state (the system's temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep state directories and logs")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    if options.messages < 2 or options.kills < 0:
        parser.error("at least two messages, and no negative number of kills")
    if options.nodes and (options.nodes < 2 or options.users < 1 or options.seconds <= 0 or options.rate <= 0):
        parser.error("a network has two nodes or more, with users, and takes a time and a rate above 0")
    return options


def _show(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        print(f"{name:20} {value}")


if __name__ == "__main__":
    sys.exit(main())
