"""What the node's process is to do: the checked configuration as plain values, to be handed to it as JSON.

Whoever starts a node reads and checks the configuration, with pydantic, and then becomes the node's process, which does
without pydantic and the command line's libraries: that is a quarter of what an idle node would hold in memory.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from waypost.errors import Code, LocalError
from waypost.relay.settings import Settings

Level = Literal["debug", "info", "warning", "error"]


class At(msgspec.Struct, frozen=True):
    """A host name or IP address, and a TCP port."""

    host: str
    port: int


class Plan(msgspec.Struct, frozen=True):
    """See the module. `listen` and `mdns_interfaces` None: all of this machine."""

    settings: Settings  #: its endpoints: those that are announced instead of those that the node listens at
    listen: tuple[At, ...] | None
    mdns: bool
    mdns_interfaces: tuple[str, ...] | None
    storage_max_bytes: int  #: 0: as much as the disk holds
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
