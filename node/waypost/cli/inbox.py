"""`waypost inbox`: what has arrived."""

from __future__ import annotations

import base64
import sys
from typing import Annotated

import anyio
import typer
from msgspec import UNSET

from waypost.cli.client import with_client
from waypost.cli.options import Json, Profile
from waypost.cli.outcome import print_json
from waypost.cli.shapes import InboxMessage
from waypost.cli.words import line, moment
from waypost.client import Client, Message
from waypost.errors import Code, Refused

_SETTLE_S = 0.7


def inbox(
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Stay and show what arrives, until Ctrl-C.")] = False,
    wait: Annotated[
        float,
        typer.Option(
            "--wait", metavar="SECONDS", help="How long to wait for the node, and for a first message.", min=0
        ),
    ] = 5.0,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Fetch and show the messages that have arrived. Each is shown once.

    Exit code 3 if the node cannot be reached and nothing had been fetched before.
    """
    with_client(profile, lambda me: _show_all(me, None if follow else wait, as_json=json))


async def _show_all(me: Client, wait_s: float | None, *, as_json: bool) -> None:
    shown = 0
    if wait_s is None:
        async for message in me.inbox():
            _show(message, as_json=as_json)
        return
    async for message in me.inbox(follow=False):
        _show(message, as_json=as_json)
        shown += 1
    with anyio.move_on_after(wait_s):
        await me.connected()
    if me.is_connected:
        # The node sends what it has as soon as it can; a while without anything new means that this was all.
        until = anyio.current_time() + (wait_s if not shown else _SETTLE_S)
        while anyio.current_time() < until:
            await anyio.sleep(0.05)
            async for message in me.inbox(follow=False):
                _show(message, as_json=as_json)
                shown += 1
                until = anyio.current_time() + _SETTLE_S
    elif not shown:
        raise Refused(Code.UNREACHABLE, str(me.trouble.detail if me.trouble else "your node has not answered"))
    if not shown and not as_json:
        line("Nothing new.")


def _show(message: Message, *, as_json: bool) -> None:
    if as_json:
        print_json(
            InboxMessage(
                id=message.id,
                sender=message.sender,
                media_type=message.media_type,
                sent_ms=message.sent_ms,
                received_ms=message.received_ms,
                identity_changed=message.identity_changed,
                error=message.error,
                text=UNSET if message.text is None else message.text,
                body=base64.b64encode(message.body).decode() if message.text is None else UNSET,
            )
        )
        return
    line(f"{moment(message.sent_ms)}  {message.sender}  ({message.id})")
    if message.identity_changed:
        line("  The sender's identity key has changed: compare safety numbers before you trust this:")
        line(f"  waypost safety {message.sender}")
    if message.error:
        line(f"  It cannot be opened: {message.error}")
    elif message.text is None:
        line(f"  {message.media_type}, {len(message.body)} bytes")
    else:
        # A terminal obeys control characters; whoever writes to you must not be able to give it orders.
        for each in message.text.splitlines() or [""]:
            line("  " + "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in each))
    sys.stdout.flush()
