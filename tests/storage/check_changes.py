"""What every Store must tell of its commits, and when."""

from collections.abc import Awaitable, Callable

import trio
from tests.storage.copies import peer_rows_of, people_of
from tests.storage.samples import (
    BOB,
    CAROL,
    MANY,
    NOW,
    deposit,
    device,
    inbox,
    item,
    joined,
    outcome,
    package,
    packages,
    peer,
    refuses,
)

from waypost.errors import Code, WaypostError
from waypost.protocol.directory.reach import BY_DEFAULT, NOBODY
from waypost.storage.caches import usages_of
from waypost.storage.operations.accounts import (
    Account,
    AccountChanged,
    AccountsTold,
    AddAccount,
    AddDevice,
    AddInvite,
    AllAccounts,
    AllDevices,
    ChangeReach,
    RemoveAccount,
    TellAccounts,
)
from waypost.storage.operations.changes import Change
from waypost.storage.operations.keys import AddPackages, IssuePackages, RememberAnswer
from waypost.storage.operations.mail import (
    Accepted,
    Fetch,
    Keep,
    KeptBack,
    Left,
    Placed,
    Prune,
    Requeue,
    Settle,
)
from waypost.storage.operations.mailboxes import MailboxKind, OpenMailbox, TellUsage, Usage, UsageTold
from waypost.storage.operations.peers import ForgetPeer, PeerChanged, PeersTold, SavePeer, TellPeers
from waypost.storage.store import Store


class Taken(list[Change]):
    """All that a store has told since the last look."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        store.changes(self.extend)

    def now(self) -> list[Change]:
        told = [*self]
        self.clear()
        return told


async def mail_is_told(store: Store) -> None:
    bob, carol = await inbox(store, 1), await inbox(store, 2)
    taken = Taken(store)
    one, two, both = item(1, bob), item(2, bob), item(3, bob, carol)
    accepted = await store.submit(deposit(one, two, both))
    assert taken.now() == [*accepted.placed]
    first, size = accepted.placed[0].parcel, len(one.envelope)
    kept = Settle(bob, [], [Keep(first.seq, (1,), NOW + 9)], reports=[(carol, [outcome(one)])])
    news = await store.submit(kept)
    assert taken.now() == [KeptBack(bob, NOW + 9), Left(bob, 1, size), *news]
    placed = await store.submit(Requeue(NOW + 9))
    assert taken.now() == [Left(bob, 1, len(two.envelope)), *placed]
    # A parcel that stays where it is has not left; one that is gone already leaves nothing.
    await store.submit(Settle(bob, [], [Keep(placed[0].parcel.seq, (0,), 0)]))
    await store.submit(Settle(bob, [first.seq], [Keep(first.seq, (0,), NOW)]))
    assert taken.now() == []
    await store.submit(Settle(carol, [accepted.placed[2].parcel.seq, news[0].parcel.seq]))
    left = len(both.envelope) + news[0].parcel.size
    assert taken.now() == [Left(carol, 2, left)]
    await store.submit(TellUsage())
    waiting = Usage(2, len(two.envelope) + len(both.envelope))
    assert taken.now() == [UsageTold({bob: waiting})]


async def what_changes_nothing_in_a_copy_is_not_told(store: Store) -> None:
    one = await joined(store)
    await store.submit(deposit(item(1, one.mailbox)))
    taken = Taken(store)
    await store.submit(OpenMailbox(MailboxKind.PEER, "finch.example"))
    await store.submit(deposit(item(1, one.mailbox), item(2)))
    await store.submit(Settle(reports=[(one.mailbox, [])]))
    await store.submit(Requeue(NOW))
    await store.submit(Prune(NOW))
    await store.submit(AddPackages(one.key, b"u" * 16, NOW, packages([1]), package(2)))
    await store.submit(IssuePackages(BOB, ["seal.1"], NOW))
    await store.submit(RememberAnswer(b"request", b"digest", b"answer", NOW))
    await store.submit(AddInvite(b"token", BOB, NOW + 1))
    assert taken.now() == []


async def accounts_are_told(store: Store) -> None:
    taken = Taken(store)
    await store.submit(AddAccount(CAROL, NOW))
    [carol] = await store.read(AllAccounts())
    assert taken.now() == [AccountChanged(CAROL, carol, [])]
    one = await joined(store, 1)
    empty, listed = Account(BOB, NOW, b"", BY_DEFAULT), Account(BOB, NOW, b"list 1", BY_DEFAULT)
    assert taken.now() == [AccountChanged(BOB, empty, []), AccountChanged(BOB, listed, [one])]
    two = await joined(store, 2)
    await store.submit(ChangeReach(BOB, NOBODY))
    bob = Account(BOB, NOW, b"list 2", NOBODY)
    assert taken.now()[-1] == AccountChanged(BOB, bob, [one, two])
    await store.submit(TellAccounts())
    assert taken.now() == [AccountsTold([bob, carol], [one, two])]
    await store.submit(RemoveAccount(BOB))
    assert taken.now() == [AccountChanged(BOB, None)]


async def peers_are_told(store: Store) -> None:
    taken = Taken(store)
    one, two = peer(1), peer(2, b"k" * 32)
    await store.submit(SavePeer(two))
    await store.submit(SavePeer(one))
    assert taken.now() == [PeerChanged(two.provider, two), PeerChanged(one.provider, one)]
    await store.submit(TellPeers())
    assert taken.now() == [PeersTold([one, two])]
    await store.submit(ForgetPeer(one.provider))
    assert taken.now() == [PeerChanged(one.provider, None)]


async def a_refusal_is_no_change(store: Store) -> None:
    one = await joined(store)
    taken = Taken(store)
    await refuses(Code.USER_EXISTS, store.submit(AddAccount(BOB, NOW)))
    await refuses(Code.INVITE_INVALID, store.submit(AddDevice(b"unknown", device(2), b"list")))
    await refuses(Code.FORBIDDEN, store.submit(AddPackages(b"?" * 32, b"u" * 16, NOW, packages([1]), None)))
    await refuses(Code.NOT_FOUND, store.submit(RemoveAccount(CAROL)))
    assert taken.now() == []
    assert await store.read(AllDevices()) == [one]


async def changes_come_in_the_order_of_submission(store: Store) -> None:
    bob = await inbox(store)
    taken = Taken(store)
    pending = [store.submit(deposit(item(number, bob))) for number in range(50)]
    placed = [(await each).placed[0] for each in pending]
    assert taken.now() == placed
    there = await store.read(Fetch(bob, 0, MANY, MANY))
    assert [each.parcel.seq for each in placed] == [parcel.seq for parcel in there]


async def changes_are_told_before_anyone_who_waits(store: Store) -> None:
    bob = await inbox(store)
    order: list[str] = []
    store.changes(lambda changes: order.extend(f"taken {len(change.parcel.ids)}" for change in placed_of(changes)))

    async def wait(number: int) -> None:
        await store.submit(deposit(*(item(100 * number + each, bob) for each in range(number))))
        order.append(f"waited {number}")

    async with trio.open_nursery() as nursery:
        for number in (1, 2, 3):
            nursery.start_soon(wait, number)
    for number in (1, 2, 3):
        assert order.index(f"taken {number}") < order.index(f"waited {number}")
    assert len(order) == 6


def placed_of(changes: tuple[Change, ...]) -> list[Placed]:
    return [change for change in changes if isinstance(change, Placed)]


async def callbacks_are_called_in_the_order_of_submission(store: Store) -> None:
    bob = await inbox(store)
    order: list[object] = []
    store.changes(lambda changes: order.extend(placed_of(changes)))

    def failed(error: WaypostError) -> None:
        order.append(error.code)

    for number in range(5):
        store.submit(deposit(item(number, bob))).then(order.append, failed)
        store.submit(RemoveAccount(CAROL)).then(order.append, failed)
    assert order == [], "nothing is concluded while somebody submits"
    last = store.submit(deposit(item(1, bob)))
    assert (await last).duplicates == 1
    answers = [each for each in order if not isinstance(each, Placed)]
    assert answers[1::2] == [Code.NOT_FOUND] * 5
    accepted = [each for each in answers[::2] if isinstance(each, Accepted)]
    assert [each.placed[0].parcel.ids for each in accepted] == [(item(number).id,) for number in range(5)]
    for each in accepted:
        assert order.index(each.placed[0]) < order.index(each)
    # What is done already is told at once.
    late: list[int] = []
    last.then(lambda answer: late.append(answer.duplicates), failed)
    assert late == [1]


async def a_take_may_submit(store: Store) -> None:
    bob = await inbox(store)
    before, after = Taken(store), Taken(store)
    asked: list[int] = []

    def ask(changes: tuple[Change, ...]) -> None:
        for _ in placed_of(changes):
            if len(asked) < 3:
                asked.append(101 + len(asked))
                store.submit(deposit(item(asked[-1], bob)))

    store.changes(ask)
    behind = Taken(store)
    await store.submit(deposit(item(1, bob)))
    while len(placed_of(tuple(behind))) < 4:
        await store.submit(TellUsage())
    placed = [each.parcel.ids[0] for each in placed_of(tuple(behind))]
    assert placed == [item(number).id for number in (1, 101, 102, 103)]
    assert before == after == behind


async def copies_are_right_from_the_start(store: Store) -> None:
    one = await joined(store)
    await store.submit(deposit(item(1, one.mailbox)))
    await store.submit(SavePeer(peer(1)))
    usages, people, rows = await usages_of(store), await people_of(store), await peer_rows_of(store)
    assert usages.of(one.mailbox) == Usage(1, len(item(1).envelope))
    assert usages.of(99) == Usage(0, 0)
    assert people.accounts == await store.read(AllAccounts())
    assert people.devices(BOB) == (one,)
    assert (people.account(CAROL), people.devices(CAROL)) == (None, ())
    assert (rows.all, rows.get(peer(2).provider)) == ([peer(1)], None)


CHECKS: list[Callable[[Store], Awaitable[None]]] = [
    mail_is_told,
    what_changes_nothing_in_a_copy_is_not_told,
    accounts_are_told,
    peers_are_told,
    a_refusal_is_no_change,
    changes_come_in_the_order_of_submission,
    changes_are_told_before_anyone_who_waits,
    callbacks_are_called_in_the_order_of_submission,
    a_take_may_submit,
    copies_are_right_from_the_start,
]
