"""Peers that the operator has written into the configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

from waypost.discovery.source import Endpoint, Sighting
from waypost.ids import Provider


@dataclass(frozen=True, slots=True)
class StaticPeer:
    """One configured peer; the key is what the operator has compared, if anything."""

    provider: Provider
    endpoints: tuple[Endpoint, ...]
    key: bytes | None = None


class StaticSource:
    """Reports each configured peer once, at once. See `Source`."""

    def __init__(self, peers: Iterable[StaticPeer]) -> None:
        self._sightings = tuple(Sighting(peer.provider, peer.endpoints, peer.key, None, "static") for peer in peers)

    async def run(self, found: Callable[[Sighting], None]) -> None:
        for sighting in self._sightings:
            found(sighting)
        await trio.sleep_forever()

    def failed(self, provider: Provider) -> None:
        """Nothing to ask again: the configuration still says the same, and host names are looked up at each connect."""
