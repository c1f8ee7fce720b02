"""`waypost peers`: other nodes, and what this one thinks of them."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from waypost.cli.options import Json, State, Yes

app = typer.Typer(
    invoke_without_command=True, help="List the peers; allow, block, pin or forget one; compare fingerprints."
)

Provider = Annotated[str, typer.Argument(metavar="PROVIDER", help="The peer's name, such as finch.example.")]

_KEY_CHARS = 52
_FINGERPRINT_DIGITS = 60

_TRUST = {
    "": "only heard of",
    "first-use": "first use",
    "pinned": "pinned by you",
    "dns": "named in its DNS",
    "succession": "handed over by its old key",
}


@app.callback()
def peers(context: typer.Context, state: State = None, json: Json = False) -> None:
    """List the peers; allow, block, pin or forget one; compare fingerprints."""
    if context.invoked_subcommand is None:
        list_(state, json)


@app.command("list")
def list_(state: State = None, json: Json = False) -> None:
    """Show the peers, how their keys are known, and what you decided about them."""
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.tables import show
    from waypost.cli.words import line
    from waypost.protocol.operator import ListPeers

    with ask_node(state_dir(state)) as node:
        found = node.ask(ListPeers())
    if json:
        print_json(found)
        return
    show(
        ("peer", "state", "key", "your word", "fingerprint"),
        [
            (p["provider"], p["state"], _TRUST.get(p["trust"], p["trust"]), p["policy"], p["fingerprint"])
            for p in found["peers"]
        ],
    )
    if found["left_out"]:
        line(f"{found['left_out']} more are not shown.")


@app.command("allow")
def allow(provider: Provider, state: State = None, json: Json = False) -> None:
    """Let a peer link to this node, whatever the policy; its key must still be the right one."""
    _set(provider, "allow", "", (state, json))


@app.command("block")
def block(provider: Provider, state: State = None, json: Json = False) -> None:
    """Refuse a peer from now on. What waits for it stays and expires."""
    _set(provider, "block", "", (state, json))


@app.command("clear")
def clear(provider: Provider, state: State = None, json: Json = False) -> None:
    """Take back an allow or a block: the policy decides again."""
    _set(provider, "clear", "", (state, json))


@app.command("forget")
def forget(provider: Provider, yes: Yes = False, state: State = None, json: Json = False) -> None:
    """Forget a peer's key and what you decided: whoever comes next with that name is judged by the policy."""
    if not yes:
        typer.confirm(
            f"Forget the key of {provider}? Whoever comes next with that name may be taken for it.", abort=True
        )
    _set(provider, "forget", "", (state, json))


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
    _set(provider, "pin", text, (state, json))


@app.command("fingerprint")
def fingerprint(
    provider: Annotated[str | None, typer.Argument(metavar="[PROVIDER]", help="A peer; left out: this node.")] = None,
    state: State = None,
    json: Json = False,
) -> None:
    """Show the 60 digits to compare with the other operator, by telephone for instance."""
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.errors import Code, LocalError
    from waypost.protocol.operator import GetStatus, ListPeers

    with ask_node(state_dir(state)) as node:
        if provider is None:
            found = node.ask(GetStatus())
        else:
            from waypost.ids import parse_provider

            name = parse_provider(provider)
            known = {peer["provider"]: peer for peer in node.ask(ListPeers())["peers"]}
            if name not in known or not known[name]["fingerprint"]:
                raise LocalError(Code.PROVIDER_UNKNOWN, f"no key of {name} is known here")
            found = known[name]
    if json:
        print_json({key: found[key] for key in ("provider", "key", "fingerprint")})
    else:
        line(found["fingerprint"])


def _set(provider: str, action: str, key: str, options: tuple[Any, bool]) -> None:
    from waypost.cli.node import ask_node, state_dir
    from waypost.cli.outcome import print_json
    from waypost.cli.words import line
    from waypost.ids import parse_provider
    from waypost.protocol.operator import SetPeer

    state, json = options
    request = SetPeer(parse_provider(provider), action, key)
    with ask_node(state_dir(state)) as node:
        answer = node.ask(request)
    if json:
        print_json(answer)
    else:
        line(answer["text"])
