"""Keeps the peers linked: a task for each, its own back-off, so that a dead peer delays nobody else.

What a task does follows from where its peer stands (`routing.peering`): it dials in `WANTED`, sleeps until the next try
in `WAITING`, and in all other states until something changes.
"""

from __future__ import annotations

import trio

from waypost.clock import NEVER, Instant
from waypost.discovery.source import Endpoint
from waypost.errors import Code, PeerFault, Refused, WaypostError
from waypost.limits import DIAL_TIMEOUT_S, DIALS_AT_ONCE
from waypost.links.pump import part
from waypost.protocol.frames.handshake import Handshake
from waypost.protocol.frames.messages import Role
from waypost.relay.door.admit import Admission
from waypost.relay.door.handshake import Greeting
from waypost.relay.door.serve_peer import PeerService
from waypost.relay.federation.lookup import Lookup
from waypost.relay.federation.peer_links import PeerLinks
from waypost.relay.peer import Peer
from waypost.relay.peers import Peers
from waypost.relay.settings import Network
from waypost.relay.tasks import Surroundings, contained
from waypost.routing.peering import PeerEvent, Peering

_AFTER_TROUBLE_S = 10.0


class Dialer:
    """See the module."""

    def __init__(
        self,
        network: Network,
        around: Surroundings,
        peers: Peers,
        lookup: Lookup,
        links: PeerLinks,
        greeting: Greeting,
        admission: Admission,
        service: PeerService,
    ) -> None:
        self._network = network
        self._clock = around.clock
        self._log = around.log
        self._tasks = around.tasks
        self._peers = peers
        self._lookup = lookup
        self._links = links
        self._greeting = greeting
        self._admission = admission
        self._service = service
        # Names that anyone could have made up do not keep those that were met waiting.
        self._dials_met = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._dials_new = trio.CapacityLimiter(DIALS_AT_ONCE)

    async def run(self) -> None:
        """Give a task to each peer that needs one, until cancelled."""
        while True:
            self._tasks.start_soon(self._keep, await self._peers.next_unserved())

    # ── the task of a peer ──────────────────────────────────────────────────────────────────────────────────────────

    async def _keep(self, peer: Peer) -> None:
        with peer.scope:
            while not self._links.stopped:
                with contained(self._log, "peer", peer=peer.provider):
                    await self._live(peer)
                await trio.sleep(_AFTER_TROUBLE_S)

    async def _live(self, peer: Peer) -> None:
        while not self._links.stopped:
            await self._step(peer)

    async def _step(self, peer: Peer) -> None:
        self._look(peer)
        match peer.state:
            case Peering.WANTED:
                async with self._dials_met if peer.met else self._dials_new:
                    await self._try(peer)
            case Peering.WAITING:
                await self._next_change(peer, peer.backoff.next_try)
            case Peering.IDLE | Peering.DIALLING | Peering.LINKED | Peering.BLOCKED | Peering.GONE:
                await self._next_change(peer, NEVER)

    def _look(self, peer: Peer) -> None:
        """What time and mail have brought."""
        if peer.backoff.due(self._clock.instant()):
            peer.on(PeerEvent.DUE)
        peer.on(PeerEvent.NEEDED if self._peers.is_needed(peer) else PeerEvent.UNNEEDED)

    async def _next_change(self, peer: Peer, until: Instant) -> None:
        with trio.move_on_after(max(0.0, until - self._clock.instant())):
            await peer.changed.wait()
        peer.changed = trio.Event()

    # ── a try ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _try(self, peer: Peer) -> None:
        self._look(peer)
        peer.on(PeerEvent.TRIED)
        if peer.state is not Peering.DIALLING or self._links.stopped:
            return  # it had to wait for its turn, and things have changed
        try:
            with trio.fail_after(DIAL_TIMEOUT_S):
                endpoints = peer.addresses() or await self._lookup.endpoints(peer.provider)
                if not endpoints:
                    raise Refused(Code.UNREACHABLE, "nobody has said where it is")
                await self._dial(peer, endpoints)
        except trio.TooSlowError:
            self._links.failed(peer, Code.UNREACHABLE, "no answer in time")
        except WaypostError as error:
            self._links.failed(peer, error.code, error.detail or error.code.title)
        finally:
            peer.on(PeerEvent.FAILED)  # unless a link has come of it, or it is known already

    async def _dial(self, peer: Peer, endpoints: list[Endpoint]) -> None:
        """Open a link to the peer at the first endpoint that works; it is served in the background.

        Raises WaypostError.
        """
        trouble: WaypostError = Refused(Code.UNREACHABLE)
        for endpoint in endpoints:
            try:
                await self._dial_one(peer, endpoint)
            except WaypostError as error:
                trouble = error
            else:
                return
        raise trouble

    async def _dial_one(self, peer: Peer, endpoint: Endpoint) -> None:
        stream = await self._network.dial(endpoint.host, endpoint.port)
        session, identity = await self._greeting.exchange(stream)
        try:
            if identity.role is not Role.NODE or identity.name != peer.provider:
                raise Refused(Code.WRONG_PEER, f"{identity.name} answers at {endpoint.host} port {endpoint.port}")
            admitted = await self._admission.admit(identity, peer)
            await self._tasks.start(self._service.serve, admitted, stream, session, identity)
        except (Refused, PeerFault) as refused:
            await part(stream, Handshake.refuse(refused.code))
            raise
        except BaseException:
            await stream.aclose()
            raise
