"""`waypost user`: the accounts of a provider."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.options import Json, State, Yes

app = typer.Typer(
    no_args_is_help=True, help="Add, list and remove users of this provider, and say who may write to them."
)

UserName = Annotated[str, typer.Argument(metavar="USER", help="The part before the @, or the whole address.")]


def _user(name: str) -> str:
    return name


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
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.protocol.operator import AddUser

    with ask_node(state_dir(state)) as node:
        added = node.ask(AddUser(user, again))
    if json:
        print_json(added)
    else:
        # Alone on the standard output, so that it can be captured.
        line(added["invite"])


@app.command("list")
def list_(state: State = None, json: Json = False) -> None:
    """Show the users, how many devices they have, and who may write to them."""
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.tables import show
    from waypost.cli.words import line
    from waypost.protocol.operator import ListUsers

    with ask_node(state_dir(state)) as node:
        found = node.ask(ListUsers())
    if json:
        print_json(found)
        return
    rows = [
        (user["address"], user["devices"], user["online"], user["waiting"], _reach_words(user))
        for user in found["users"]
    ]
    show(("user", "#devices", "#online", "#waiting", "other providers"), rows)
    if found["left_out"]:
        line(f"{found['left_out']} more are not shown.")


def _reach_words(user: dict[str, object]) -> str:
    reach, providers = user["reach"], user["providers"]
    if reach == "some" and isinstance(providers, list):
        return ", ".join(providers)
    return f"{user['effective']} (the provider's default)" if not reach else str(reach)


@app.command("remove")
def remove(user: UserName, yes: Yes = False, state: State = None, json: Json = False) -> None:
    """Remove a user with all devices. What waits for them goes back to its senders with that reason."""
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.protocol.operator import RemoveUser

    if not yes:
        typer.confirm(f"Remove {user}, with all devices and everything that waits for them?", abort=True)
    with ask_node(state_dir(state)) as node:
        removed = node.ask(RemoveUser(user))
    if json:
        print_json(removed)
    else:
        line(f"{removed['address']} is removed; {removed['bounced']} waiting messages went back to their senders.")


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
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.ids import parse_provider
    from waypost.protocol.operator import SetReach

    mode, providers = reach_of(who)
    request = SetReach(user, mode, tuple(parse_provider(name) for name in providers))
    with ask_node(state_dir(state)) as node:
        answer = node.ask(request)
    if json:
        print_json(answer)
    else:
        line(f"{answer['address']} can be written to from: {_reach_words(answer)}")


def reach_of(who: list[str]) -> tuple[str, list[str]]:
    """The mode and the providers that the words on the command line mean."""
    if len(who) == 1 and who[0] in ("all", "none"):
        return who[0], []
    if who == ["default"]:
        return "", []
    if any(word in ("all", "none", "default") for word in who):
        raise typer.BadParameter('write "all", "none" or "default" alone, or a list of providers')
    return "some", who
