"""The `waypost.toml` that a new node starts with."""

from __future__ import annotations

from collections.abc import Sequence

from waypost.ids import Provider, is_lan
from waypost.limits import (
    ACCOUNT_BURST,
    ACCOUNT_RATE_PER_S,
    DEFAULT_PORT,
    MAILBOX_MAX_BYTES,
    MAILBOX_MAX_ENVELOPES,
    OUTBOX_MAX_BYTES,
    OUTBOX_MAX_ENVELOPES,
    PEER_BURST,
    PEER_RATE_PER_S,
)


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
# policy = "{"open" if lan else "known"}"

# Who may write to users that have not chosen themselves: "all" providers, "none", or a list of them.
# Users of this provider can always write to each other.
# reach = "{"all" if lan else "none"}"

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

# Envelopes a second (and at once, after a rest) that are taken from one account or one peer; 0 means no limit.
[limits]
# account_rate_per_s = {ACCOUNT_RATE_PER_S:g}
# account_burst = {ACCOUNT_BURST}
# peer_rate_per_s = {PEER_RATE_PER_S:g}
# peer_burst = {PEER_BURST}
# What may wait for one device, and for one peer. Beyond it senders are asked to wait.
# mailbox_max_envelopes = {MAILBOX_MAX_ENVELOPES}
# mailbox_max_bytes = {MAILBOX_MAX_BYTES}
# outbox_max_envelopes = {OUTBOX_MAX_ENVELOPES}
# outbox_max_bytes = {OUTBOX_MAX_BYTES}
# Size of the whole database; 0 means as much as the disk holds.
# storage_max_bytes = 0

# The log goes to the standard error stream. It never holds messages, keys or invites.
[log]
# level = "info"        # debug, info, warning, error
# format = "plain"      # plain, json
"""


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
