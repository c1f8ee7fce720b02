"""Offers what one mailbox holds to its owner, over the link that its owner has now.

The store has the mailbox; an `Outbox` holds the part of it that is read ahead. Parcels reach it in two ways, and go out
in their order either way:

    committed ── add ─────────────► outbox ── flush ──► link ──► receipt ── settled ──► Outcomes
    being committed ── offer_early ────────────────────► link ──► receipt ─┐               ▲
                          committed ── add ────────────────────────────────┴─ both have come

Custody is where the store has it, and is given up by the receipt alone: what is in flight when a link ends is read and
offered again over the next one, and the receiver knows it by its ids. An early offer gives up nothing. Whoever gave us
the envelopes has no receipt yet and keeps them. Its verdict is applied once the commit has made it a parcel; a commit
that fails withdraws it, and there is nothing to settle.

A refusal that is about the next hop as a whole (its disk is full, we are too fast) pauses the mailbox, and after a full
disk batches begin with one envelope and double, since a batch that is refused whole may fit in parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from waypost.errors import Code, WaypostError, code_of
from waypost.ids import Address, Provider
from waypost.limits import (
    BATCH_MAX_ENVELOPES,
    EARLY_BATCHES_MAX,
    FETCH_MAX_ENVELOPES,
    RETRY_HINT_MAX_S,
)
from waypost.protocol.custody.outbox import Allowance, Chunk, Outbox
from waypost.protocol.custody.transfer import Outcome, Refusal
from waypost.protocol.frames.codec import read
from waypost.relay.custody.outcomes import Outcomes
from waypost.relay.link import Link
from waypost.relay.tasks import Surroundings
from waypost.storage.operations.mail import Fetch, Parcel, ParcelKind

PAUSE_S = 2.0  #: after a refusal that is about the whole next hop and names no time
_FETCH_RETRY_S = 1.0


@dataclass(slots=True)
class _Early:
    """Envelopes offered before their commit. What the receipt says is applied once both have come."""

    ids: tuple[bytes, ...]
    parcel: Parcel | None = None
    refusals: Sequence[Refusal] | None = None
    acknowledged: bool = False


class Courier:
    """One for each mailbox whose owner is connected. `allowance` is that of all mailboxes together."""

    def __init__(
        self, mailbox: int, link: Link, around: Surroundings, outcomes: Outcomes, allowance: Allowance
    ) -> None:
        self.mailbox = mailbox
        self.link = link
        self._clock = around.clock
        self._log = around.log
        self._store = around.store
        self._tasks = around.tasks
        self._outcomes = outcomes
        #: In a batch. A batch that a nearly full disk refuses whole may fit in parts, so they start small after that.
        self._most = BATCH_MAX_ENVELOPES
        self._waits = False  #: for the end of a pause
        self._pause_code = 0
        self._outbox: Outbox[Parcel] = Outbox(allowance=allowance)
        self._early: dict[tuple[bytes, ...], _Early] = {}
        self._outbox.attach()

    def move(self, link: Link) -> None:
        """From now on everything goes over this link; what was in flight on the other goes again."""
        self.link = link
        self._early.clear()
        self._outbox.attach()

    def end(self) -> None:
        """The link has ended and no other has taken its place."""
        self._early.clear()
        self._outbox.detach()

    def add(self, parcel: Parcel) -> None:
        """A parcel has been committed; call in the order of commits, then `flush`."""
        early = self._early.get(parcel.ids) if self._early else None
        if early is None:
            self._outbox.add(parcel)
        elif self._outbox.passed(parcel.seq):
            early.parcel = parcel
        else:
            del self._early[parcel.ids]

    def look_again(self) -> None:
        """Another process may have placed something here; `flush` follows."""
        self._outbox.look_again()

    def offer_early(self, ids: tuple[bytes, ...], envelopes: tuple[bytes, ...]) -> bool:
        """Offer envelopes while they are being committed, so that a lone message waits for no disk on its way.

        Whether it was done: nothing may be before them. `add` follows, or `withdraw`.
        """
        link = self.link
        # Not to an app: it would show a message of which this node knows nothing if the commit fails, and whose sender
        # may then be told that it has expired.
        if link.is_device or not self._outbox.idle or self._most < BATCH_MAX_ENVELOPES:
            return False
        room, size = link.session.room, sum(map(len, envelopes))
        if len(self._early) >= EARLY_BATCHES_MAX or link.session.in_flight >= EARLY_BATCHES_MAX:
            return False
        if len(ids) > room.envelopes or size > room.bytes or ids in self._early:
            return False
        if self._outbox.paused_until > self._clock.instant():
            return False
        early = self._early[ids] = _Early(ids)
        link.session.offer(envelopes, ids, early)
        link.wake()
        return True

    def committed(self, ids: tuple[bytes, ...]) -> None:
        """What was offered early has been committed, and whoever gave it to us has been told."""
        early = self._early.get(ids)
        if early is not None:
            early.acknowledged = True
            self._conclude_early(early)

    def withdraw(self, ids: tuple[bytes, ...]) -> None:
        """What was offered early has not been committed; there is nothing to settle."""
        self._early.pop(ids, None)

    def _conclude_early(self, early: _Early) -> None:
        if early.parcel is None or early.refusals is None or not early.acknowledged:
            return
        del self._early[early.ids]
        self._apply([Chunk(early.parcel, 0, len(early.ids))], early.refusals)

    @property
    def paused(self) -> tuple[Code, float] | None:
        """Why the next hop takes nothing now, and for how many seconds it is left alone; None if it takes mail."""
        left_s = self._outbox.paused_until - self._clock.instant()
        return (code_of(self._pause_code) or Code.BUSY, left_s) if left_s > 0 else None

    def flush(self) -> None:
        """Offer what there is, as far as the peer's window goes."""
        link = self.link
        if link.session.closed:
            return
        try:
            self._flush(link)
        except Exception as error:  # noqa: BLE001 # reason: others are flushed after this one
            link.broken(error)

    def _flush(self, link: Link) -> None:
        now = self._clock.instant()
        said = False
        while True:
            room, in_flight = link.session.room, link.session.in_flight
            if self._most < BATCH_MAX_ENVELOPES and in_flight:
                break
            chunks = self._outbox.take(min(room.envelopes, self._most), room.bytes, in_flight, now)
            if not chunks:
                break
            _offer(link, chunks)
            said = True
        if said:
            link.wake()
        wanted = self._outbox.wants_fetch()
        if wanted is not None:
            self._tasks.start_soon(self._fetch, *wanted)

    def settled(self, link: Link, token: object, refusals: Sequence[Refusal]) -> None:
        """The receipt for a batch that `flush` offered over this link."""
        if link is not self.link:
            return  # offered again over another link; its receipt will come
        if isinstance(token, _Early):
            token.refusals = refusals
            if self._early.get(token.ids) is token:
                self._conclude_early(token)
        else:
            self._apply(token, refusals)  # type: ignore[arg-type] # what _offer gave
        self.flush()

    def _apply(self, chunks: Sequence[Chunk[Parcel]], refusals: Sequence[Refusal]) -> None:
        verdict = self._outbox.settle(chunks, refusals)
        self.link.given += sum(len(indexes) for _, indexes in verdict.taken)
        if self.link.is_device:
            self._outcomes.of_device(self.mailbox, Address.of(self.link.source), verdict)
        else:
            self._outcomes.of_peer(self.mailbox, Provider(self.link.source), verdict)
        if verdict.pause is None:
            self._most = min(2 * self._most, BATCH_MAX_ENVELOPES)
        else:
            self._pause_code = verdict.pause.code
            if verdict.pause.code == Code.STORE_FULL.number:
                self._most = 1
            self._pause(verdict.pause.retry_s or PAUSE_S)

    def _pause(self, seconds: float) -> None:
        now = self._clock.instant()
        self._outbox.pause(now + min(seconds, RETRY_HINT_MAX_S))
        if not self._waits:
            self._waits = True
            self._tasks.start_soon(self._wait)

    async def _wait(self) -> None:
        try:
            while (left := self._outbox.paused_until - self._clock.instant()) > 0:  # noqa: ASYNC110 - it may move
                await trio.sleep(left)
        finally:
            self._waits = False
        self.flush()

    async def _fetch(self, generation: int, after: int) -> None:
        try:
            parcels = await self._store.read(Fetch(self.mailbox, after, FETCH_MAX_ENVELOPES, self._outbox.fetch_bytes))
        except WaypostError as error:
            self._log.warning("mailbox cannot be read", mailbox=self.mailbox, reason=str(error))
            await trio.sleep(_FETCH_RETRY_S)
            self._outbox.fetch_failed(generation)
        else:
            self._outbox.fetched(generation, parcels)
        self.flush()


def _offer(link: Link, chunks: list[Chunk[Parcel]]) -> None:
    if chunks[0].entry.kind is ParcelKind.OUTCOMES:
        link.session.report([read(item, Outcome) for chunk in chunks for item in chunk.items], chunks)
        return
    envelopes: list[bytes] = []
    ids: list[bytes] = []
    for chunk in chunks:
        envelopes += chunk.items
        ids += chunk.entry.ids[chunk.start : chunk.stop]
    link.session.offer(envelopes, ids, chunks)
