"""`waypost reach`: who may write to the account of a profile."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.client import with_client
from waypost.cli.options import Json, Profile
from waypost.cli.outcome import tell
from waypost.cli.shapes import ReachShown
from waypost.cli.user import reach_of
from waypost.protocol.directory.reach import ReachMode


def reach(
    who: Annotated[
        list[str] | None,
        typer.Argument(metavar="[all|none|PROVIDER…]", help="Providers whose users may write to you; left out: show."),
    ] = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Say, or show, from which other providers you can be written to. To all others you do not exist.

    Users of your own provider can always write to you.
    """
    mode, providers = reach_of(who) if who else (None, [])
    if mode is ReachMode.DEFAULT:
        raise typer.BadParameter('write "all", "none" or a list of providers')

    reply = with_client(profile, lambda me: me.reach(mode or "show", providers))
    found = ReachShown(ReachMode(reply.mode), reply.providers)
    named = ", ".join(found.providers) if found.reach is ReachMode.SOME else found.reach.value
    tell(found, f"You can be written to from: {named or 'as your provider has decided'}", as_json=json)
