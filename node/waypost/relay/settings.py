"""What an operator decides, and what a relay is given of the outside world."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Annotated, Any, Protocol

from msgspec import Meta, Struct, field

from waypost import limits
from waypost.clock import Clock
from waypost.discovery.source import Sighting, Source
from waypost.ids import Provider
from waypost.links.stream import Stream
from waypost.protocol.directory.reach import NOBODY, Reach
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode

Rate = Annotated[float, Meta(ge=0, le=1e9)]
Count = Annotated[int, Meta(ge=1, le=10**9)]
Size = Annotated[int, Meta(ge=64 * limits.KIB, le=2**50)]

# Keys of waypost.toml, by their names in the section [limits]: the file's checks, and the text that a new one starts
# with, are made from these. docs/operating.md lists them.


class Rates(Struct, frozen=True):
    """Envelopes a second (and at once, after a rest) that are taken from one account or one peer; 0 means no limit."""

    account_per_s: Rate = field(default=limits.ACCOUNT_RATE_PER_S, name="account_rate_per_s")
    account_burst: Count = limits.ACCOUNT_BURST
    peer_per_s: Rate = field(default=limits.PEER_RATE_PER_S, name="peer_rate_per_s")
    peer_burst: Count = limits.PEER_BURST


class Quotas(Struct, frozen=True):
    """What may wait for one device, and for one peer. Beyond it senders are asked to wait."""

    mailbox_envelopes: Count = field(default=limits.MAILBOX_MAX_ENVELOPES, name="mailbox_max_envelopes")
    mailbox_bytes: Size = field(default=limits.MAILBOX_MAX_BYTES, name="mailbox_max_bytes")
    outbox_envelopes: Count = field(default=limits.OUTBOX_MAX_ENVELOPES, name="outbox_max_envelopes")
    outbox_bytes: Size = field(default=limits.OUTBOX_MAX_BYTES, name="outbox_max_bytes")


@dataclass(frozen=True)
class ConfiguredPeer:
    """A peer that the operator has written down; with a key, that key is the peer's."""

    provider: Provider
    endpoints: tuple[RecordEndpoint, ...] = ()
    key: bytes | None = None


@dataclass(frozen=True)
class Settings:
    """The operator's decisions."""

    provider: Provider
    mode: Mode
    reach: Reach = NOBODY  #: of accounts that say nothing themselves
    endpoints: tuple[RecordEndpoint, ...] = ()  #: announced in the node record
    peers: tuple[ConfiguredPeer, ...] = ()
    rates: Rates = dataclass_field(default_factory=Rates)
    quotas: Quotas = dataclass_field(default_factory=Quotas)


class Network(Protocol):
    """How the relay opens connections."""

    async def dial(self, host: str, port: int) -> Stream:
        """Raises LinkBroken."""


class Dns(Protocol):
    """Evidence for a DNS name's key, and its endpoints."""

    async def look_up(self, provider: Provider) -> Sighting | None: ...


@dataclass(frozen=True)
class Platform:
    """What the relay does not make itself."""

    clock: Clock
    network: Network
    log: Any  #: a structlog logger
    sources: Sequence[Source] = ()
    dns: Dns | None = None
    random: random.Random = dataclass_field(default_factory=random.SystemRandom)
