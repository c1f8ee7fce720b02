"""`waypost why`: where a message is, hop by hop."""

from __future__ import annotations

from typing import Annotated

import typer

from waypost.cli.client import with_client
from waypost.cli.node import ask
from waypost.cli.options import Json, Profile, State
from waypost.cli.outcome import print_json
from waypost.cli.sentences import standing, step
from waypost.cli.shapes import ProfileStep, ProfileTrace
from waypost.cli.words import line, moment
from waypost.client import Client
from waypost.errors import Code, LocalError, Refused
from waypost.ids import parse_id
from waypost.protocol.custody.fate import Event
from waypost.protocol.custody.fate import State as Fate
from waypost.protocol.operator import MessageTrace, TraceStep, Why


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
    found: MessageTrace | ProfileTrace
    try:
        if profile is not None and state is None:
            raise LocalError(Code.NOT_RUNNING)
        parse_id(message)
        found = ask(state, Why(message))
    except LocalError as error:
        if state is not None or error.code not in (Code.NOT_RUNNING, Code.STATE_MISSING):
            raise
        found = with_client(profile, lambda me: _track(message, me))
    if json:
        print_json(found)
        return
    line(f"Message {found.id}, as {found.node} knows it:")
    for row in found.rows:
        line(f"  {moment(row.at_ms)}  {step(row)}")
    line(standing(found))


async def _track(message: str, me: Client) -> MessageTrace | ProfileTrace:
    try:
        sent = await me.sent(message)
    except Refused as error:
        if error.code is not Code.UNKNOWN_MESSAGE:
            raise
        sent = None
    try:
        rows = tuple([TraceStep(row.at_ms, Event(row.event), row.party, row.code) for row in await me.track(message)])
    except Refused as error:
        if sent is None or error.code is not Code.UNREACHABLE:
            raise
        rows = ()
    node = me.address.rpartition("@")[2]
    if sent is None:
        state = Fate(rows[-1].event.value) if rows else Fate.OTHER
        return MessageTrace(message, node, state, 0, 0, rows)
    last = await sent.status()
    if rows:
        return MessageTrace(sent.id, node, last.state, last.code, last.next_try_ms, rows)
    # It has no envelope yet, or the node cannot be asked: what this profile knows is better than nothing.
    known = tuple([ProfileStep(each.at_ms, each.state, each.code) for each in await sent.history()])
    return ProfileTrace(sent.id, "this profile", last.state, last.code, last.next_try_ms, known)
