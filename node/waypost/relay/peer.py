"""One peer node: what is known of it, its outbox, its link, and the task that keeps the two together."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

from waypost.clock import Instant, WallMs
from waypost.discovery.source import Endpoint
from waypost.errors import Code
from waypost.ids import Provider
from waypost.protocol.record import NodeRecord, RecordState
from waypost.relay.courier import Courier
from waypost.relay.link import Link
from waypost.routing.quota import TokenBucket
from waypost.routing.retry import Backoff
from waypost.storage.store import PeerRow


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the last try failed."""

    code: Code
    text: str
    at_ms: WallMs


@dataclass
class Peer:
    """Mutable, owned by `Peers`."""

    provider: Provider
    row: PeerRow
    bucket: TokenBucket
    record: NodeRecord | None = None
    configured_key: bytes | None = None
    announced_key: bytes | None = None
    eager: bool = False  #: kept connected without mail: configured, or announced on this LAN
    endpoints: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)  #: by where they were learnt
    mailbox: int = 0  #: 0: not opened yet
    courier: Courier | None = None
    link: Link | None = None
    backoff: Backoff = field(default_factory=Backoff)
    trouble: Trouble | None = None
    asked_for: int = 0  #: requests that wait for a link
    opened: trio.Event = field(default_factory=trio.Event)  #: it has an outbox
    changed: trio.Event = field(default_factory=trio.Event)
    linked: trio.Event = field(default_factory=trio.Event)
    linked_at: Instant = 0.0
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    @property
    def gone(self) -> bool:
        """It has left a tombstone."""
        return self.record is not None and self.record.state is not RecordState.ACTIVE

    @property
    def blocked(self) -> bool:
        return self.row.policy == "block"

    def poke(self) -> None:
        """Something has changed that its task should look at."""
        self.changed.set()

    def addresses(self) -> list[Endpoint]:
        """Where to dial, best first, each once."""
        recorded = self.record.endpoints if self.record else ()
        from_record = [Endpoint(endpoint.host, endpoint.port) for endpoint in recorded]
        known: Iterable[Endpoint] = [*(e for learnt in self.endpoints.values() for e in learnt), *from_record]
        return list(dict.fromkeys(known))
