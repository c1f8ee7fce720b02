"""`waypost run`: the node itself."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from waypost.cli.node import state_dir
from waypost.cli.options import State
from waypost.cli.process import become
from waypost.daemon import config as configuration
from waypost.daemon.plan import Level
from waypost.errors import Code, LocalError


def run(
    state: State = None,
    ready_fd: Annotated[
        int | None,
        typer.Option(
            "--ready-fd",
            metavar="N",
            help="Write one line of JSON to this file descriptor once the node is ready.",
            min=1,
        ),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error, whatever the configuration says.")
    ] = None,
) -> None:
    """Run the node until SIGTERM or Ctrl-C; a second one ends it at once.

    It stays in the foreground and logs to the standard error stream. While it runs, node.json in the state directory
    holds its process id and ports.
    """
    if log_level is not None and log_level not in list(Level):
        raise LocalError(Code.BAD_REQUEST, f"log level {log_level!r}: write one of {', '.join(Level)}")
    where = state_dir(state)
    if not where.path.is_dir():
        raise LocalError(Code.STATE_MISSING, str(where.path))
    planned = configuration.plan(configuration.load(where.config))
    if log_level is not None:
        planned = msgspec.structs.replace(planned, log_level=Level(log_level))
    become(where, planned, ready_fd)
