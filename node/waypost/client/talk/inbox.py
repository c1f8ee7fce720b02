"""Received messages, each shown once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import anyio

from waypost.client.mail.carrier import ARRIVED
from waypost.client.mail.incoming import Incoming, Message
from waypost.client.mail.waking import ChangeEvents
from waypost.client.profile.database import Database


class UnreadMail:
    """What the inbox loops of one client share: a message in the app's hands is not marked as shown yet."""

    def __init__(self, database: Database, incoming: Incoming, arrivals: ChangeEvents) -> None:
        self._database = database
        self._incoming = incoming
        self._arrivals = arrivals
        self._turn = anyio.Lock()
        self._in_hand: int | None = None

    async def next(self) -> Message | None:
        """Mark the message in hand as shown; then the next one, if there is any."""
        async with self._turn:
            done = self._in_hand
            found = await self._database.run(lambda conn: self._incoming.next(conn, done))
            self._in_hand = found[0] if found else None
            return found[1] if found else None

    async def finish(self) -> None:
        """Mark the message in hand as shown."""
        async with self._turn:
            number = self._in_hand
            if number is not None:
                await self._database.run(lambda conn: self._incoming.shown(conn, number))
                self._in_hand = None

    def arrival(self) -> anyio.Event:
        return self._arrivals.event(ARRIVED)


class Inbox(AsyncIterator[Message]):
    """`async for message in me.inbox()`: what has arrived, in that order, and then what arrives.

    A message counts as shown when the app asks for the next one, from this loop or another, or when the `connect` block
    ends without an error. An app that dies before that is shown it again.
    """

    def __init__(self, unread: UnreadMail, *, follow: bool) -> None:
        self._unread = unread
        self._follow = follow

    def __aiter__(self) -> Inbox:
        return self

    async def __anext__(self) -> Message:
        while True:
            event = self._unread.arrival()
            message = await self._unread.next()
            if message is not None:
                return message
            if not self._follow:
                raise StopAsyncIteration
            await event.wait()
