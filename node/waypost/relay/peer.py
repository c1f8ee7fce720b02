"""One peer node: what is known of it, its outbox, its link, and where it stands."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import trio

from waypost.clock import NEVER, Instant, WallMs
from waypost.discovery.source import Endpoint
from waypost.errors import Code
from waypost.ids import Provider
from waypost.limits import RECORD_ENDPOINTS_MAX
from waypost.protocol.directory.record import NodeRecord, RecordState
from waypost.protocol.directory.trust import PeerPolicy
from waypost.relay.link import Link
from waypost.routing.peering import PeerEvent, Peering, after
from waypost.routing.quota import TokenBucket
from waypost.routing.retry import Backoff
from waypost.storage.operations.peers import PeerRow


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the last try failed, or the last link ended."""

    code: Code
    text: str
    at_ms: WallMs


@dataclass(frozen=True, slots=True)
class Allowances:
    """What a peer may send: envelopes, outcomes (by id), and everything that is neither."""

    mail: TokenBucket
    reports: TokenBucket
    talk: TokenBucket


@dataclass(eq=False)
class Peer:
    """One peer node: what is known of it, its outbox, its link, and where it stands (`routing.peering`).

    Mutable; `Peers` keeps them, the dialer keeps them linked.
    """

    provider: Provider
    row: PeerRow
    allowed: Allowances
    state: Peering = Peering.IDLE
    record: NodeRecord | None = None
    configured_key: bytes | None = None
    announced_key: bytes | None = None
    configured: bool = False
    eager: bool = False  #: kept connected without mail: configured, announced on this LAN, or met lately
    endpoints: dict[str, tuple[Endpoint, ...]] = field(default_factory=dict)  #: by where they were learnt
    mailbox: int = 0  #: 0: not opened yet; a peer that was merely heard of has none
    needed: bool = False  #: its outbox: somebody has mail for it, or it is at the door
    opening: bool = False  #: its outbox is being opened
    stored: bool = False  #: its row is in the store
    writes: int = 0  #: of its row that have not been answered
    link: Link | None = None
    linked_at: Instant = 0.0
    backoff: Backoff = field(default_factory=Backoff)
    trouble: Failure | None = None
    asked_for: int = 0  #: requests that wait for a link
    served: bool = False  #: it has its task, or will have it soon
    told_gone_at: Instant = -NEVER  #: when its tombstone was last passed on
    opened: trio.Event = field(default_factory=trio.Event)  #: it has an outbox
    changed: trio.Event = field(default_factory=trio.Event)
    tried: trio.Event = field(default_factory=trio.Event)  #: a link is up, or a try has failed
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)

    def __post_init__(self) -> None:
        self.stand()

    @property
    def gone(self) -> bool:
        """It has left a tombstone."""
        return self.record is not None and self.record.state is not RecordState.ACTIVE

    @property
    def blocked(self) -> bool:
        return self.row.policy is PeerPolicy.BLOCK

    @property
    def met(self) -> bool:
        """It has proved a key that is bound to its name, or the operator knows it. Others may be forgotten again."""
        return bool(self.row.key or self.row.policy or self.configured or self.link)

    def on(self, event: PeerEvent) -> None:
        """Something has happened that may change where it stands."""
        self.state = after(self.state, event)

    def stand(self) -> None:
        """Its row or its record has changed."""
        self.on(PeerEvent.BLOCK if self.blocked else PeerEvent.UNBLOCK)
        self.on(PeerEvent.CLOSED if self.gone else PeerEvent.RETURNED)
        if self.link is not None and self.state is Peering.IDLE:
            self.on(PeerEvent.CONNECTED)

    def poke(self) -> None:
        """Something has changed that its task should look at."""
        self.changed.set()

    def tell_tried(self) -> None:
        """To whoever waits for a link."""
        self.tried.set()
        self.tried = trio.Event()

    def addresses(self) -> list[Endpoint]:
        """Where to dial, best first, each once. After a failure another one comes first."""
        recorded = self.record.endpoints if self.record else ()
        from_record = [Endpoint(endpoint.host, endpoint.port) for endpoint in recorded]
        known: Iterable[Endpoint] = [*(e for learnt in self.endpoints.values() for e in learnt), *from_record]
        each = list(dict.fromkeys(known))[: 2 * RECORD_ENDPOINTS_MAX]
        first = self.backoff.failures % len(each) if each else 0
        return each[first:] + each[:first]
