"""What the node's process is to do: the checked configuration as plain values, to be handed to it as JSON.

Whoever starts a node reads and checks the configuration, with pydantic, and then becomes the node's process, which does
without pydantic and the command line's libraries: that is a quarter of what an idle node would hold in memory.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final

import msgspec

from waypost.errors import Code, LocalError
from waypost.ids import Provider
from waypost.protocol.directory.reach import Reach
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode
from waypost.relay.settings import ConfiguredPeer, Quotas, Rates


class Level(StrEnum):
    """What is logged, and what is worse."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Format(StrEnum):
    """Of a line of the log."""

    PLAIN = "plain"
    JSON = "json"


class At(msgspec.Struct, frozen=True):
    """A host name or IP address, without brackets, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class StoreLimits(msgspec.Struct, frozen=True):
    """Size of the whole database; 0 means as much as the disk holds."""

    storage_max_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**50)] = 0


#: What the section [limits] of waypost.toml holds.
LIMITS: Final = (Rates, Quotas, StoreLimits)


class Plan(msgspec.Struct, frozen=True):
    """See the module. `listen` and `mdns_interfaces` None: all of this machine."""

    provider: Provider
    listen: tuple[At, ...] | None
    announce: tuple[RecordEndpoint, ...]
    policy: Mode
    reach: Reach
    peers: tuple[ConfiguredPeer, ...]
    mdns: bool
    mdns_interfaces: tuple[str, ...] | None
    rates: Rates
    quotas: Quotas
    store: StoreLimits
    switch_interval: float
    log_level: Level
    log_format: Format


def encode(plan: Plan) -> bytes:
    """As JSON."""
    return msgspec.json.encode(plan)


def decode(data: bytes) -> Plan:
    """The reverse. Raises LocalError(BAD_CONFIG)."""
    try:
        return msgspec.json.decode(data, type=Plan)
    except msgspec.DecodeError as error:
        raise LocalError(Code.BAD_CONFIG, f"the plan handed over makes no sense ({error})") from None
