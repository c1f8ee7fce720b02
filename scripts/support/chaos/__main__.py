"""`scripts/chaos`: kills real nodes while they carry messages, and counts what became of each message."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from scripts.support.chaos.runs import Plan, run


def main() -> int:
    """0: nothing lost, nothing shown twice, everything reported; 1: not so."""
    options = _arguments()
    plan = Plan(
        options.messages,
        options.seed,
        options.timeout,
        0 if options.outage else options.kills,
        options.outage,
        options.offline,
    )
    where = Path(tempfile.mkdtemp(prefix="waypost-chaos-", dir=options.dir))
    try:
        facts = run(plan, where, lambda line: print(line, file=sys.stderr, flush=True))
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


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/chaos", description="Kill nodes while they carry messages; count what became of each."
    )
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of either node, so many times (20)")
    parser.add_argument(
        "--messages", type=int, default=20_000, help="from a user of one to a user of the other (20000)"
    )
    parser.add_argument("--seed", type=int, default=1, help="decides who is killed, and when (1)")
    parser.add_argument("--offline", action="store_true", help="the recipient is away until after the last kill")
    parser.add_argument(
        "--outage", type=float, default=0.0, metavar="S", help="instead of kills: the other node is down for so long"
    )
    parser.add_argument("--timeout", type=float, default=300.0, metavar="S", help="give up after so many seconds (300)")
    parser.add_argument("--dir", help="where to put the nodes' state (the system's temporary directory)")
    parser.add_argument("--keep", action="store_true", help="keep state directories and logs")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    if options.messages < 2 or options.kills < 0:
        parser.error("at least two messages, and no negative number of kills")
    return options


def _show(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        print(f"{name:20} {value}")


if __name__ == "__main__":
    sys.exit(main())
