"""Two processes over one state: copies in memory are right by own commits and by looking again, whatever is heard."""

from random import Random

import pytest
import trio.testing
from tests.storage.copies import PeerRows, People, peer_rows_of, people_of
from tests.storage.generated import USERS, Chance, opened
from tests.storage.processes import Late, Process, Processes, dropped
from tests.storage.samples import MANY, NOW, deposit, inbox, item, peer
from tests.storage.test_twins import result

from waypost.storage.caches import Usages, usages_of
from waypost.storage.operations.accounts import AddAccount, AllAccounts, AllDevices
from waypost.storage.operations.changes import Subject
from waypost.storage.operations.mail import Fetch, Kept, Settle
from waypost.storage.operations.mailboxes import AllMailboxes, Usage
from waypost.storage.operations.peers import AllPeers, SavePeer

STEPS = 150


class Copies:
    """What one process has in memory."""

    def __init__(self, store: Process, usages: Usages, people: People, rows: PeerRows) -> None:
        self.store, self.usages, self.people, self.rows = store, usages, people, rows

    async def are_right(self) -> bool:
        read = self.store.read
        devices = [device for user in sorted(USERS) for device in self.people.devices(user)]
        return (
            all(self.usages.of(info.id) == info.usage for info in await read(AllMailboxes()))
            and self.people.accounts == await read(AllAccounts())
            and devices == await read(AllDevices())
            and self.rows.all == await read(AllPeers())
        )


async def copies_of(store: Process) -> Copies:
    return Copies(store, await usages_of(store), await people_of(store), await peer_rows_of(store))


@pytest.mark.parametrize("hints", ["dropped", "late"])
@pytest.mark.parametrize("seed", range(4))
async def test_copies_are_right_after_every_look(hints: str, seed: int) -> None:
    chance = Chance(seed)
    late = Late(Random(seed))
    processes = Processes(dropped if hints == "dropped" else late)
    copies = [await copies_of(process) for process in processes.both]
    for operation in opened():
        await processes.both[0].submit(operation)
    wrong = 0
    for step in range(STEPS):
        process = chance.random.choice(processes.both)
        mailbox = chance.random.choice(chance.boxes)
        held = await process.read(Fetch(mailbox, 0, MANY, MANY)) + await process.read(Kept(mailbox, MANY))
        await result(process.submit(chance.next(held, mailbox)))
        if hints == "late":
            late.some_arrive()
        wrong += not all([await each.are_right() for each in copies])
        if step % 10 == 9:
            processes.look()
            await trio.testing.wait_all_tasks_blocked()
            assert [await each.are_right() for each in copies] == [True, True]
    assert wrong, "what the other does is not known before"


async def test_what_is_looked_for_while_it_is_being_told_is_told_again() -> None:
    processes = Processes(dropped)
    mine, other = processes.both
    bob = await inbox(mine)
    usages = await usages_of(mine)
    mine.hear(Subject.MAIL)  # told of a state before what follows
    await other.submit(deposit(item(1, bob)))
    mine.hear(Subject.MAIL)
    mine.hear(Subject.MAIL)
    await trio.testing.wait_all_tasks_blocked()
    assert usages.of(bob) == Usage(1, len(item(1).envelope))


async def test_own_commits_count_once_while_a_look_is_answered() -> None:
    processes = Processes(dropped)
    mine, other = processes.both
    bob = await inbox(mine)
    usages = await usages_of(mine)
    [placed] = (await other.submit(deposit(item(1, bob), item(2, bob)))).placed
    mine.submit(deposit(item(3, bob)))
    mine.hear(Subject.MAIL)
    mine.submit(deposit(item(4, bob)))
    await mine.submit(Settle(bob, [placed.parcel.seq]))
    await trio.testing.wait_all_tasks_blocked()
    assert usages.of(bob) == Usage(2, 2 * len(item(1).envelope))


async def test_a_look_at_one_subject_leaves_the_others_alone() -> None:
    processes = Processes(dropped)
    mine, other = processes.both
    copies = await copies_of(mine)
    await other.submit(AddAccount(USERS[0], NOW))
    await other.submit(SavePeer(peer(1)))
    mine.hear(Subject.PEERS)
    await trio.testing.wait_all_tasks_blocked()
    assert (copies.people.accounts, copies.rows.all) == ([], [peer(1)])
