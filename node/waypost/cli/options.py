"""Options that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_JSON = "waypost.json"


def _remember_json(context: typer.Context, value: bool) -> bool:
    context.meta[_JSON] = value or context.meta.get(_JSON, False)
    return value


def wants_json(context: typer.Context) -> bool:
    """Whether --json was given to the verb that runs, also when it fails before it could look."""
    return bool(context.meta.get(_JSON, False))


Json = Annotated[
    bool,
    typer.Option("--json", help="Print JSON, for programs.", callback=_remember_json, is_eager=True),
]
State = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        help="State directory of the node; default: $WAYPOST_STATE, else ~/.local/state/waypost.",
        show_default=False,
    ),
]
Profile = Annotated[
    Path | None,
    typer.Option(
        "--profile",
        metavar="DIR",
        help="Directory of the app's profile; default: $WAYPOST_PROFILE, else ~/.local/share/waypost/profile.",
        show_default=False,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask whether you are sure.")]

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="The peer's name, such as finch.example.")]
