"""Keeps the peers linked: a task for each, its own back-off, so that a dead peer delays nobody else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from waypost.clock import NEVER, Instant
from waypost.discovery.source import Endpoint
from waypost.errors import Code, Refused, WaypostError, code_of
from waypost.ids import is_lan
from waypost.limits import DIAL_TIMEOUT_S, DIALS_AT_ONCE
from waypost.relay.custody.courier import Tools
from waypost.relay.federation.peer import Peer, Trouble
from waypost.relay.federation.peers import Peers
from waypost.relay.link import Link
from waypost.relay.settings import Parts
from waypost.relay.tasks import contained

#: Two links made within this time of each other are one attempt from both sides.
_RACE_S = 5.0
#: A link that lasted less counts as one more failure, or a peer that hangs up at once would be dialled without end.
_STABLE_S = 10.0
_AFTER_TROUBLE_S = 10.0

#: Opens a link to one of the endpoints, proves, admits, serves it; returns once it is attached. Raises WaypostError.
Dial = Callable[[Peer, list[Endpoint]], Awaitable[None]]


class Dialer:
    """See the module. `lost` is called when a link has ended while mail waits for the peer."""

    def __init__(self, parts: Parts, tools: Tools, peers: Peers, own_key: bytes) -> None:
        self._parts = parts
        self._tools = tools
        self._peers = peers
        self._own_key = own_key
        # Names that anyone could have made up do not keep those that were met waiting.
        self._dials_met = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._dials_new = trio.CapacityLimiter(DIALS_AT_ONCE)
        self._dial: Dial
        self._lost: Callable[[Peer], None]
        self.stopped = False

    def wire(self, dial: Dial, lost: Callable[[Peer], None]) -> None:
        """The parts that need this one to be there first."""
        self._dial = dial
        self._lost = lost

    def serve(self, peer: Peer) -> None:
        """Give the peer its task."""
        self._tools.nursery.start_soon(self._run, peer)

    # ── the task of a peer ──────────────────────────────────────────────────────────────────────────────────────────

    async def _run(self, peer: Peer) -> None:
        with peer.scope:
            while not self.stopped:
                with contained(self._parts.log, "peer", peer=peer.provider):
                    await self._live(peer)
                await trio.sleep(_AFTER_TROUBLE_S)

    async def _live(self, peer: Peer) -> None:
        while not self.stopped:
            await self._step(peer)

    async def _step(self, peer: Peer) -> None:
        if not peer.mailbox and (peer.needed or peer.eager or peer.asked_for):
            await self._open_mailbox(peer)
        elif not self._wants_link(peer):
            await self._next_change(peer, NEVER)
        elif not peer.backoff.due(self._parts.clock.instant()):
            await self._next_change(peer, peer.backoff.next_try)
        else:
            async with self._dials_met if peer.met else self._dials_new:
                if self._wants_link(peer):
                    await self._try(peer)

    async def _open_mailbox(self, peer: Peer) -> None:
        try:
            await self._peers.open_mailbox(peer)
        except WaypostError as error:
            self._parts.log.warning("no outbox", peer=peer.provider, reason=str(error))
            await trio.sleep(_AFTER_TROUBLE_S)

    def _wants_link(self, peer: Peer) -> bool:
        if peer.link is not None or peer.blocked or peer.gone or not peer.mailbox or self.stopped:
            return False
        return peer.eager or peer.asked_for > 0 or self._tools.store.usage(peer.mailbox).items > 0

    async def _next_change(self, peer: Peer, until: Instant) -> None:
        with trio.move_on_after(max(0.0, until - self._parts.clock.instant())):
            await peer.changed.wait()
        peer.changed = trio.Event()

    async def _try(self, peer: Peer) -> None:
        try:
            with trio.fail_after(DIAL_TIMEOUT_S):
                endpoints = peer.addresses() or await self._look_up(peer)
                if not endpoints:
                    raise Refused(Code.UNREACHABLE, "nobody has said where it is")
                await self._dial(peer, endpoints)
        except trio.TooSlowError:
            self._failed(peer, Code.UNREACHABLE, "no answer in time")
        except WaypostError as error:
            self._failed(peer, error.code, error.detail or error.code.title)

    async def _look_up(self, peer: Peer) -> list[Endpoint]:
        if self._parts.dns is None or is_lan(peer.provider):
            return []
        found = await self._parts.dns.look_up(peer.provider)
        return list(found.endpoints) if found else []

    def _failed(self, peer: Peer, code: Code, text: str) -> None:
        """A try to reach it has failed, or its link has ended."""
        if self.stopped:
            return
        known = peer.trouble
        peer.trouble = Trouble(code, text, self._parts.clock.wall_ms())
        if peer.link is not None:
            return  # it has come by itself meanwhile
        peer.backoff = peer.backoff.failed(self._parts.clock.instant(), self._parts.random.random())
        if known is None or known.code is not code or known.text != text:
            self._parts.log.warning("peer cannot be reached", peer=peer.provider, reason=text, remedy=code.remedy)
        if code is Code.UNREACHABLE:
            for source in self._parts.sources:
                source.failed(peer.provider)
        peer.tell_tried()

    # ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def attach(self, peer: Peer, link: Link) -> bool:
        """Make it the peer's link; False if another one is kept. Raises Refused for a peer that is welcome no more."""
        if peer.blocked or self._peers.get(peer.provider) is not peer:
            raise Refused(Code.BLOCKED if peer.blocked else Code.NOT_ADMITTED)
        now = self._parts.clock.instant()
        former = peer.link
        if former is not None:
            if now - peer.linked_at < _RACE_S and self._loses(link, former):
                return False
            former.close(Code.DUPLICATE_LINK)
        peer.link, peer.linked_at = link, now
        peer.trouble = None
        if peer.courier:
            peer.courier.attach(link)
        peer.tell_tried()
        self._peers.wake(peer)
        self._parts.log.info("link up", peer=peer.provider, dialed=link.peer.dialed)
        return True

    def _loses(self, new: Link, former: Link) -> bool:
        """When both sides dial at once, both keep the link that the lower key dialled."""
        if new.peer.dialed == former.peer.dialed:
            return False
        lower_is_ours = self._own_key < new.peer.key
        return new.peer.dialed is not lower_is_ours

    def detach(self, peer: Peer, link: Link, code: int | None, text: str) -> None:
        """The link has ended."""
        if peer.courier:
            peer.courier.detach(link)
        if peer.link is not link:
            return
        peer.link = None
        reason = (code_of(code) if code is not None else None) or Code.UNREACHABLE
        text = text or reason.title
        self._parts.log.info("link down", peer=peer.provider, reason=text)
        if self._parts.clock.instant() - peer.linked_at >= _STABLE_S:
            peer.backoff = peer.backoff.succeeded()
        self._failed(peer, reason, text)
        if peer.mailbox and self._tools.store.usage(peer.mailbox).items:
            self._lost(peer)
        self._peers.wake(peer)
