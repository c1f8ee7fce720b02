"""`scripts/bench`: what a node can do on this machine, with real processes, TLS and a synchronous disk; and MLS."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from scripts.support.bench import idle, memory, show
from scripts.support.bench.calibrate import calibrate
from scripts.support.bench.compare import median_of
from scripts.support.bench.loads import offline
from scripts.support.bench.record import Record
from scripts.support.bench.sides import Side, this_side
from scripts.support.bench.simulate import bench as simulate
from scripts.support.bench.versus import ALONE, ON_NODES, against, measure
from scripts.support.mls import bench as bench_mls

from waypost_lab.timeline import write

_MESSAGES: Final = {"forward": 200_000, "offline": 50_000, "memory": 250}
_SETTLE_S: Final = {"idle": idle.SETTLE_S, "memory": memory.SETTLE_S}
_DEVICES: Final = {"connections": 1000, "memory": 200}


def options_of(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("what", choices=(*ON_NODES, *ALONE))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=1, help="run it so often and print medians")
    parser.add_argument("--against", metavar="REV", help="measure that commit in turn with this tree; print new / old")
    parser.add_argument("--rounds", type=int, default=5, help="--against: how often each of the two is measured")
    parser.add_argument("--syncs", type=int, default=500, help="calibration: writes to the disk; 0: no calibration")
    parser.add_argument("--pairs", type=int, default=1, help="forward: senders, each with a recipient of its own")
    parser.add_argument("--messages", type=int, default=0, help="of all senders together; memory: of each device")
    parser.add_argument(
        "--depth", type=int, default=2048, help="forward: messages on their way, of all senders together"
    )
    parser.add_argument("--quiet-s", type=float, default=20, help="forward: seconds at 50 messages a second")
    parser.add_argument("--devices", type=int, default=0, help="connections, memory: how many")
    parser.add_argument("--nodes", type=int, default=10, help="idle: how many")
    parser.add_argument("--minutes", type=float, default=5.0, help="idle: how long")
    parser.add_argument("--settle-s", type=float, help="seconds that a node is left alone before it is looked at")
    parser.add_argument("--hours", type=float, default=2.0, help="simulate: virtual hours of each size")
    parser.add_argument("--full", action="store_true", help="simulate: a day of 100 nodes and 1,000 users, too")
    parser.add_argument("--dir", default=None, help="where the nodes keep their state during the run")
    parser.add_argument("--keep", action="store_true", help="keep that directory")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write a timeline, for: waypost lab report FILE")
    options = parser.parse_args(arguments)
    if options.against and options.record:
        parser.error("--record writes down one side only: leave out --against")
    if options.settle_s is None:
        options.settle_s = _SETTLE_S.get(options.what, 1.0)
    options.messages = options.messages or _MESSAGES.get(options.what, 0)
    options.devices = options.devices or _DEVICES.get(options.what, 0)
    return options


def alone(options: argparse.Namespace) -> None:
    """This tree's figures."""
    side = this_side()
    timeline, options.record = options.record, Record(f"bench {options.what}")
    before = calibrate(options.dir, options.syncs) if options.syncs else {}
    result = median_of([_IN_PROCESS.get(options.what, measure)(side, options) for _ in range(options.runs)])
    if options.what == "forward":
        disk = argparse.Namespace(**{**vars(options), "messages": 20_000, "record": Record("")})
        result["disk_bytes_per_message"] = offline(side, disk)["disk_bytes_per_message"]
    if timeline:
        write(timeline, options.record.events(result))
    after = calibrate(options.dir, options.syncs) if options.syncs else {}
    if options.json:
        machine = {"calibration": [before, after]} if before else {}
        print(json.dumps({**result, "interpreter": side.interpreter, **machine}))
        return
    print(f"{side.commit}\n{show.interpreter(side.interpreter)}")
    print(show.calibration(before, after))
    if options.what == "mls":
        bench_mls.show(result)
    else:
        show.show(options.what, result)


def simulated(_side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """In this process, as is the next."""
    return simulate(options)


def mls(_side: Side, _options: argparse.Namespace) -> dict[str, Any]:
    """The group protocol."""
    return bench_mls.measure(lambda what: print(what, file=sys.stderr))


_IN_PROCESS: Final = {"simulate": simulated, "mls": mls}


def main() -> None:
    options = options_of()
    if options.against:
        against(options)
    else:
        alone(options)


if __name__ == "__main__":
    main()
