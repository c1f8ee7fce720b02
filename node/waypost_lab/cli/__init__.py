"""`waypost lab`: networks of nodes on this machine, and what they are good for. A file for each verb."""

from __future__ import annotations

import typer

from waypost_lab.cli import conformance, faults, report, scenario, show, simulate, traffic, up
from waypost_lab.cli.interrupt import interruptible

app = typer.Typer(no_args_is_help=True, help="Run, break, simulate and judge whole networks of nodes on this machine.")


@app.callback()
def _lab(context: typer.Context) -> None:
    context.with_resource(interruptible())


app.command()(up.up)
app.command()(show.status)
app.command()(traffic.traffic)
app.command()(faults.kill)
app.command()(faults.stop)
app.command()(faults.start)
app.command()(faults.cut)
app.command()(faults.slow)
app.command()(faults.loss)
app.command()(faults.heal)
app.command()(up.down)
app.command()(report.report)
app.command()(scenario.scenario)
app.command()(simulate.simulate)
app.command()(conformance.conformance)
