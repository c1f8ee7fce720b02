"""Operations as chance makes them: often sensible, sometimes refused, never the same twice."""

from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

from tests.storage.samples import BOB, CAROL, NOW, deposit, device, item, outcome, package, peer

from waypost.clock import HOUR_MS, SECOND_MS
from waypost.ids import Provider
from waypost.protocol.custody.fate import Event
from waypost.protocol.directory.reach import BY_DEFAULT, EVERYONE, Reach, reach_of
from waypost.storage.operations.accounts import (
    AddAccount,
    AddDevice,
    AddInvite,
    ChangeReach,
    RemoveAccount,
    TellAccounts,
)
from waypost.storage.operations.base import Operation
from waypost.storage.operations.keys import AddPackages, IssuePackages, RememberAnswer
from waypost.storage.operations.mail import Keep, Parcel, Prune, Requeue, Settle, Trace
from waypost.storage.operations.mailboxes import MailboxKind, OpenMailbox, TellUsage
from waypost.storage.operations.peers import ForgetPeer, SavePeer, TellPeers

SUITES = ["seal.1", "mls.1", "x-1"]
USERS = [BOB, CAROL]
BOXES = 3


def opened() -> list[Operation[Any]]:
    """To begin with: mailboxes 1 to BOXES, in a new store."""
    return [OpenMailbox(MailboxKind.PEER, f"p{number}.example") for number in range(BOXES)]


class Chance:
    """A source of operations, and of a time that goes on."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = NOW
        self.made = 0
        self.boxes = range(1, BOXES + 1)

    def next(self, there: Sequence[Parcel], mailbox: int) -> Operation[Any]:
        """`there`: all that this mailbox holds."""
        settle = partial(self.settle, there, mailbox)
        makers: list[Callable[[], Operation[Any]]] = [self.accept, self.accept, settle, settle]
        makers += [self.requeue, self.prune, self.account, self.account, self.invite, self.join, self.peer]
        makers += [self.publish, self.issue, self.answer, self.tell]
        self.now_ms += self.random.choice([0, 1, 100, 5 * SECOND_MS, 600 * SECOND_MS])
        return self.random.choice(makers)()

    def accept(self) -> Operation[Any]:
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
        return deposit(*items, at_ms=self.now_ms)

    def settle(self, there: Sequence[Parcel], mailbox: int) -> Operation[Any]:
        chance = self.random
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
        done = [one.seq for one in some[:1]]
        return Settle(mailbox, done, keeps, [trace], reports, self.now_ms + HOUR_MS)

    def requeue(self) -> Operation[Any]:
        return Requeue(self.now_ms, self.random.choice([0, 0, *self.boxes]))

    def prune(self) -> Operation[Any]:
        return Prune(self.now_ms)

    def tell(self) -> Operation[Any]:
        return self.random.choice([TellUsage(), TellAccounts(), TellPeers()])

    def account(self) -> Operation[Any]:
        chance, user = self.random, self.random.choice(USERS)
        friends = reach_of("some", [Provider(f"p{number}.example") for number in range(chance.randint(1, 2))])
        reaches: list[Reach] = [BY_DEFAULT, EVERYONE, friends]
        leaves = RemoveAccount(user) if chance.random() < 0.2 else AddAccount(user, self.now_ms)
        return chance.choice([AddAccount(user, self.now_ms), ChangeReach(user, chance.choice(reaches)), leaves])

    def invite(self) -> Operation[Any]:
        chance = self.random
        expires_ms = self.now_ms + chance.choice([1, 10_000])
        return AddInvite(bytes([chance.randint(1, 4)]), chance.choice(USERS), expires_ms)

    def join(self) -> Operation[Any]:
        chance = self.random
        joining = device(chance.randint(1, 9), chance.choice(USERS), self.now_ms)
        return AddDevice(bytes([chance.randint(1, 4)]), joining, b"list %d" % self.now_ms)

    def publish(self) -> Operation[Any]:
        chance = self.random
        key, upload = device(chance.randint(1, 9)).key, bytes([chance.randint(1, 3)]) * 16
        packages = [
            package(chance.randint(1, 999), chance.choice(SUITES), self.now_ms + chance.choice([-1, 60_000, HOUR_MS]))
            for _ in range(chance.choice([0, 2, 3, 60]))
        ]
        last_resort = package(chance.randint(1, 999), chance.choice(SUITES)) if chance.random() < 0.3 else None
        return AddPackages(key, upload, self.now_ms, packages, last_resort)

    def issue(self) -> Operation[Any]:
        suites = self.random.sample(SUITES, self.random.randint(1, 2))
        return IssuePackages(self.random.choice(USERS), suites, self.now_ms)

    def answer(self) -> Operation[Any]:
        request, digest = bytes([self.random.randint(1, 9)]), bytes([self.random.randint(1, 2)])
        return RememberAnswer(request, digest, b"answer %d" % self.now_ms, self.now_ms)

    def peer(self) -> Operation[Any]:
        chance = self.random
        saved = SavePeer(peer(chance.randint(1, 3), chance.choice([b"", b"k" * 32])))
        return chance.choice([saved, ForgetPeer(Provider(f"p{chance.randint(1, 6)}.example"))])
