"""`waypost why`: where a message is, hop by hop."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from waypost.cli.options import Json, Profile, State


def why(
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE-ID", help="32 hexadecimal digits, as `waypost send` shows them.")
    ],
    state: State = None,
    profile: Profile = None,
    json: Json = False,
) -> None:
    """Tell where a message is, at which hop, since when, and why.

    A node (--state, or the one that runs on the default directory) tells what it knows of any message; a profile
    (--profile, or the default one) asks its own node about messages that it has sent or received.
    """
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line, moment, standing, step
    from waypost.errors import Code, LocalError

    try:
        if profile is not None and state is None:
            raise LocalError(Code.NOT_RUNNING)
        found = _from_node(message, state)
    except LocalError as error:
        if state is not None or error.code not in (Code.NOT_RUNNING, Code.STATE_MISSING):
            raise
        found = _from_profile(message, profile)
    if json:
        print_json(found)
        return
    line(f"Message {found['id']}, as {found['node']} knows it:")
    for row in found["rows"]:
        line(f"  {moment(row['at_ms'])}  {step(row)}")
    line(standing(found))


def _from_node(message: str, state: Path | None) -> dict[str, Any]:
    from waypost.cli.node import ask_node, state_dir
    from waypost.ids import parse_id
    from waypost.protocol.operator import Why

    parse_id(message)
    with ask_node(state_dir(state)) as node:
        found: dict[str, Any] = node.ask(Why(message))
    return found


def _from_profile(message: str, profile: Path | None) -> dict[str, Any]:
    from waypost.cli.client import profile_dir, run_async, with_passphrase

    return with_passphrase(lambda secret: run_async(lambda: _track(message, (profile_dir(profile), secret))))


async def _track(message: str, profile: tuple[Path, str | None]) -> dict[str, Any]:
    from waypost.client import connect
    from waypost.errors import Code, Refused

    async with connect(*profile) as me:
        try:
            sent = await me.sent(message)
            last = await sent.status()
        except Refused as error:
            if error.code is not Code.UNKNOWN_MESSAGE:
                raise
            sent, last = None, None
        try:
            rows = [
                {"at_ms": row.at_ms, "event": row.event, "party": row.party, "code": row.code}
                for row in await me.track(message)
            ]
        except Refused as error:
            if sent is None or error.code is not Code.UNREACHABLE:
                raise
            rows = []
        node = me.address.rpartition("@")[2]
        if sent is not None and not rows:
            # It has no envelope yet, or the node cannot be asked: what this profile knows is better than nothing.
            node = "this profile"
            rows = [
                {"at_ms": each.at_ms, "event": each.state.value, "party": "", "code": each.code}
                for each in await sent.history()
            ]
        if sent is None or last is None:
            state = {"state": rows[-1]["event"] if rows else "unknown", "code": 0, "next_try_ms": 0}
        else:
            state = {"state": last.state.value, "code": last.code, "next_try_ms": last.next_try_ms}
        return {"id": sent.id if sent else message, "node": node, **state, "rows": rows}
