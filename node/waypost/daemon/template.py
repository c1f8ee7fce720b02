"""The `waypost.toml` that a new node starts with."""

from __future__ import annotations

import inspect
from collections.abc import Sequence

import msgspec

from waypost.daemon.plan import LIMITS
from waypost.ids import Provider, is_lan
from waypost.limits import DEFAULT_PORT
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.directory.trust import Mode


def template(name: Provider, listen: Sequence[str] = ()) -> str:
    """A commented `waypost.toml` for a new node; every default stands in it as a comment."""
    lan = is_lan(name)
    listening = (
        f"listen = [{', '.join(_quoted(at) for at in listen)}]"
        if listen
        else (f'# listen = ["0.0.0.0:{DEFAULT_PORT}", "[::]:{DEFAULT_PORT}"]')
    )
    announce = "192.168.1.5" if lan else f"node.{name}"
    return f"""# Configuration of a Waypost node. A line that starts with # shows a default, or an example.
# Check it with: waypost check

# The provider's name: what stands after the @ of its users' addresses. Other nodes know it by this name; do not
# change it later.
name = {_quoted(name)}

# Where the node listens. Port 0 takes a free port.
{listening}

# Where others reach it, if that is somewhere else (behind a router, or by a name). Users' apps are told this too.
# announce = ["{announce}:{DEFAULT_PORT}"]

# Which other nodes may link to this one:
#   "open"       any; a name is bound to the key that it first came with
#   "known"      those whose key is pinned, or named in their DNS
#   "allowlist"  those that `waypost peers allow` names
# policy = "{Mode.OPEN if lan else Mode.KNOWN}"

# Who may write to users that have not chosen themselves: "all" providers, "none", or a list of them.
# Users of this provider can always write to each other.
# reach = "{ReachMode.ALL if lan else ReachMode.NONE}"

# How long, in seconds, busy work may hold up everything else.
# switch_interval = 0.001

# Peers to link to from the start, each as a block. With a key, no other key is believed.
# [[peers]]
# provider = "finch.example"
# endpoint = "node.finch.example:{DEFAULT_PORT}"
# key = "52 characters, as `waypost status` shows them on that node"

# Finding nodes on the same network by itself. Without interfaces: those of `listen`, or all of this machine.
[mdns]
# enabled = {"true" if lan else "false"}
# interfaces = ["192.168.1.5"]

{_limits()}
# The log goes to the standard error stream. It never holds messages, keys or invites.
[log]
# level = "info"        # debug, info, warning, error
# format = "plain"      # plain, json
"""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _limits() -> str:
    lines = ["[limits]"]
    for kind in LIMITS:
        lines.append(f"# {inspect.getdoc(kind)}")
        lines += [f"# {key.encode_name} = {key.default:.10g}" for key in msgspec.structs.fields(kind)]
    # What a section is about stands above it.
    lines[0], lines[1] = lines[1], lines[0]
    return "\n".join(lines) + "\n"
