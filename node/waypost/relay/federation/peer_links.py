"""At most one link to each peer: which of two is kept, and what follows when a try fails or a link ends."""

from __future__ import annotations

from waypost.errors import Code, Refused, code_of
from waypost.protocol.frames.session import Closed
from waypost.relay.custody.couriers import Couriers
from waypost.relay.federation.delays import Delays
from waypost.relay.link import Link
from waypost.relay.peer import Failure, Peer
from waypost.relay.peers import Peers
from waypost.relay.settings import Platform
from waypost.relay.tasks import Surroundings
from waypost.routing.peering import PeerEvent

#: Two links made within this time of each other are one attempt from both sides.
_RACE_S = 5.0
#: A link that lasted less counts as one more failure, or a peer that hangs up at once would be dialled without end.
_STABLE_S = 10.0


class PeerLinks:
    """See the module."""

    def __init__(
        self,
        own_key: bytes,
        platform: Platform,
        around: Surroundings,
        peers: Peers,
        couriers: Couriers,
        delays: Delays,
    ) -> None:
        self._own_key = own_key
        self._random = platform.random
        self._sources = platform.sources
        self._clock = around.clock
        self._log = around.log
        self._tasks = around.tasks
        self._peers = peers
        self._couriers = couriers
        self._delays = delays
        self.stopped = False

    def stop(self) -> None:
        """The node ends: whatever fails from now on fails for that reason."""
        self.stopped = True

    def attach(self, peer: Peer, link: Link) -> bool:
        """Make it the peer's link; False if another one is kept. Raises Refused for a peer that is welcome no more."""
        if peer.blocked or self._peers.get(peer.provider) is not peer:
            raise Refused(Code.BLOCKED if peer.blocked else Code.NOT_ADMITTED)
        now = self._clock.instant()
        former = peer.link
        if former is not None:
            if now - peer.linked_at < _RACE_S and self._loses(link, former):
                return False
            former.close(Code.DUPLICATE_LINK)
        peer.link, peer.linked_at = link, now
        peer.trouble = None
        peer.on(PeerEvent.CONNECTED)
        self._couriers.attach(peer.mailbox, link)
        peer.tell_tried()
        self._peers.wake(peer)
        self._log.info("link up", peer=peer.provider, dialed=link.peer.dialed)
        return True

    def _loses(self, new: Link, former: Link) -> bool:
        """When both sides dial at once, both keep the link that the lower key dialled."""
        if new.peer.dialed == former.peer.dialed:
            return False
        lower_is_ours = self._own_key < new.peer.key
        return new.peer.dialed is not lower_is_ours

    def detach(self, peer: Peer, link: Link, closed: Closed) -> None:
        """The link has ended."""
        self._couriers.detach(peer.mailbox, link)
        if peer.link is not link:
            return
        peer.link = None
        peer.on(PeerEvent.LOST)
        reason = (code_of(closed.code) if closed.code is not None else None) or Code.UNREACHABLE
        text = closed.text or reason.title
        self._log.info("link down", peer=peer.provider, reason=text)
        if self._clock.instant() - peer.linked_at >= _STABLE_S:
            peer.backoff = peer.backoff.succeeded()
        self.failed(peer, reason, text)
        if self._peers.has_mail(peer):
            self._tasks.start_soon(self._delays.lost, peer)
        self._peers.wake(peer)

    def failed(self, peer: Peer, code: Code, text: str) -> None:
        """A try to reach it has failed, or its link has ended."""
        if self.stopped:
            return
        known = peer.trouble
        peer.trouble = Failure(code, text, self._clock.wall_ms())
        if peer.link is not None:
            return  # it has come by itself meanwhile
        peer.on(PeerEvent.FAILED)
        peer.backoff = peer.backoff.failed(self._clock.instant(), self._random.random())
        if known is None or known.code is not code or known.text != text:
            self._log.warning("peer cannot be reached", peer=peer.provider, reason=text, remedy=code.remedy)
        if code is Code.UNREACHABLE:
            for source in self._sources:
                source.failed(peer.provider)
        peer.tell_tried()
