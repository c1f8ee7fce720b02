"""The node records: our own, those of peers, and how they spread."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from waypost.clock import WallMs
from waypost.errors import Code, PeerFault
from waypost.ids import Provider
from waypost.limits import RECORDS_PER_MESSAGE_MAX, TOMBSTONE_GAP_S
from waypost.protocol.directory.record import NodeRecord, RecordState, open_record, supersedes
from waypost.protocol.frames.messages import Notice, NoticeKind
from waypost.relay.custody.upkeep import Upkeep
from waypost.relay.federation.own_record import OwnRecord
from waypost.relay.peer import Peer
from waypost.relay.peers import Peers
from waypost.relay.tasks import Surroundings


class RecordBook:
    """See the module. What waits for a peer that has left a tombstone bounces at once."""

    def __init__(self, provider: Provider, own: OwnRecord, around: Surroundings, peers: Peers, upkeep: Upkeep) -> None:
        self._provider = provider
        self._own = own
        self._clock = around.clock
        self._log = around.log
        self._tasks = around.tasks
        self._peers = peers
        self._upkeep = upkeep
        self._passed_on = 0

    def load(self) -> None:
        """What the store remembered of each peer."""
        now_ms = self._clock.wall_ms()
        for peer in self._peers.all():
            if peer.row.record:
                self.take(peer, peer.row.record, now_ms)

    def announce(self) -> None:
        """Our record has changed: tell all linked peers."""
        self._spread(self._own.signed)

    def _spread(self, record: bytes, source: Peer | None = None) -> None:
        for peer in self._peers.all():
            if peer.link is not None and peer is not source:
                peer.link.session.notice(Notice(NoticeKind.RECORD, data=record))
                peer.link.wake()

    def merge(self, records: Iterable[bytes], source: Peer | None = None) -> None:
        """Records that a peer passes on: newest sequence wins, what does not verify or has expired is dropped."""
        now_ms = self._clock.wall_ms()
        offered = list(records)[:RECORDS_PER_MESSAGE_MAX]
        # A signature costs more to check than to make up.
        allowed = source.allowed.talk.take(len(offered), self._clock.instant()) if source else len(offered)
        for data in offered[:allowed]:
            try:
                record = open_record(data, now_ms).record
            except PeerFault:
                continue
            name = Provider(record.name)
            if name == self._provider:
                continue
            peer = self._peers.get(name)
            if peer is None and record.state is RecordState.ACTIVE:
                peer = self._peers.add(name)
            if peer is not None and self._judge(peer, record, data):
                self._peers.save(peer)
                peer.poke()
                if peer.gone:
                    self._pass_on(peer, data, source)

    def _pass_on(self, peer: Peer, tombstone: bytes, source: Peer | None) -> None:
        """Whoever could not be told by the one that has left would wait for it until all mail has expired.

        A peer that leaves again and again has us speak to all others each time: not more often than once an hour.
        """
        now = self._clock.instant()
        if now >= peer.told_gone_at + TOMBSTONE_GAP_S:
            peer.told_gone_at = now
            self._spread(tombstone, source)

    def take(self, peer: Peer, data: bytes, now_ms: WallMs) -> bool:
        """Whether it is the peer's newest."""
        try:
            record = open_record(data, now_ms).record
        except PeerFault:
            return False
        return self._judge(peer, record, data)

    def _judge(self, peer: Peer, record: NodeRecord, data: bytes) -> bool:
        if peer.row.key and record.key != peer.row.key:
            return False  # a new key is the link's matter, where its succession is judged
        if peer.record is not None and not supersedes(record, peer.record):
            return False
        if record.state is not RecordState.ACTIVE and not peer.row.key:
            return False  # anyone could close a name that nobody here has met
        peer.record = record
        peer.row = replace(peer.row, record=data)
        peer.stand()
        if peer.gone:
            self._log.info("peer has closed", peer=peer.provider, moved_to=record.moved_to)
            self._tasks.start_soon(self._give_up, peer)
        return True

    async def _give_up(self, peer: Peer) -> None:
        if peer.mailbox:
            await self._upkeep.give_up(peer.mailbox, Code.PEER_GONE)

    def known(self) -> tuple[bytes, ...]:
        """Our own, and those of admitted peers; if they are many, others each time."""
        now_ms = self._clock.wall_ms()
        others = [
            peer.row.record
            for peer in self._peers.all()
            if peer.row.key and peer.record and peer.record.expires_ms > now_ms and not peer.blocked
        ]
        room = RECORDS_PER_MESSAGE_MAX - 1
        if len(others) > room:
            start = self._passed_on % len(others)
            self._passed_on += room
            others = (others[start:] + others[:start])[:room]
        return (self._own.signed, *others)
