"""Brings what has been committed to those who wait for it, in the order of the commits.

Verbs of the store take effect in the order of their calls. Everything that places parcels in mailboxes is called
through here and its results are handed on in that same order, so each courier sees its mailbox grow exactly as the
store does.
Couriers are told to go on only when all that one commit brought is known: so batches form by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any, Generic, Protocol, TypeVar

import trio

from waypost.errors import Code, WaypostError
from waypost.relay.tasks import contained
from waypost.storage.store import Parcel, Placed, Settlement, Store

T = TypeVar("T")

_RETRY_S = 1.0  #: a settlement that a full disk refused is tried again
_SETTLEMENTS_RETRIED_MAX = 4_096


class Taker(Protocol):
    """Whoever hands on the parcels of a mailbox."""

    def add(self, parcel: Parcel) -> None: ...

    def flush(self) -> None: ...

    def hand_on(self, ids: tuple[bytes, ...], envelopes: tuple[bytes, ...]) -> bool:
        """Offer envelopes that are being committed at this moment, if nothing is before them; `add` follows."""

    def withdraw(self, ids: tuple[bytes, ...]) -> None:
        """No `add` follows for what was handed on: nothing was committed."""


class _Entry(Generic[T]):
    __slots__ = ("failed", "pending", "then")

    def __init__(
        self, pending: Awaitable[T], then: Callable[[T], Iterable[Placed]], failed: Callable[[WaypostError], None]
    ) -> None:
        self.pending = pending
        self.then = then
        self.failed = failed


class Ledger:
    """See the module."""

    def __init__(self, store: Store, log: Any) -> None:
        self._store = store
        self._log = log
        self._entries: deque[_Entry[Any]] = deque()
        self._takers: dict[int, Taker] = {}
        self._changed: dict[Taker, None] = {}
        self._wake = trio.Event()
        self._flush = trio.Event()
        self._refused: deque[Settlement] = deque()
        self._retry = trio.Event()
        self._behind = 0
        #: Set once something has been kept back for later; whoever waits for that puts a new one here first.
        self.kept = trio.Event()

    def enrol(self, mailbox: int, taker: Taker) -> None:
        """From now on `taker` learns of what is placed in the mailbox."""
        self._takers[mailbox] = taker

    def taker(self, mailbox: int) -> Taker | None:
        """Who is enrolled."""
        return self._takers.get(mailbox)

    def strike(self, mailbox: int, taker: Taker) -> None:
        """The reverse; nothing if somebody else is enrolled by now."""
        if self._takers.get(mailbox) is taker:
            del self._takers[mailbox]
        self._changed.pop(taker, None)

    def submit(
        self,
        pending: Awaitable[T],
        then: Callable[[T], Iterable[Placed]],
        failed: Callable[[WaypostError], None],
    ) -> None:
        """`then` is called after the commit and says what it placed; `failed` if there was none."""
        self._entries.append(_Entry(pending, then, failed))
        self._wake.set()

    @property
    def behind(self) -> bool:
        """Whether settlements that a full disk has refused are still to be applied."""
        return self._behind > 0

    def settle(self, settlement: Settlement) -> None:
        """Apply a settlement; if the disk is full, again until it can be."""
        self._settle(settlement, 0)

    def _settle(self, settlement: Settlement, refused: int) -> None:
        """`refused`: 1 if it was before, and counts among those that are behind."""

        def failed(error: WaypostError) -> None:
            self._behind -= refused
            if error.code is Code.STORE_FULL and self._behind < _SETTLEMENTS_RETRIED_MAX:
                self._behind += 1
                self._refused.append(settlement)
                self._retry.set()
            else:
                # The parcels are still there and will be offered again; the receiver knows them.
                self._log.error("settlement lost", mailbox=settlement.mailbox, reason=str(error))

        def then(placed: tuple[Placed, ...]) -> tuple[Placed, ...]:
            self._behind -= refused
            if settlement.keep:
                self.kept.set()
            return placed

        self.submit(self._store.settle(settlement), then, failed)

    async def run(self) -> None:
        """Until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._run_flush)
            nursery.start_soon(self._run_retry)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                while self._entries:
                    await self._conclude(self._entries[0])

    async def _conclude(self, entry: _Entry[Any]) -> None:
        # Awaiting what is done already does not yield: all of one commit is concluded before anyone is told to go on.
        try:
            result = await entry.pending
        except WaypostError as error:
            self._entries.popleft()
            with contained(self._log, "after a failed commit"):
                entry.failed(error)
            return
        self._entries.popleft()
        with contained(self._log, "after a commit"):
            self._hand_on(entry.then(result))
        if self._changed:
            self._flush.set()

    def _hand_on(self, placed: Iterable[Placed]) -> None:
        for mailbox, parcel in placed:
            taker = self._takers.get(mailbox)
            if taker is not None:
                taker.add(parcel)
                self._changed[taker] = None

    async def barrier(self) -> None:
        """Until everything submitted before has been concluded."""
        passed = trio.Event()

        def then(_: None) -> tuple[Placed, ...]:
            passed.set()
            return ()

        self.submit(_Nothing(), then, lambda _: None)
        await passed.wait()

    async def _run_flush(self) -> None:
        while True:
            await self._flush.wait()
            self._flush = trio.Event()
            changed, self._changed = self._changed, {}
            for taker in changed:
                taker.flush()

    async def _run_retry(self) -> None:
        while True:
            await self._retry.wait()
            await trio.sleep(_RETRY_S)
            self._retry = trio.Event()
            refused, self._refused = self._refused, deque()
            for settlement in refused:
                self._settle(settlement, 1)


class _Nothing(Awaitable[None]):
    """Pending work that is done. No coroutine: a node that ends leaves it without having looked."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()
