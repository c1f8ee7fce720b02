"""`waypost init`: a state directory for a new node."""

from __future__ import annotations

import secrets
from typing import Annotated

import typer

from waypost.cli.node import state_dir
from waypost.cli.options import Json, State
from waypost.cli.outcome import print_json
from waypost.cli.shapes import NewNode
from waypost.cli.words import line
from waypost.crypto.fingerprint import node_fingerprint
from waypost.crypto.keys import SigningKey, key_text
from waypost.daemon import config
from waypost.daemon import state as states
from waypost.daemon.template import template
from waypost.discovery.txt import dns_value
from waypost.ids import is_lan, parse_provider


def init(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The provider's name: finch.example, or finch.local.")],
    state: State = None,
    listen: Annotated[
        list[str] | None,
        typer.Option(
            "--listen",
            metavar="ADDRESS:PORT",
            help="Listen here only; may be repeated. Port 0: a free one, another at each start.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Make the state directory of a new node: its configuration and its key.

    A .local name is for one network: it needs no DNS and no configuration. Any other name should be one that you have
    in the DNS.
    """
    provider = parse_provider(name)
    where = state_dir(state)
    text = template(provider, listen or ())
    config.parse(text, where.config)
    key = SigningKey(secrets.token_bytes(32))
    states.make(where, text, key.seed)
    fingerprint = node_fingerprint(key.public, provider)
    if json:
        print_json(NewNode(provider, str(where.path), key_text(key.public), fingerprint))
        return
    line(f"{provider} has its state in {where.path}")
    line(f"Fingerprint: {fingerprint}")
    if not is_lan(provider):
        line(f'For the DNS:  _waypost.{provider}. TXT "{dns_value(key.public)}"')
    option = f" --state {where.path}" if state else ""
    line(f"Next: waypost run{option}, and then, elsewhere: waypost user add NAME{option}")
