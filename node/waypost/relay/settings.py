"""What an operator decides, and what a relay is given of the outside world."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from waypost import limits
from waypost.clock import Clock
from waypost.discovery.source import Sighting, Source
from waypost.ids import Provider
from waypost.links.stream import Stream
from waypost.protocol.directory.reach import NOBODY, Reach
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode


@dataclass(frozen=True)
class Rates:
    """Envelopes a second, and how many at once after a rest; 0 a second: no limit."""

    account_per_s: float = limits.ACCOUNT_RATE_PER_S
    account_burst: int = limits.ACCOUNT_BURST
    peer_per_s: float = limits.PEER_RATE_PER_S
    peer_burst: int = limits.PEER_BURST


@dataclass(frozen=True)
class Quotas:
    """What may wait in one mailbox."""

    mailbox_envelopes: int = limits.MAILBOX_MAX_ENVELOPES
    mailbox_bytes: int = limits.MAILBOX_MAX_BYTES
    outbox_envelopes: int = limits.OUTBOX_MAX_ENVELOPES
    outbox_bytes: int = limits.OUTBOX_MAX_BYTES


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
    rates: Rates = field(default_factory=Rates)
    quotas: Quotas = field(default_factory=Quotas)


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
    random: random.Random = field(default_factory=random.SystemRandom)
