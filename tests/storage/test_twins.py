"""Random sequences of verbs, done to the SQLite store and to its slow and obvious twin: they must agree."""

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from tests.storage import engines
from tests.storage.samples import BOB, CAROL, MANY, NOW, deposit, device, item, outcome, package, peer

from waypost.clock import HOUR_MS, SECOND_MS
from waypost.errors import Refused
from waypost.ids import Provider
from waypost.protocol.custody.fate import Event
from waypost.storage.store import Deposit, Item, Keep, MailboxKind, Parcel, Placed, Settlement, Store, Trace

STEPS = 120
SUITES = ["seal.1", "mls.1", "x-1"]
USERS = [BOB, CAROL]


async def result(pending: Awaitable[object]) -> object:
    """What the verb gave: its answer, or the code of its refusal."""
    try:
        return await pending
    except Refused as refusal:
        return refusal.code


class Twins:
    """Both stores, one source of chance, and the two names that each parcel has."""

    def __init__(self, memory: Store, sqlite: Store, random: Random) -> None:
        self.memory, self.sqlite, self.random = memory, sqlite, random
        self.now_ms = NOW
        self.made = 0
        self.boxes: list[int] = []
        self.seqs: dict[int, int] = {}  #: memory → sqlite

    def same(self, parcel: Parcel) -> Parcel:
        """The memory store's parcel as the other should show it; senders are only known where it was placed."""
        return replace(parcel, seq=self.seqs[parcel.seq], senders=())

    async def both(self, verb: str, *arguments: object) -> None:
        mine, theirs = getattr(self.memory, verb)(*arguments), getattr(self.sqlite, verb)(*arguments)
        assert await result(mine) == await result(theirs), verb

    async def placing(self, mine: Sequence[Placed], theirs: Sequence[Placed]) -> None:
        assert len(mine) == len(theirs)
        for left, right in zip(mine, theirs, strict=True):
            self.seqs[left.parcel.seq] = right.parcel.seq
            assert left.mailbox == right.mailbox
            assert self.same(left.parcel) == replace(right.parcel, senders=())

    async def open(self) -> None:
        for number in range(3):
            mailbox = await self.memory.open_mailbox(MailboxKind.PEER, f"p{number}.example")
            assert await self.sqlite.open_mailbox(MailboxKind.PEER, f"p{number}.example") == mailbox
            self.boxes.append(mailbox)

    # ── mail ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def accept(self) -> None:
        chance = self.random
        items = []
        for _ in range(chance.randint(1, 6)):
            self.made += 1
            number = self.made if chance.random() < 0.8 else chance.randint(1, self.made)
            # All else follows from the number, as a real id follows from the envelope.
            seeded = Random(number)
            mailboxes = tuple(seeded.sample(self.boxes, seeded.choice([0, 1, 1, 1, 2, 3])))
            created_ms = NOW + number * seeded.choice([0, 1, 1_500])
            items.append(item(number, *mailboxes, created_ms=created_ms, expires_s=seeded.randint(1, 5_000)))
        both = [await store.accept(self.deposit(items)) for store in (self.memory, self.sqlite)]
        assert both[0].duplicates == both[1].duplicates
        await self.placing(both[0].placed, both[1].placed)

    def deposit(self, items: Sequence[Item]) -> Deposit:
        return deposit(*items, at_ms=self.now_ms)

    async def settle(self) -> None:
        chance = self.random
        mailbox = chance.choice(self.boxes)
        there = await self.memory.fetch(mailbox, 0, MANY, MANY) + await self.memory.kept(mailbox, MANY)
        some = chance.sample(there, min(len(there), 3))
        keeps = []
        for parcel in some[1:]:
            indexes = [index for index in range(len(parcel.items)) if chance.random() < 0.6]
            due_ms = chance.choice([0, 1, 1]) * (self.now_ms + 5_000)
            expires_ms = chance.choice([0, 1]) * (parcel.expires_ms + 7_000)
            keeps.append(Keep(parcel.seq, tuple(indexes), due_ms, expires_ms))
        known = [item(chance.randint(1, self.made + 1)) for _ in range(chance.randint(1, 3))]
        trace = Trace(self.now_ms, Event.HELD, "p0.example", 0, b"".join(one.id for one in known))
        reports = [(chance.choice(self.boxes), [outcome(*known)] * chance.randint(0, 2))] * chance.randint(0, 1)
        mine = Settlement(mailbox, [one.seq for one in some[:1]], keeps, [trace], reports, self.now_ms + HOUR_MS)
        theirs = replace(
            mine,
            done=[self.seqs[seq] for seq in mine.done],
            keep=[keep._replace(seq=self.seqs[keep.seq]) for keep in keeps],
        )
        await self.placing(await self.memory.settle(mine), await self.sqlite.settle(theirs))
        for one in known:
            await self.both("trace", one.id)

    async def requeue(self) -> None:
        mailbox = self.random.choice([0, 0, *self.boxes])
        both = [await store.requeue(self.now_ms, mailbox) for store in (self.memory, self.sqlite)]
        await self.placing(*both)

    async def wait(self) -> None:
        self.now_ms += self.random.choice([1, 100, 5 * SECOND_MS, 600 * SECOND_MS])
        if self.random.random() < 0.3:
            await self.both("prune", self.now_ms)

    async def look(self) -> None:
        bounds = [self.random.randint(0, 8), self.random.choice([0, 500, MANY])]
        for mailbox in self.boxes:
            for bound in (bounds, [MANY, MANY]):
                mine = await self.memory.fetch(mailbox, 0, *bound)
                assert [self.same(parcel) for parcel in mine] == await self.sqlite.fetch(mailbox, 0, *bound)
            kept = await self.memory.kept(mailbox, bounds[0])
            assert [self.same(parcel) for parcel in kept] == await self.sqlite.kept(mailbox, bounds[0])
            assert self.memory.usage(mailbox) == self.sqlite.usage(mailbox)
        for most in (bounds[0], MANY):
            expiring = await self.memory.expiring(self.now_ms, most)
            other = await self.sqlite.expiring(self.now_ms, most)
            assert [Placed(box, self.same(parcel)) for box, parcel in expiring] == other
        for view in ("mailboxes", "accounts", "devices", "peers"):
            await self.both(view)

    # ── directory ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def administer(self) -> None:
        chance = self.random
        user = chance.choice(USERS)
        token = bytes([chance.randint(1, 4)])
        match chance.randint(0, 7):
            case 0 | 1:
                await self.both("add_account", user, self.now_ms)
            case 2:
                if chance.random() < 0.2:
                    await self.both("remove_account", user)
            case 3:
                friends = [Provider(f"p{number}.example") for number in range(chance.randint(0, 2))]
                await self.both("set_reach", user, chance.choice(["", "all", "some", "bad"]), friends)
            case 4:
                number = chance.randint(1, 3)
                await self.both("save_peer", peer(number, chance.choice([b"", b"k" * 32])))
                await self.both("forget_peer", Provider(f"p{chance.randint(1, 6)}.example"))
            case 5 | 6:
                await self.both("add_invite", token, user, self.now_ms + chance.choice([1, 10_000]))
            case _:
                await self.both("invited", token, self.now_ms)

    async def join(self) -> None:
        chance = self.random
        joining = device(chance.randint(1, 9), chance.choice(USERS), self.now_ms)
        await self.both("join", bytes([chance.randint(1, 4)]), joining, b"list %d" % self.now_ms)

    async def publish(self) -> None:
        chance = self.random
        key, upload = device(chance.randint(1, 9)).key, bytes([chance.randint(1, 3)]) * 16
        packages = [
            package(chance.randint(1, 999), chance.choice(SUITES), self.now_ms + chance.choice([-1, 60_000, HOUR_MS]))
            for _ in range(chance.choice([0, 2, 3, 60]))
        ]
        last_resort = package(chance.randint(1, 999), chance.choice(SUITES)) if chance.random() < 0.3 else None
        for _ in range(chance.randint(1, 2)):
            await self.both("publish", key, upload, self.now_ms, packages, last_resort)

    async def claim(self) -> None:
        suites = self.random.sample(SUITES, self.random.randint(1, 2))
        await self.both("claim", self.random.choice(USERS), suites, self.now_ms)
        await self.both("packages_left", device(self.random.randint(1, 9)).key, self.now_ms)

    async def answer(self) -> None:
        request, digest = bytes([self.random.randint(1, 9)]), bytes([self.random.randint(1, 2)])
        await self.both("answered", request, digest)
        await self.both("remember_answer", request, digest, b"answer %d" % self.now_ms, self.now_ms)
        await self.both("answered", request, digest)


@pytest.mark.parametrize("seed", range(6))
async def test_twins_agree(seed: int, tmp_path: Path) -> None:
    random = Random(seed)
    async with engines.memory(tmp_path) as memory, engines.sqlite(tmp_path / "store.db") as sqlite:
        twins = Twins(memory, sqlite, random)
        await twins.open()
        mail = [twins.accept, twins.accept, twins.settle, twins.settle, twins.requeue, twins.wait]
        directory = [twins.administer, twins.administer, twins.join, twins.publish, twins.claim, twins.answer]
        for step in range(STEPS):
            await random.choice(mail + directory)()
            if step % 8 == 0:
                await twins.look()
        await twins.look()
