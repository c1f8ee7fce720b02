"""`waypost user`: the accounts of a provider."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.node import ask
from waypost.cli.options import Json, State, Yes
from waypost.cli.outcome import print_json, tell
from waypost.cli.sentences import user_removed, who_may_write
from waypost.cli.tables import show
from waypost.ids import parse_provider
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.operator import AddUser, ListUsers, RemoveUser, SetReach

app = typer.Typer(
    no_args_is_help=True, help="Add, list and remove users of this provider, and say who may write to them."
)

UserName = Annotated[str, typer.Argument(metavar="USER", help="The part before the @, or the whole address.")]


@app.command("add")
def add(
    user: UserName,
    again: Annotated[
        bool, typer.Option("--again", help="The user exists, and has lost the invite before joining: a further one.")
    ] = False,
    state: State = None,
    json: Json = False,
) -> None:
    """Add a user and print the invite: one line that their app joins with (waypost join INVITE).

    Whoever has the line can join as that user, once, within 7 days. Give it over a channel that you trust.
    """
    added = ask(state, AddUser(user, again))
    # Alone on the standard output, so that it can be captured.
    tell(added, added.invite, as_json=json)


@app.command("list")
def list_(state: State = None, json: Json = False) -> None:
    """Show the users, how many devices they have, and who may write to them."""
    found = ask(state, ListUsers())
    if json:
        print_json(found)
        return
    rows = [(user.address, user.devices, user.online, user.waiting, who_may_write(user)) for user in found.users]
    show(("user", "#devices", "#online", "#waiting", "other providers"), rows, left_out=found.left_out)


@app.command("remove")
def remove(user: UserName, yes: Yes = False, state: State = None, json: Json = False) -> None:
    """Remove a user with all devices. What waits for them goes back to its senders with that reason."""
    if not yes:
        typer.confirm(f"Remove {user}, with all devices and everything that waits for them?", abort=True)
    removed = ask(state, RemoveUser(user))
    tell(removed, user_removed(removed), as_json=json)


@app.command("reach")
def reach(
    user: UserName,
    who: Annotated[
        list[str],
        typer.Argument(metavar="all|none|default|PROVIDER…", help="Providers whose users may write to this user."),
    ],
    state: State = None,
    json: Json = False,
) -> None:
    """Say from which other providers a user can be written to. To all others the user does not exist."""
    mode, providers = reach_of(who)
    found = ask(state, SetReach(user, mode, tuple(parse_provider(name) for name in providers)))
    tell(found, f"{found.address} can be written to from: {who_may_write(found)}", as_json=json)


def reach_of(who: list[str]) -> tuple[ReachMode, list[str]]:
    """The mode and the providers that the words on the command line mean."""
    words = {mode.value or "default": mode for mode in ReachMode if mode is not ReachMode.SOME}
    if len(who) == 1 and who[0] in words:
        return words[who[0]], []
    if any(word in words for word in who):
        raise typer.BadParameter('write "all", "none" or "default" alone, or a list of providers')
    return ReachMode.SOME, who
