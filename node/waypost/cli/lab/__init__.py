"""`waypost lab`: networks of nodes on this machine, and what they are good for. A file for each verb."""

from __future__ import annotations

import typer

from waypost.cli.lab import conformance, report, simulate

app = typer.Typer(no_args_is_help=True, help="Run, break, simulate and judge whole networks of nodes on this machine.")
app.command()(report.report)
app.command()(simulate.simulate)
app.command()(conformance.conformance)
