"""Where a message is: its trace, and what state that amounts to."""

from __future__ import annotations

from waypost.errors import Code, Refused
from waypost.limits import ARRAY_MAX_ITEMS
from waypost.protocol.custody.fate import UNSETTLED, Event, State, state_of
from waypost.protocol.directory.asks import Track, TrackReply, TrackRow
from waypost.relay.accounts import Accounts
from waypost.relay.custody.couriers import Couriers
from waypost.relay.services.service import Asker, Caller, Reply, Service, Table, reply
from waypost.storage.operations.mail import TraceOf
from waypost.storage.store import Store


class Tracks:
    """Answers from the store's traces, and from what the node knows of its next tries."""

    def __init__(self, store: Store, accounts: Accounts, couriers: Couriers) -> None:
        self._store = store
        self._accounts = accounts
        self._couriers = couriers
        self.table: Table = {Track: Service(frozenset({Asker.DEVICE}), self._track)}

    async def _track(self, caller: Caller, ask: Track) -> Reply:
        return reply(await self.find(ask.id, of=str(caller.account.address)))

    async def find(self, id_: bytes, of: str = "") -> TrackReply:
        """The trace of an envelope; `of`: only if that address has sent or received it.

        Raises Refused(UNKNOWN_MESSAGE).
        """
        rows = await self._store.read(TraceOf(id_))
        named = [row._replace(party=self._name_of(row.party)) if row.event == Event.QUEUED else row for row in rows]
        if not rows or (of and all(row.party != of for row in named)):
            raise Refused(Code.UNKNOWN_MESSAGE)
        state, code = state_of(rows)
        next_try_ms = 0
        if state in UNSETTLED:
            for row in rows:
                waiting = self._couriers.waiting(row.party) if row.event == Event.QUEUED else None
                if waiting is not None:
                    state, code, next_try_ms = State.WAITING, waiting[0].number, waiting[1]
        shown = tuple(TrackRow(row.at_ms, row.event, row.party, row.code) for row in named[:ARRAY_MAX_ITEMS])
        return TrackReply(shown, state, next_try_ms, code)

    def _name_of(self, owner: str) -> str:
        """A mailbox's owner as people know it: a provider, or the address of a device's account."""
        try:
            key = bytes.fromhex(owner)
        except ValueError:
            return owner
        user = self._accounts.of_device(key)
        return str(user.address) if user else owner
