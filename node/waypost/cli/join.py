"""`waypost join`: a profile, from an invite."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from waypost.cli.client import ask_passphrase, passphrase, profile_dir, run_async
from waypost.cli.options import Json, Profile
from waypost.cli.outcome import tell
from waypost.cli.shapes import Joined
from waypost.client import join as enter
from waypost.errors import Code, LocalError


def join(
    invite: Annotated[
        str, typer.Argument(metavar="INVITE", help='The line that starts with waypost:. "-" reads it from the input.')
    ],
    profile: Profile = None,
    label: Annotated[str, typer.Option("--label", help="What this device is called among the account's others.")] = "",
    locked: Annotated[
        bool, typer.Option("--passphrase", help="Ask for a passphrase that protects the profile's keys on this disk.")
    ] = False,
    json: Json = False,
) -> None:
    """Join a provider with an invite: makes a profile with keys of its own, which never leave it.

    With $WAYPOST_PASSPHRASE set, that is the profile's passphrase.
    """
    where = profile_dir(profile)
    secret = passphrase()
    if locked and secret is None:
        secret = ask_passphrase("New passphrase: ")
        if secret is None or secret != ask_passphrase("Once more: "):
            raise LocalError(Code.WRONG_PASSPHRASE, "the two differ, or there is none")
    text = sys.stdin.readline() if invite == "-" else invite
    address = run_async(lambda: enter(text, where, label=label, passphrase=secret))
    tell(Joined(str(address), str(where)), f"You are {address}. The profile is in {where}.", as_json=json)
