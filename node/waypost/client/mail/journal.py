"""Sent mail, for tasks: changed in a transaction of its own each, and told to whoever waits for news of a message."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

import anyio

from waypost.client.mail import history
from waypost.client.mail.history import Changed, SentRecord
from waypost.client.mail.waking import ChangeEvents
from waypost.client.profile.database import Database


class Journal:
    """See the module."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._changes = ChangeEvents()

    async def change(self, work: Callable[[sqlite3.Connection], Changed]) -> Changed:
        """`work` in one transaction (see `Database.run`); those who wait for what it has changed are woken."""
        changed = await self._database.run(work)
        self.tell(changed)
        return changed

    def tell(self, changed: Changed) -> None:
        """Wake those who wait for news of messages changed in another transaction."""
        self._changes.happened(changed)

    def event(self, local: bytes) -> anyio.Event:
        """Set at the next change of that message. Ask for it before reading."""
        return self._changes.event(local)

    async def find(self, id_: bytes) -> SentRecord | None:
        """By the id of one of its envelopes, or the local one."""
        return await self._database.run(lambda conn: history.find(conn, id_))
