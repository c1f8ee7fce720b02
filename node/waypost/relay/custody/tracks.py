"""Where a message is: its trace, and what state that amounts to."""

from __future__ import annotations

from collections.abc import Callable

from waypost.errors import Code, Refused
from waypost.limits import ARRAY_MAX_ITEMS
from waypost.protocol.custody.fate import UNSETTLED, Event, State, state_of
from waypost.protocol.directory.asks import TrackReply, TrackRow
from waypost.storage.store import Store

#: Why and until when (wall clock) mail to this owner of a mailbox waits; None if nothing holds it up.
Waiting = Callable[[str], tuple[Code, int] | None]
#: A mailbox's owner as people know it: a provider, or the address of a device's account.
NameOf = Callable[[str], str]


class Tracks:
    """Answers from the store's traces, and from what the node knows of its next tries."""

    def __init__(self, store: Store, waiting: Waiting, name_of: NameOf) -> None:
        self._store = store
        self._waiting = waiting
        self._name_of = name_of

    async def find(self, id_: bytes, of: str = "") -> TrackReply:
        """The trace of an envelope; `of`: only if that address has sent or received it.

        Raises Refused(UNKNOWN_MESSAGE).
        """
        rows = await self._store.trace(id_)
        named = [row._replace(party=self._name_of(row.party)) if row.event == Event.QUEUED else row for row in rows]
        if not rows or (of and all(row.party != of for row in named)):
            raise Refused(Code.UNKNOWN_MESSAGE)
        state, code = state_of(rows)
        next_try_ms = 0
        if state in UNSETTLED:
            for row in rows:
                waiting = self._waiting(row.party) if row.event == Event.QUEUED else None
                if waiting is not None:
                    state, code, next_try_ms = State.WAITING, waiting[0].number, waiting[1]
        shown = tuple(TrackRow(row.at_ms, row.event, row.party, row.code) for row in named[:ARRAY_MAX_ITEMS])
        return TrackReply(shown, state, next_try_ms, code)
