"""`waypost safety`: the digits that two people compare to make sure that nobody is in between."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.client import with_client
from waypost.cli.options import Json, Profile
from waypost.cli.outcome import tell
from waypost.cli.shapes import SafetyNumber
from waypost.client import Client
from waypost.ids import parse_address


def safety(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="Whom to compare with: user@provider.")],
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Show the safety number of you and another user: 60 digits, which are the same for both.

    Compare them in person or by telephone. If they differ, somebody between you has put in a key of their own. If
    the user's identity key has changed, the number is that of the new key.
    """
    theirs = str(parse_address(address))

    async def ask(me: Client) -> SafetyNumber:
        return SafetyNumber(theirs, str(me.address), await me.safety_number(theirs))

    found = with_client(profile, ask)
    tell(found, found.safety_number, as_json=json)
