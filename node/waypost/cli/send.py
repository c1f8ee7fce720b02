"""`waypost send`: one message."""

from __future__ import annotations

import sys
from typing import Annotated

import anyio
import typer

from waypost.cli.client import with_client
from waypost.cli.options import Json, Profile
from waypost.cli.outcome import Exit, tell
from waypost.cli.sentences import news
from waypost.cli.shapes import SentMessage
from waypost.cli.words import line, moment
from waypost.client import Client, Sent, SentState, Status


def send(
    to: Annotated[str, typer.Argument(metavar="ADDRESS", help="The recipient: user@provider.")],
    text: Annotated[str, typer.Argument(metavar="TEXT", help='The message; "-" reads it from the input.')],
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", help="How long to wait for the news that it was delivered.", min=0, max=86_400
        ),
    ] = 10.0,
    accept_new_key: Annotated[
        bool, typer.Option("--accept-new-key", help="Send although the recipient's identity key has changed.")
    ] = False,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Send an encrypted message, and tell what becomes of it while waiting.

    Exit code 0: delivered, or on its way when the waiting ended; `waypost why ID` then tells where it is. Exit code 1:
    it will not be delivered, and why. What has not left this profile goes with the next verb that connects.
    """
    body = sys.stdin.read() if text == "-" else text
    raise typer.Exit(with_client(profile, lambda me: _send(me, to, body, (wait, accept_new_key, json))))


async def _send(me: Client, to: str, body: str, options: tuple[float, bool, bool]) -> Exit:
    wait, accept_new_key, as_json = options
    sent = await me.send(to, body, accept_new_key=accept_new_key)
    with anyio.move_on_after(wait):
        async for status in sent.states():
            if not as_json:
                text = news(status.state, str(sent.recipient), status.code, status.next_try_ms)
                line(f"{moment(status.at_ms)}  {text}")
    return _conclude(me, sent, await sent.status(), as_json=as_json)


def _conclude(me: Client, sent: Sent, last: Status, *, as_json: bool) -> Exit:
    found = SentMessage(sent.id, str(sent.recipient), last.state, last.at_ms, last.code, last.reason)
    tell(found, f"id {sent.id}", as_json=as_json)
    if last.state in (SentState.BOUNCED, SentState.EXPIRED):
        return Exit.FAILED
    if last.state in (SentState.QUEUED, SentState.WAITING) and not me.is_connected and me.trouble is not None:
        if not as_json:
            line(f"Your node cannot be reached now: {me.trouble}")
        return Exit.ABSENT
    return Exit.OK
