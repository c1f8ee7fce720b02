"""`waypost reach`: who may write to the account of a profile."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.options import Json, Profile


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
    from waypost.cli.client import profile_dir, run_async, with_passphrase
    from waypost.cli.outcome import print_json
    from waypost.cli.user import reach_of
    from waypost.cli.words import line
    from waypost.client import connect
    from waypost.protocol.directory.asks import ReachReply

    mode, providers = reach_of(who) if who else ("show", [])
    if not mode:
        raise typer.BadParameter('write "all", "none" or a list of providers')

    async def ask(secret: str | None) -> ReachReply:
        async with connect(profile_dir(profile), secret) as me:
            return await me.reach(mode, providers)

    reply = with_passphrase(lambda secret: run_async(lambda: ask(secret)))
    if json:
        print_json({"reach": reply.mode, "providers": list(reply.providers)})
    elif reply.mode == "some":
        line(f"You can be written to from: {', '.join(reply.providers)}")
    else:
        line(f"You can be written to from: {reply.mode or 'as your provider has decided'}")
