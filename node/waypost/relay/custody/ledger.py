"""Brings what has been committed to those who wait for it, in the order of the commits.

Verbs of the store take effect in the order of their calls. Everything that places parcels in mailboxes is called
through here and its results are told in that same order, so each courier sees its mailbox grow exactly as the store
does. Couriers are told to go on only when all that one commit brought is known: so batches form by themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Generator, Iterable
from typing import Any

import trio

from waypost.errors import Code, WaypostError
from waypost.relay.tasks import Surroundings, contained
from waypost.storage.store import Placed, Settlement

_RETRY_S = 1.0  #: a settlement that a full disk refused is tried again
_SETTLEMENTS_RETRIED_MAX = 4_096


class Ledger:
    """See the module."""

    def __init__(self, around: Surroundings) -> None:
        self._store = around.store
        self._log = around.log
        self._entries: deque[tuple[Awaitable[Any], Callable[[Any], Any], Callable[[WaypostError], None]]] = deque()
        self._takers: list[tuple[Callable[[Placed], None], Callable[[], None]]] = []
        self._wake = trio.Event()
        self._flush = trio.Event()
        self._refused: deque[Settlement] = deque()
        self._retry = trio.Event()
        self._behind = 0
        #: Set once something has been kept back for later; whoever waits for that puts a new one here first.
        self.kept = trio.Event()

    def changes(self, take: Callable[[Placed], None], flush: Callable[[], None]) -> None:
        """From now on tell `take` of every parcel that is placed, and `flush` when all of a commit was told."""
        self._takers.append((take, flush))

    def submit(
        self,
        pending: Awaitable[Any],
        then: Callable[[Any], Iterable[Placed]],
        failed: Callable[[WaypostError], None],
    ) -> None:
        """`then` is called after the commit and says what it placed; `failed` if there was none."""
        self._entries.append((pending, then, failed))
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
                    await self._conclude(*self._entries[0])

    async def _conclude(
        self, pending: Awaitable[Any], then: Callable[[Any], Iterable[Placed]], failed: Callable[[WaypostError], None]
    ) -> None:
        # Awaiting what is done already does not yield: all of one commit is concluded before anyone is told to go on.
        try:
            result = await pending
        except WaypostError as error:
            self._entries.popleft()
            with contained(self._log, "after a failed commit"):
                failed(error)
            return
        self._entries.popleft()
        with contained(self._log, "after a commit"):
            for each in then(result):
                for take, _ in self._takers:
                    take(each)
                self._flush.set()

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
            for _, flush in self._takers:
                flush()

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
