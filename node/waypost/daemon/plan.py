"""What the node's process is to do: the checked configuration as plain values, to be handed to it as JSON.

Whoever starts a node reads and checks the configuration, with pydantic, and then becomes the node's process, which does
without pydantic and the command line's libraries: that is a quarter of what an idle node would hold in memory.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from waypost.errors import Code, LocalError
from waypost.ids import Provider

Level = Literal["debug", "info", "warning", "error"]


class At(msgspec.Struct, frozen=True):
    """A host name or IP address, and a TCP port."""

    host: str
    port: int


class PlannedPeer(msgspec.Struct, frozen=True):
    """A configured peer; `key` as `key_text` writes it."""

    provider: Provider
    endpoints: tuple[At, ...]
    key: str | None


class PlannedLimits(msgspec.Struct, frozen=True):
    """Rates a second with their bursts (0: no limit), and what may be stored."""

    account_rate_per_s: float
    account_burst: int
    peer_rate_per_s: float
    peer_burst: int
    mailbox_max_envelopes: int
    mailbox_max_bytes: int
    outbox_max_envelopes: int
    outbox_max_bytes: int
    storage_max_bytes: int


class Plan(msgspec.Struct, frozen=True):
    """See the module. `listen` and `mdns_interfaces` None: all of this machine."""

    provider: Provider
    listen: tuple[At, ...] | None
    announce: tuple[At, ...]
    policy: Literal["open", "known", "allowlist"]
    reach: Literal["all", "none", "some"]
    reach_providers: tuple[Provider, ...]
    peers: tuple[PlannedPeer, ...]
    mdns: bool
    mdns_interfaces: tuple[str, ...] | None
    limits: PlannedLimits
    switch_interval: float
    log_level: Level
    log_format: Literal["plain", "json"]


def encode(plan: Plan) -> bytes:
    """As JSON."""
    return msgspec.json.encode(plan)


def decode(data: bytes) -> Plan:
    """The reverse. Raises LocalError(BAD_CONFIG)."""
    try:
        return msgspec.json.decode(data, type=Plan)
    except msgspec.DecodeError as error:
        raise LocalError(Code.BAD_CONFIG, f"the plan handed over makes no sense ({error})") from None
