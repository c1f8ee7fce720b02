"""Accounts, devices and peers, as every Store must keep them."""

from collections.abc import Awaitable, Callable

from tests.storage.samples import (
    BOB,
    CAROL,
    NOW,
    deposit,
    device,
    item,
    joined,
    package,
    packages,
    peer,
    refuses,
    waiting,
)

from waypost.errors import Code
from waypost.ids import Provider, User
from waypost.limits import (
    DEVICES_PER_ACCOUNT_MAX,
    INVITES_OPEN_MAX,
    PEERS_MAX,
)
from waypost.protocol.directory.reach import BY_DEFAULT, EVERYONE, NOBODY, reach_of
from waypost.protocol.directory.trust import PeerPolicy
from waypost.storage.operations.accounts import (
    Account,
    AddAccount,
    AddDevice,
    AddInvite,
    AllAccounts,
    AllDevices,
    ChangeReach,
    Invited,
    RemoveAccount,
)
from waypost.storage.operations.keys import AddPackages, IssuePackages, PackagesLeft
from waypost.storage.operations.mail import Prune
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxKind
from waypost.storage.operations.peers import AllPeers, ForgetPeer, SavePeer
from waypost.storage.store import Store

SEAL = "seal.1"


async def everything(store: Store) -> tuple[object, ...]:
    """What can be seen of accounts, devices, mailboxes and peers: a refusal must leave it alone."""
    devices = await store.read(AllDevices())
    left = [await store.read(PackagesLeft(one.key, NOW)) for one in devices]
    return (
        await store.read(AllAccounts()),
        devices,
        left,
        await store.read(AllMailboxes()),
        await store.read(AllPeers()),
    )


async def accounts_are_made_once(store: Store) -> None:
    await store.submit(AddAccount(CAROL, NOW))
    await store.submit(AddAccount(BOB, NOW + 1))
    await refuses(Code.USER_EXISTS, store.submit(AddAccount(CAROL, NOW + 2)))
    assert await store.read(AllAccounts()) == [
        Account(BOB, NOW + 1, b"", BY_DEFAULT),
        Account(CAROL, NOW, b"", BY_DEFAULT),
    ]


async def reach_is_the_accounts_own(store: Store) -> None:
    await store.submit(AddAccount(BOB, NOW))
    await store.submit(AddAccount(CAROL, NOW))
    friends = reach_of("some", (Provider("birdy.example"), Provider("finch.example")))
    await store.submit(ChangeReach(BOB, friends))
    await refuses(Code.NOT_FOUND, store.submit(ChangeReach(User("dave"), EVERYONE)))
    assert [one.reach for one in await store.read(AllAccounts())] == [friends, BY_DEFAULT]
    await store.submit(ChangeReach(BOB, NOBODY))
    assert [one.reach for one in await store.read(AllAccounts())] == [NOBODY, BY_DEFAULT]


async def an_invite_is_for_one_user_and_for_a_time(store: Store) -> None:
    await refuses(Code.NOT_FOUND, store.submit(AddInvite(b"token", BOB, NOW + 10)))
    assert await store.read(Invited(b"token", NOW)) is None
    await store.submit(AddAccount(BOB, NOW))
    await store.submit(AddInvite(b"token", BOB, NOW + 10))
    assert await store.read(Invited(b"token", NOW + 9)) == BOB
    assert await store.read(Invited(b"token", NOW + 10)) is None
    assert await store.read(Invited(b"other", NOW)) is None


async def so_many_invites_are_open(store: Store) -> None:
    await store.submit(AddAccount(BOB, NOW))
    pending = [store.submit(AddInvite(b"%d" % number, BOB, NOW + 10)) for number in range(INVITES_OPEN_MAX)]
    for one in pending:
        await one
    await refuses(Code.QUOTA, store.submit(AddInvite(b"one more", BOB, NOW + 10)))
    assert await store.read(Invited(b"one more", NOW)) is None
    await store.submit(AddInvite(b"0", BOB, NOW + 20))
    assert await store.read(Invited(b"0", NOW + 15)) == BOB


async def joining_uses_the_invite_up(store: Store) -> None:
    one = await joined(store)
    assert (one.key, one.user, one.label, one.joined_ms) == (device(1).key, BOB, "device 1", NOW)
    assert [(m.id, m.kind, m.owner) for m in await store.read(AllMailboxes())] == [
        (one.mailbox, MailboxKind.DEVICE, one.key.hex())
    ]
    assert await store.read(AllDevices()) == [one]
    assert [account.device_list for account in await store.read(AllAccounts())] == [b"list 1"]
    assert await store.read(Invited(b"token 1", NOW)) is None
    before = await everything(store)
    await refuses(Code.INVITE_INVALID, store.submit(AddDevice(b"token 1", device(2), b"other list")))
    assert await everything(store) == before


async def a_lost_join_answer_is_repeated(store: Store) -> None:
    one = await joined(store)
    two = await joined(store, 2)
    before = await everything(store)
    assert await store.submit(AddDevice(b"token 1", device(1, at_ms=NOW + 5), b"list 1")) == one
    assert await store.submit(AddDevice(b"token 2", device(2), b"list 2")) == two
    assert await everything(store) == before


async def refused_joins_change_nothing(store: Store) -> None:
    one = await joined(store)
    await store.submit(AddAccount(CAROL, NOW))
    await store.submit(AddInvite(b"token", CAROL, NOW + 10))
    before = await everything(store)
    await refuses(Code.INVITE_INVALID, store.submit(AddDevice(b"unknown", device(2), b"x")))
    await refuses(Code.INVITE_INVALID, store.submit(AddDevice(b"token", device(2, CAROL, NOW + 10), b"x")))
    await refuses(Code.INVITE_INVALID, store.submit(AddDevice(b"token", device(2, BOB), b"x")))
    await refuses(Code.FORBIDDEN, store.submit(AddDevice(b"token", device(1, CAROL), b"x")))
    assert await everything(store) == before
    assert await store.read(Invited(b"token", NOW)) == CAROL
    assert await store.read(AllDevices()) == [one]


async def an_account_has_so_many_devices(store: Store) -> None:
    for number in range(DEVICES_PER_ACCOUNT_MAX):
        await joined(store, number)
    await store.submit(AddInvite(b"token", BOB, NOW + 10))
    before = await everything(store)
    await refuses(Code.QUOTA, store.submit(AddDevice(b"token", device(99), b"x")))
    assert await everything(store) == before
    again = await store.submit(AddDevice(b"token", device(0, at_ms=NOW + 1), b"new list"))
    assert again.joined_ms == NOW + 1
    assert len(await store.read(AllDevices())) == DEVICES_PER_ACCOUNT_MAX


async def a_removed_account_leaves_its_mailboxes(store: Store) -> None:
    one, other = await joined(store, 1), await joined(store, 2, CAROL)
    two = await joined(store, 3)
    await store.submit(deposit(item(1, one.mailbox)))
    await store.submit(AddPackages(one.key, b"u" * 16, NOW, packages([1]), package(2)))
    await store.submit(AddInvite(b"open", BOB, NOW + 10))
    assert await store.submit(RemoveAccount(BOB)) == tuple(sorted([one.mailbox, two.mailbox]))
    await refuses(Code.NOT_FOUND, store.submit(RemoveAccount(BOB)))
    assert [account.user for account in await store.read(AllAccounts())] == [CAROL]
    assert await store.read(AllDevices()) == [other]
    assert await store.submit(IssuePackages(BOB, [SEAL], NOW)) == []
    assert await store.read(PackagesLeft(one.key, NOW)) == 0
    assert await store.read(Invited(b"open", NOW)) is None
    assert await waiting(store, one.mailbox) == [item(1).envelope]
    await refuses(Code.FORBIDDEN, store.submit(AddPackages(one.key, b"v" * 16, NOW, packages([1]), None)))
    await refuses(Code.INVITE_INVALID, store.submit(AddDevice(b"token 1", device(1), b"list")))
    # The same device may join again, under the same upload ids.
    await store.submit(AddAccount(BOB, NOW))
    await store.submit(AddInvite(b"new", BOB, NOW + 10))
    assert (await store.submit(AddDevice(b"new", device(1), b"list"))).mailbox == one.mailbox
    assert await store.submit(AddPackages(one.key, b"u" * 16, NOW, packages([7, 8]), None)) == 2


async def prune_forgets_invites(store: Store) -> None:
    await store.submit(AddAccount(BOB, NOW))
    await store.submit(AddInvite(b"short", BOB, NOW + 10))
    await store.submit(AddInvite(b"long", BOB, NOW + 20))
    await store.submit(Prune(NOW + 10))
    assert await store.read(Invited(b"short", NOW)) is None
    assert await store.read(Invited(b"long", NOW)) == BOB


async def refusals_leave_the_neighbours_alone(store: Store) -> None:
    one = await joined(store)
    pending: list[Awaitable[object]] = [
        store.submit(AddAccount(CAROL, NOW)),
        store.submit(AddAccount(CAROL, NOW)),
        store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([1]), None)),
        store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([2]), None)),
        store.submit(RemoveAccount(User("dave"))),
        store.submit(deposit(item(1, one.mailbox))),
    ]
    await pending[-1]
    await refuses(Code.USER_EXISTS, pending[1])
    await refuses(Code.CONFLICT, pending[3])
    await refuses(Code.NOT_FOUND, pending[4])
    assert len(await store.read(AllAccounts())) == 2
    assert await store.read(PackagesLeft(one.key, NOW)) == 1
    assert await waiting(store, one.mailbox) == [item(1).envelope]


async def peers_are_saved_and_forgotten(store: Store) -> None:
    two, one = peer(2), peer(1, b"k" * 32, PeerPolicy.ALLOW)
    await store.submit(SavePeer(two))
    await store.submit(SavePeer(one))
    assert await store.read(AllPeers()) == [one, two]
    known = peer(2, b"n" * 32)
    await store.submit(SavePeer(known))
    assert await store.read(AllPeers()) == [one, known]
    await store.submit(ForgetPeer(one.provider))
    await store.submit(ForgetPeer(one.provider))
    assert await store.read(AllPeers()) == [known]


async def peers_heard_of_make_room(store: Store) -> None:
    saved = [store.submit(SavePeer(peer(number, b"k" * 32))) for number in range(3, PEERS_MAX)]
    await store.submit(SavePeer(peer(0, policy=PeerPolicy.BLOCK)))
    await store.submit(SavePeer(peer(2)))
    await store.submit(SavePeer(peer(1)))
    for one in saved:
        await one
    await store.submit(SavePeer(peer(2)))  # known already: needs no room
    assert len(await store.read(AllPeers())) == PEERS_MAX
    await store.submit(SavePeer(peer(9_001, b"k" * 32)))
    await store.submit(SavePeer(peer(9_002, b"k" * 32)))
    before = await store.read(AllPeers())
    assert len(before) == PEERS_MAX
    assert {one.provider for one in before}.isdisjoint({"p1.example", "p2.example"})
    await refuses(Code.QUOTA, store.submit(SavePeer(peer(9_003))))
    await store.submit(SavePeer(peer(5, b"n" * 32)))
    await store.submit(SavePeer(peer(5, b"k" * 32)))
    assert await store.read(AllPeers()) == before


CHECKS: list[Callable[[Store], Awaitable[None]]] = [
    accounts_are_made_once,
    reach_is_the_accounts_own,
    an_invite_is_for_one_user_and_for_a_time,
    so_many_invites_are_open,
    joining_uses_the_invite_up,
    a_lost_join_answer_is_repeated,
    refused_joins_change_nothing,
    an_account_has_so_many_devices,
    a_removed_account_leaves_its_mailboxes,
    prune_forgets_invites,
    refusals_leave_the_neighbours_alone,
    peers_are_saved_and_forgotten,
    peers_heard_of_make_room,
]
