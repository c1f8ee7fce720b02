"""The node's own process: `waypost run` becomes this once it has checked the configuration (see `daemon.plan`)."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

from waypost.cli.outcome import failure_of, report
from waypost.daemon import plan
from waypost.daemon.plan import Plan
from waypost.daemon.state import StateDir


def become(state: StateDir, planned: Plan, ready_fd: int | None) -> NoReturn:
    """Replace this process, with its id and open descriptors, by the node's."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it is the next program's to close
    file.write(plan.encode(planned))
    file.seek(0)
    kept = {"--plan-fd": file.fileno()} | ({"--ready-fd": ready_fd} if ready_fd is not None else {})
    arguments = [sys.executable, "-m", __name__, str(state.path)]
    for option, descriptor in kept.items():
        os.set_inheritable(descriptor, True)
        arguments += [option, str(descriptor)]
    # Threads that only read and write a database need no memory pools of their own.
    os.execve(sys.executable, arguments, {"MALLOC_ARENA_MAX": "1", **os.environ})  # noqa: S606


def main() -> int:
    """Run the node; returns the exit code."""
    # structlog loads rich, for tracebacks that a log does not show, if it finds it: 4 MiB.
    sys.modules["rich"] = None  # type: ignore[assignment] # what `import` takes for "not there"
    from waypost.daemon.supervise import run_node  # noqa: PLC0415 - once that is said

    parser = argparse.ArgumentParser(prog="waypost.cli.process", description=__doc__)
    parser.add_argument("state", type=Path)
    parser.add_argument("--plan-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int)
    given = parser.parse_args()
    try:
        with os.fdopen(given.plan_fd, "rb") as file:
            planned = plan.decode(file.read())
        return run_node(StateDir(given.state), planned, ready_fd=given.ready_fd)
    except BaseException as error:
        failure = failure_of(error)
        if failure is None:
            raise
        return report(failure, as_json=False)


if __name__ == "__main__":
    sys.exit(main())
