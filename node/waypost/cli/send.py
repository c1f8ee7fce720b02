"""`waypost send`: one message."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waypost.cli.options import Json, Profile
from waypost.cli.outcome import Exit

if TYPE_CHECKING:
    from waypost.client import Client, Sent, Status


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
    import sys

    from waypost.cli.client import profile_dir, run_async, with_passphrase

    body = sys.stdin.read() if text == "-" else text
    where = profile_dir(profile)
    raise typer.Exit(
        with_passphrase(
            lambda secret: run_async(lambda: _send((where, secret), to, body, (wait, accept_new_key, json)))
        )
    )


async def _send(profile: tuple[Path, str | None], to: str, body: str, options: tuple[float, bool, bool]) -> Exit:
    import anyio

    from waypost.client import connect

    wait, accept_new_key, as_json = options
    async with connect(*profile) as me:
        sent = await me.send(to, body, accept_new_key=accept_new_key)
        last: Status | None = None
        with anyio.move_on_after(wait):
            async for status in sent.states():
                last = status
                if not as_json:
                    _say(status, sent)
        last = await sent.status()
        return _conclude(me, sent, last, as_json=as_json)


def _say(status: Status, sent: Sent) -> None:
    from waypost.cli.words import line, moment

    line(f"{moment(status.at_ms)}  {_words(status, sent.recipient)}")


def _words(status: Status, recipient: str) -> str:
    from waypost.cli.words import reason, remedy, until

    match status.state.value:
        case "queued":
            return f"written down, on its way to {recipient}"
        case "waiting":
            due = f"; next try {until(status.next_try_ms)}" if status.next_try_ms else ""
            return f"waiting{': ' + reason(status.code) if status.code else ''}{due}"
        case "accepted":
            return "accepted by your provider's node"
        case "held":
            return "held by the recipient's node"
        case "delivered":
            return f"delivered to {recipient}"
        case other:
            return f"{other}: {reason(status.code)}. {remedy(status.code)}"


def _conclude(me: Client, sent: Sent, last: Status, *, as_json: bool) -> Exit:
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line

    state = last.state.value
    if as_json:
        found: dict[str, Any] = {"id": sent.id, "to": sent.recipient, "state": state, "at_ms": last.at_ms}
        print_json({**found, "code": last.code, "reason": last.reason})
    else:
        line(f"id {sent.id}")
    if state in ("bounced", "expired"):
        return Exit.FAILED
    if state in ("queued", "waiting") and not me.is_connected and me.trouble is not None:
        if not as_json:
            line(f"Your node cannot be reached now: {me.trouble}")
        return Exit.ABSENT
    return Exit.OK
