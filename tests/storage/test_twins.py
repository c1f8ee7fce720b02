"""Operations as chance makes them, done to the SQLite store and to its slow and obvious twin: they must agree.

They agree in every answer, in what they tell of their commits, and in what is read from them.
"""

from collections.abc import Awaitable
from pathlib import Path
from typing import Any, get_args

import pytest
from msgspec import Struct
from msgspec.structs import fields, replace
from tests.storage import engines
from tests.storage.copies import peer_rows_of, people_of
from tests.storage.generated import BOXES, USERS, Chance, opened
from tests.storage.samples import MANY, device, item

from waypost.errors import Refused
from waypost.storage.caches import usages_of
from waypost.storage.operations.accounts import AccountsOperation, AllAccounts, AllDevices, Invited
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.changes import Change
from waypost.storage.operations.keys import AddPackages, AnswerTo, KeysOperation, PackagesLeft
from waypost.storage.operations.mail import Expiring, Fetch, Kept, MailOperation, NextDue, Parcel, Settle, TraceOf
from waypost.storage.operations.mailboxes import AllMailboxes
from waypost.storage.operations.peers import AllPeers, PeersOperation
from waypost.storage.store import Store

STEPS = 160


async def result(pending: Awaitable[object]) -> object:
    """What it gave: its answer, or the code of its refusal."""
    try:
        return await pending
    except Refused as refusal:
        return refusal.code


def parcels(value: Any) -> list[Parcel]:
    """All that are somewhere in it, in order."""
    if isinstance(value, Parcel):
        return [value]
    if isinstance(value, Struct):
        value = [getattr(value, field.name) for field in fields(value)]
    return [parcel for each in value for parcel in parcels(each)] if isinstance(value, (list, tuple)) else []


class Twins:
    """Both stores, and the two names that each parcel has."""

    def __init__(self, memory: Store, sqlite: Store) -> None:
        self.stores = memory, sqlite
        self.changes: tuple[list[Change], list[Change]] = ([], [])
        self.seqs: dict[int, int] = {}  #: memory → sqlite
        for store, changes in zip(self.stores, self.changes, strict=True):
            store.changes(changes.extend)

    def theirs(self, value: Any) -> Any:
        """What the memory store says, as the other should; senders are known only where a parcel was placed."""
        if isinstance(value, Parcel):
            return replace(value, seq=self.seqs[value.seq], senders=())
        if isinstance(value, list):
            return [self.theirs(each) for each in value]
        if isinstance(value, tuple):
            each = [self.theirs(each) for each in value]
            return type(value)(*each) if hasattr(value, "_fields") else tuple(each)
        if isinstance(value, Struct):
            return replace(value, **{field.name: self.theirs(getattr(value, field.name)) for field in fields(value)})
        return value

    async def do(self, operation: Operation[Any]) -> None:
        """One operation, done to both."""
        told = operation
        if isinstance(operation, Settle):
            mine = operation
            done = [self.seqs[seq] for seq in mine.done]
            keep = [each._replace(seq=self.seqs[each.seq]) for each in mine.keep]
            told = replace(mine, done=done, keep=keep)
        memory, sqlite = [
            await result(store.submit(each)) for store, each in zip(self.stores, (operation, told), strict=True)
        ]
        mine_, theirs = self.changes
        new, others = parcels(mine_), parcels(theirs)
        assert len(new) == len(others), operation
        self.seqs |= {left.seq: right.seq for left, right in zip(new, others, strict=True)}
        assert self.theirs(memory) == bare(sqlite), operation
        assert self.theirs(mine_) == bare(theirs), operation
        mine_.clear()
        theirs.clear()

    async def ask(self, question: Question[Any]) -> None:
        memory, sqlite = [await result(store.read(question)) for store in self.stores]
        assert self.theirs(memory) == bare(sqlite), question

    async def there(self, mailbox: int) -> list[Parcel]:
        """All that the memory store has in it."""
        store = self.stores[0]
        return await store.read(Fetch(mailbox, 0, MANY, MANY)) + await store.read(Kept(mailbox, MANY))

    async def look(self, chance: Chance) -> None:
        """Whatever can be asked."""
        few = chance.random.randint(0, 8)
        for mailbox in range(1, BOXES + 1):
            await self.ask(Fetch(mailbox, 0, few, chance.random.choice([0, 500, MANY])))
            await self.ask(Fetch(mailbox, 0, MANY, MANY))
            await self.ask(Kept(mailbox, few))
        for bound in (few, MANY):
            await self.ask(Expiring(chance.now_ms, bound))
        for question in (AllMailboxes(), NextDue(), AllAccounts(), AllDevices(), AllPeers()):
            await self.ask(question)
        for number in range(1, 10):
            await self.ask(PackagesLeft(device(number).key, chance.now_ms))
            await self.ask(AnswerTo(bytes([number]), bytes([chance.random.randint(1, 2)])))
            await self.ask(Invited(bytes([number]), chance.now_ms))
            await self.ask(TraceOf(item(chance.random.randint(1, chance.made + 1)).id))


def bare(value: Any) -> Any:
    """Without senders."""
    if isinstance(value, Parcel):
        return replace(value, senders=())
    if isinstance(value, list):
        return [bare(each) for each in value]
    if isinstance(value, tuple):
        each = [bare(each) for each in value]
        return type(value)(*each) if hasattr(value, "_fields") else tuple(each)
    if isinstance(value, Struct):
        return replace(value, **{field.name: bare(getattr(value, field.name)) for field in fields(value)})
    return value


@pytest.mark.parametrize("seed", range(8))
async def test_twins_agree(seed: int, tmp_path: Path) -> None:
    chance = Chance(seed)
    async with engines.memory(tmp_path) as memory, engines.sqlite(tmp_path / "store.db") as sqlite:
        twins = Twins(memory, sqlite)
        caches = [(await usages_of(each), await people_of(each), await peer_rows_of(each)) for each in twins.stores]
        for operation in opened():
            await twins.do(operation)
        for step in range(STEPS):
            mailbox = chance.random.choice(chance.boxes)
            operation = chance.next(await twins.there(mailbox), mailbox)
            await twins.do(operation)
            if isinstance(operation, AddPackages):
                await twins.do(operation)  # once more: a lost answer
            if step % 8 == 0 or step == STEPS - 1:
                await twins.look(chance)
                for store, (usages, people, rows) in zip(twins.stores, caches, strict=True):
                    assert people.accounts == await store.read(AllAccounts())
                    assert [each for user in sorted(USERS) for each in people.devices(user)] == await store.read(
                        AllDevices()
                    )
                    assert rows.all == await store.read(AllPeers())
                    for info in await store.read(AllMailboxes()):
                        assert usages.of(info.id) == info.usage


def test_chance_makes_every_operation() -> None:
    made = {type(operation) for operation in opened()}
    for seed in range(8):
        chance = Chance(seed)
        made |= {type(chance.next([], 1)) for _ in range(STEPS)}
    assert made == {*get_args(MailOperation | AccountsOperation | KeysOperation | PeersOperation)}
