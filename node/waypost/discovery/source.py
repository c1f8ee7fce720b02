"""The interface of discovery. A sighting is a hint: nothing in it is trusted until the node there proves its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from waypost.ids import Provider


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a node may be dialled: an IP address or a host name, and a TCP port."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Sighting:
    """Someone says that a provider's node is there, or, with `gone`, that it is there no longer."""

    provider: Provider
    endpoints: tuple[Endpoint, ...]  #: in the order in which to try them
    key: bytes | None  #: 32 bytes: the node key, where one was announced
    record_fingerprint: bytes | None  #: 16 bytes: BLAKE2b-128 of the node record's payload, where one was announced
    source: Literal["static", "mdns", "dns"]
    gone: bool = False


class Source(Protocol):
    """Something that reports sightings by itself."""

    async def run(self, found: Callable[[Sighting], None]) -> None:
        """Report sightings until cancelled. Never raises for a bad announcement."""

    def failed(self, provider: Provider) -> None:
        """A connect to what was reported failed: forget the entry, so that it is asked for again."""
