"""Tells senders that their mail waits: when the link to its provider is lost, after an hour, and after a day."""

from __future__ import annotations

from dataclasses import dataclass

import trio

from waypost.clock import SECOND_MS, WallMs
from waypost.errors import PeerFault, WaypostError
from waypost.limits import DELAY_NOTICES_S, FETCH_MAX_BYTES, FETCH_MAX_ENVELOPES, UPKEEP_EVERY_S
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.custody.fate import State
from waypost.relay.custody.outcomes import Outcomes
from waypost.relay.peer import Peer
from waypost.relay.peers import Peers
from waypost.relay.tasks import Surroundings
from waypost.storage.operations.mail import Fetch, Parcel, ParcelKind


@dataclass
class _Mark:
    """How far an outbox has been read for one kind of notice, and when it is worth reading on."""

    seq: int = 0
    due_ms: WallMs = 0


class Delays:
    """Notices go to the devices that are connected; whoever comes later can ask. One page of an outbox at a time."""

    def __init__(self, around: Surroundings, peers: Peers, outcomes: Outcomes) -> None:
        self._store = around.store
        self._clock = around.clock
        self._log = around.log
        self._peers = peers
        self._outcomes = outcomes
        self._marks: dict[int, dict[float, _Mark]] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await trio.sleep(UPKEEP_EVERY_S)
            waiting = {peer.mailbox for peer in self._peers.all() if self._waits(peer)}
            self._marks = {mailbox: self._marks.get(mailbox, {}) for mailbox in waiting}
            for mailbox in waiting:
                try:
                    await self._look(mailbox)
                except WaypostError as error:
                    self._log.warning("mailbox cannot be read", mailbox=mailbox, reason=str(error))

    async def lost(self, peer: Peer) -> None:
        """The link is lost: what it held up is told of at once, as much as one page has."""
        try:
            parcels = await self._store.read(Fetch(peer.mailbox, 0, FETCH_MAX_ENVELOPES, FETCH_MAX_BYTES))
        except WaypostError as error:
            self._log.warning("mailbox cannot be read", mailbox=peer.mailbox, reason=str(error))
            return
        for parcel in parcels:
            self._tell(peer.mailbox, parcel)

    def _waits(self, peer: Peer) -> bool:
        return peer.link is None and self._peers.has_mail(peer)

    async def _look(self, mailbox: int) -> None:
        for age_s in DELAY_NOTICES_S:
            mark = self._marks[mailbox].setdefault(age_s, _Mark())
            if self._clock.wall_ms() >= mark.due_ms:
                await self._read_on(mailbox, mark, round(age_s * SECOND_MS))

    async def _read_on(self, mailbox: int, mark: _Mark, age_ms: int) -> None:
        parcels = await self._store.read(Fetch(mailbox, mark.seq, FETCH_MAX_ENVELOPES, FETCH_MAX_BYTES))
        now_ms = self._clock.wall_ms()
        for parcel in parcels:
            made_ms = _made_ms(parcel)
            if made_ms + age_ms > now_ms:
                mark.due_ms = made_ms + age_ms
                return
            mark.seq = parcel.seq
            self._tell(mailbox, parcel)
        if not parcels:
            mark.due_ms = now_ms + round(UPKEEP_EVERY_S * SECOND_MS)

    def _tell(self, mailbox: int, parcel: Parcel) -> None:
        waits = self._peers.waits(mailbox)
        if waits is None or parcel.kind is not ParcelKind.ENVELOPES:
            return
        code, next_ms = waits
        by_sender = self._outcomes.by_sender([(parcel, range(len(parcel.ids)))])
        for sender, ids in by_sender.items():
            self._outcomes.notify(sender, State.WAITING, ids, code.number, next_ms)


def _made_ms(parcel: Parcel) -> WallMs:
    """When the newest envelope of it was made; 0 for reports, which nobody is told of."""
    if parcel.kind is not ParcelKind.ENVELOPES:
        return 0
    try:
        return max(decode_envelope(item).created_ms for item in parcel.items)
    except PeerFault:  # it was decoded before it was stored
        return 0
