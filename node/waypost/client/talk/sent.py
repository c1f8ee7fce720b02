"""A sent message, and what becomes of it."""

from __future__ import annotations

import anyio

from waypost.client.mail.history import RecipientRecord, SentRecord
from waypost.client.mail.journal import Journal
from waypost.client.mail.status import SentState, Status
from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import id_text


class States:
    """`async for status in sent.states()`: each step once, from the first to the last; an end ends the loop.

    A message that goes on waiting for the same reason is told again with its next try.
    """

    def __init__(self, sent: Sent) -> None:
        self._sent = sent
        self._told: list[Status] = []

    def __aiter__(self) -> States:
        return self

    async def __anext__(self) -> Status:
        if self._told and self._told[-1].state.is_final:
            raise StopAsyncIteration
        while True:
            event = self._sent.change()
            history = await self._sent.history()
            at = len(self._told)
            if at and history[at - 1 : at] != (self._told[-1],):
                self._told[-1] = history[at - 1]
                return self._told[-1]
            if len(history) > at:
                self._told.append(history[at])
                return history[at]
            await event.wait()


class Sent:
    """Made by `Client.send`, or by `Client.sent` from an id.

    A message has two names in its life. Until the recipient's keys are there it has no envelope, and `id` is one that
    this profile has given it; after that `id` is the envelope's id, the one that nodes and the recipient know. This
    profile answers to both for ever. `sealed` waits for the second.
    """

    def __init__(self, journal: Journal, record: SentRecord) -> None:
        self._journal = journal
        self._record = record

    @property
    def id(self) -> str:
        """32 hexadecimal digits, as of the last call to any of the methods here."""
        return id_text(self._to.envelope_id or self._record.local)

    @property
    def is_sealed(self) -> bool:
        """Whether `id` is the envelope's."""
        return self._to.envelope_id is not None

    @property
    def recipient(self) -> str:
        return str(self._to.address)

    @property
    def created_ms(self) -> WallMs:
        return self._record.created_ms

    async def history(self) -> tuple[Status, ...]:
        """Every step so far, the first of them QUEUED. Raises Refused(UNKNOWN_MESSAGE) after JOURNAL_LIFETIME_MS."""
        record = await self._journal.find(self._record.local)
        if record is None:
            raise Refused(Code.UNKNOWN_MESSAGE, self.id)
        self._record = record
        return self._to.history

    async def status(self) -> Status:
        """The last step."""
        return (await self.history())[-1]

    def states(self) -> States:
        return States(self)

    async def sealed(self) -> str:
        """The envelope's id, once there is one. Raises Refused with the reason if the message ends without."""
        while True:
            event = self.change()
            last = await self.status()
            if self.is_sealed:
                return self.id
            if last.state.is_final:
                raise last.refusal()
            await event.wait()

    async def reached(self, *states: SentState) -> Status:
        """The first status that is or was one of these, or delivered. Raises Refused if another end comes first."""
        while True:
            event = self.change()
            history = await self.history()
            # Two steps may have come together, so what is past counts too.
            for status in history:
                if status.state in states:
                    return status
            last = history[-1]
            if last.state.is_final:
                if last.state is SentState.DELIVERED:
                    return last
                raise last.refusal()
            await event.wait()

    async def delivered(self) -> Status:
        """Once the recipient's device has acknowledged it. Raises Refused with the reason if it bounced or expired."""
        return await self.reached(SentState.DELIVERED)

    def change(self) -> anyio.Event:
        """An event that is set at the next change."""
        return self._journal.event(self._record.local)

    @property
    def _to(self) -> RecipientRecord:
        # `send` writes to one recipient.
        return self._record.recipients[0]
