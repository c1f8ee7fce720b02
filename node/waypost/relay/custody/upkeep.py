"""What time brings: expiry, second tries, pruning, and giving up on mailboxes that will never be emptied."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import trio

from waypost.clock import NEVER, SECOND_MS, WallMs
from waypost.errors import Code, WaypostError
from waypost.ids import Address
from waypost.limits import FETCH_MAX_BYTES, FETCH_MAX_ENVELOPES, UPKEEP_EVERY_S
from waypost.protocol.custody.envelope import decode_envelope
from waypost.relay.accounts import Accounts
from waypost.relay.custody.outcomes import Outcomes, Settlements
from waypost.relay.tasks import Surroundings, contained
from waypost.storage.operations.changes import Change, Look, Subject
from waypost.storage.operations.mail import Expiring, Fetch, Keep, KeptBack, NextDue, Parcel, ParcelKind, Prune, Requeue

_REQUEUE_GAP_S = 5.0  #: between two looks for what is due
_REQUEUE_LOOK_S = 60.0  #: what is due is known by the wall clock, which may be set
_PRUNE_EVERY = 20  #: rounds: what is forgotten is days old
_EXPIRY_PAGES_MAX = 64  #: in one round; the rest has its turn in the next
_TIDY_AFTER_IDLE = 2  #: rounds without anything accepted


class Upkeep:
    """See the module."""

    def __init__(self, around: Surroundings, accounts: Accounts, settlements: Settlements, outcomes: Outcomes) -> None:
        self._accounts = accounts
        self._store = around.store
        self._clock = around.clock
        self._log = around.log
        self._tasks = around.tasks
        self._settlements = settlements
        self._outcomes = outcomes
        self._kept = trio.Event()  #: something has been kept back for later
        around.store.changes(self._take)

    def _take(self, changes: tuple[Change, ...]) -> None:
        if any(isinstance(change, KeptBack) or change == Look(Subject.MAIL) for change in changes):
            self._kept.set()

    async def run(self, accepted: Callable[[], int]) -> None:
        """Until cancelled. `accepted` tells how many envelopes the node has accepted so far."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_requeue)
            idle, before = 0, accepted()
            for number in itertools.count():
                await trio.sleep(UPKEEP_EVERY_S)
                now = accepted()
                idle = idle + 1 if now == before else 0
                before = now
                with contained(self._log, "upkeep"):
                    await self._round(prune=number % _PRUNE_EVERY == 0, tidy=idle == _TIDY_AFTER_IDLE)

    async def _round(self, *, prune: bool, tidy: bool) -> None:
        try:
            await self.expire()
            if prune:
                await self._store.submit(Prune(self._clock.wall_ms()))
            if tidy:
                await self._store.tidy()
        except WaypostError as error:
            self._log.warning("upkeep failed", reason=str(error))

    async def _run_requeue(self) -> None:
        while True:
            self._kept = trio.Event()
            with trio.move_on_after(await self._requeue_due()):
                await self._kept.wait()
            await trio.sleep(_REQUEUE_GAP_S)

    async def _requeue_due(self) -> float:
        """Offer again what is due; how many seconds nothing more will be, unless something is kept back meanwhile."""
        try:
            due_ms = await self._store.read(NextDue())
        except WaypostError as error:
            self._log.warning("second tries put off", reason=str(error))
            return 0.0
        wait_s = (due_ms - self._clock.wall_ms()) / SECOND_MS
        if not due_ms:
            return NEVER
        if wait_s <= 0:
            await self._requeue()
        return max(0.0, min(wait_s, _REQUEUE_LOOK_S))

    def requeue(self, mailbox: int = 0) -> None:
        """Offer again what was refused for now and is due; of one mailbox: all of it."""
        self._tasks.start_soon(self._requeue, mailbox)

    async def _requeue(self, mailbox: int = 0) -> None:
        try:
            await self._store.submit(Requeue(self._clock.wall_ms(), mailbox))
        except WaypostError as error:
            self._log.warning("second tries put off", reason=str(error))

    async def expire(self) -> None:
        """Bounce what has expired; the rest of its parcel stays."""
        now_ms = self._clock.wall_ms()
        for _ in range(_EXPIRY_PAGES_MAX):
            if self._settlements.behind:
                return  # some of these may have been given up already, and wait for room on the disk
            placed = await self._store.read(Expiring(now_ms, FETCH_MAX_ENVELOPES))
            for mailbox, parcel in placed:
                expired, keep = _split(parcel, now_ms)
                owner = self._accounts.owner_of(mailbox)
                self._outcomes.give_up(mailbox, parcel, expired, Code.EXPIRED, owner, keep)
            if not placed:
                return
            await self._settlements.applied()

    async def give_up(self, mailbox: int, code: Code, recipient: Address | None = None) -> int:
        """Bounce all that waits in a mailbox, which is `recipient`'s inbox or a peer's; returns how many envelopes."""
        given_up = after = 0
        # What was kept back gets a place in the order, and then all is there to be read.
        await self._requeue(mailbox)
        while parcels := await self._store.read(Fetch(mailbox, after, FETCH_MAX_ENVELOPES, FETCH_MAX_BYTES)):
            for parcel in parcels:
                self._outcomes.give_up(mailbox, parcel, range(len(parcel.items)), code, recipient)
                given_up += len(parcel.ids)
                after = parcel.seq
        await self._settlements.applied()
        return given_up


def _split(parcel: Parcel, now_ms: WallMs) -> tuple[list[int], Keep | None]:
    """The items that have expired, and what to keep of the others."""
    if parcel.kind is ParcelKind.OUTCOMES:
        return list(range(len(parcel.items))), None
    expiries = [decode_envelope(item).expires_ms for item in parcel.items]
    expired = [index for index, expires_ms in enumerate(expiries) if expires_ms <= now_ms]
    left = [index for index, expires_ms in enumerate(expiries) if expires_ms > now_ms]
    if not left:
        return expired, None
    # Due in a second, since a kept parcel must not be offered in its old place: a courier may hold it there already.
    return expired, Keep(parcel.seq, tuple(left), now_ms + SECOND_MS, min(expiries[index] for index in left))
