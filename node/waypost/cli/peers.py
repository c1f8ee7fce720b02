"""`waypost peers`: other nodes, and what this one thinks of them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from msgspec.structs import asdict

from waypost.cli.node import ask
from waypost.cli.options import Json, Provider, State, Yes
from waypost.cli.outcome import print_json, tell
from waypost.cli.sentences import TRUST, peer_changed
from waypost.cli.shapes import KeyShown, PeerTold
from waypost.cli.tables import show
from waypost.errors import Code, LocalError
from waypost.ids import parse_provider
from waypost.protocol.operator import GetStatus, ListPeers, PeerAction, SetPeer

app = typer.Typer(
    invoke_without_command=True, help="List the peers; allow, block, pin or forget one; compare fingerprints."
)


_KEY_CHARS = 52
_FINGERPRINT_DIGITS = 60


@app.callback()
def peers(context: typer.Context, state: State = None, json: Json = False) -> None:
    """List the peers; allow, block, pin or forget one; compare fingerprints."""
    if context.invoked_subcommand is None:
        list_(state, json)


@app.command("list")
def list_(state: State = None, json: Json = False) -> None:
    """Show the peers, how their keys are known, and what you decided about them."""
    found = ask(state, ListPeers())
    if json:
        print_json(found)
        return
    show(
        ("peer", "state", "key", "your word", "fingerprint"),
        [(p.provider, p.state.value, TRUST[p.trust], p.policy.value, p.fingerprint) for p in found.peers],
        left_out=found.left_out,
    )


@app.command("allow")
def allow(provider: Provider, state: State = None, json: Json = False) -> None:
    """Let a peer link to this node, whatever the policy; its key must still be the right one."""
    _set(state, SetPeer(parse_provider(provider), PeerAction.ALLOW), json=json)


@app.command("block")
def block(provider: Provider, state: State = None, json: Json = False) -> None:
    """Refuse a peer from now on. What waits for it stays and expires."""
    _set(state, SetPeer(parse_provider(provider), PeerAction.BLOCK), json=json)


@app.command("clear")
def clear(provider: Provider, state: State = None, json: Json = False) -> None:
    """Take back an allow or a block: the policy decides again."""
    _set(state, SetPeer(parse_provider(provider), PeerAction.CLEAR), json=json)


@app.command("forget")
def forget(provider: Provider, yes: Yes = False, state: State = None, json: Json = False) -> None:
    """Forget a peer's key and what you decided: whoever comes next with that name is judged by the policy."""
    if not yes:
        typer.confirm(
            f"Forget the key of {provider}? Whoever comes next with that name may be taken for it.", abort=True
        )
    _set(state, SetPeer(parse_provider(provider), PeerAction.FORGET), json=json)


@app.command("pin")
def pin(
    provider: Provider,
    key: Annotated[
        list[str],
        typer.Argument(metavar="KEY|FINGERPRINT", help="The key (52 characters), or all 60 digits of the fingerprint."),
    ],
    state: State = None,
    json: Json = False,
) -> None:
    """Believe this key, and no other, to be that peer's. Get it from the peer's operator, not over this network.

    A fingerprint can be pinned once the peer has tried to link: only then is the key known that it belongs to.
    """
    text = "".join("".join(key).split())
    if not (len(text) == _KEY_CHARS or (text.isdigit() and len(text) == _FINGERPRINT_DIGITS)):
        raise typer.BadParameter(f"write a key of {_KEY_CHARS} characters, or all {_FINGERPRINT_DIGITS} digits")
    _set(state, SetPeer(parse_provider(provider), PeerAction.PIN, text), json=json)


@app.command("fingerprint")
def fingerprint(
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]", help="A peer; left out: this node.")] = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Show the 60 digits to compare with the other operator, by telephone for instance."""
    if provider is None:
        here = ask(state, GetStatus())
        found = KeyShown(here.provider, here.key, here.fingerprint)
    else:
        name = parse_provider(provider)
        known = {peer.provider: peer for peer in ask(state, ListPeers()).peers}
        if name not in known or not known[name].fingerprint:
            raise LocalError(Code.PROVIDER_UNKNOWN, f"no key of {name} is known here")
        found = KeyShown(name, known[name].key, known[name].fingerprint)
    tell(found, found.fingerprint, as_json=json)


def _set(state: Path | None, request: SetPeer, *, json: bool) -> None:
    found = ask(state, request)
    text = peer_changed(found)
    tell(PeerTold(**asdict(found), text=text), text, as_json=json)
