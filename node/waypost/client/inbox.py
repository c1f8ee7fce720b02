"""Received messages, each shown once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from waypost.client.core import ARRIVED, Core
from waypost.client.incoming import Message


class Shelf:
    """What the inbox loops of one client share: a message in the app's hands is not marked as shown yet."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._turn = anyio.Lock()
        self._in_hand: int | None = None

    async def next(self) -> Message | None:
        """Mark the message in hand as shown; then the next one, if there is any."""
        async with self._turn:
            done = self._in_hand
            found = await self._core.database.run(lambda conn: self._core.incoming.next(conn, done))
            self._in_hand = found[0] if found else None
            return found[1] if found else None

    async def finish(self) -> None:
        """Mark the message in hand as shown."""
        async with self._turn:
            number = self._in_hand
            if number is not None:
                await self._core.database.run(lambda conn: self._core.incoming.shown(conn, number))
                self._in_hand = None

    def arrival(self) -> anyio.Event:
        return self._core.arrivals.event(ARRIVED)


class Inbox(AsyncIterator[Message]):
    """`async for message in me.inbox()`: what has arrived, in that order, and then what arrives.

    A message counts as shown when the app asks for the next one, from this loop or another, or when the `connect` block
    ends without an error. An app that dies before that is shown it again.
    """

    def __init__(self, shelf: Shelf, *, follow: bool) -> None:
        self._shelf = shelf
        self._follow = follow

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Message:
        while True:
            event = self._shelf.arrival()
            message = await self._shelf.next()
            if message is not None:
                return message
            if not self._follow:
                raise StopAsyncIteration
            await event.wait()
