"""`waypost lab`: networks of nodes on this machine, and what they are good for. A file for each verb, or for a few.

Each is loaded when it is called: together they import all that there is.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from waypost_lab.cli.interrupt import interruptible

#: Verbs in the order of the help, and their modules.
VERBS = {
    "up": "up",
    "status": "show",
    "traffic": "traffic",
    **dict.fromkeys(("kill", "stop", "start", "cut", "slow", "loss", "heal"), "faults"),
    "down": "up",
    "report": "report",
    "scenario": "scenario",
    "simulate": "simulate",
    "conformance": "conformance",
}


class _Lazy(TyperGroup):
    def list_commands(self, ctx: Any) -> list[str]:
        del ctx
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        del ctx
        if cmd_name not in VERBS:
            return None
        # As the command line would: with its formatting, and without a group of its own.
        verb = typer.Typer(rich_markup_mode=None, add_completion=False)
        verb.command(cmd_name)(getattr(import_module(f"waypost_lab.cli.{VERBS[cmd_name]}"), cmd_name))
        return typer.main.get_command(verb)


app = typer.Typer(
    cls=_Lazy, no_args_is_help=True, help="Run, break, simulate and judge whole networks of nodes on this machine."
)


@app.callback()
def _lab(context: typer.Context) -> None:
    context.with_resource(interruptible())
