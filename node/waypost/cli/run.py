"""`waypost run`: the node itself."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.options import State


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
    from waypost.cli.node import state_dir
    from waypost.daemon.supervise import run_node

    raise typer.Exit(run_node(state_dir(state), ready_fd=ready_fd, log_level=log_level))
