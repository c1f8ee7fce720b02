"""Accounts, devices, the key directory and peers, as every Store must keep them."""

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
    refused,
    refuses,
    waiting,
)

from waypost.errors import Code
from waypost.ids import Provider, User
from waypost.limits import (
    DEVICES_PER_ACCOUNT_MAX,
    IDEMPOTENCE_LIFETIME_MS,
    INVITES_OPEN_MAX,
    PACKAGES_PER_DEVICE_MAX,
    PEERS_MAX,
    SUITES_PER_CLAIM_MAX,
)
from waypost.protocol.directory.package import PackageState
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
from waypost.storage.operations.keys import AddPackages, AnswerTo, Issued, IssuePackages, PackagesLeft, RememberAnswer
from waypost.storage.operations.mail import Accept, Prune
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxKind
from waypost.storage.operations.peers import AllPeers, ForgetPeer, SavePeer
from waypost.storage.store import Store

SEAL, MLS = "seal.1", "mls.1"


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
    await store.submit(Accept(deposit(item(1, one.mailbox))))
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


async def packages_are_issued_in_order_and_once(store: Store) -> None:
    one = await joined(store)
    assert await store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([1, 2]), package(9))) == 2
    assert await store.submit(AddPackages(one.key, b"b" * 16, NOW, packages([3]), None)) == 3
    issued = [(await store.submit(IssuePackages(BOB, [SEAL], NOW)))[0] for _ in range(5)]
    assert issued == [
        Issued(one.key, PackageState.ONE_TIME, b"package 1", 2),
        Issued(one.key, PackageState.ONE_TIME, b"package 2", 1),
        Issued(one.key, PackageState.ONE_TIME, b"package 3", 0),
        Issued(one.key, PackageState.LAST_RESORT, b"package 9", 0),
        Issued(one.key, PackageState.LAST_RESORT, b"package 9", 0),
    ]
    assert await store.read(PackagesLeft(one.key, NOW)) == 0


async def claims_at_once_get_different_packages(store: Store) -> None:
    one = await joined(store)
    await store.submit(AddPackages(one.key, b"a" * 16, NOW, packages(range(10)), None))
    pending = [store.submit(IssuePackages(BOB, [SEAL], NOW)) for _ in range(10)]
    got = [(await claim)[0].package for claim in pending]
    assert got == [b"package %d" % number for number in range(10)]


async def a_repeated_upload_changes_nothing(store: Store) -> None:
    one = await joined(store)
    upload = (one.key, b"a" * 16, NOW, packages([1, 2]), package(9))
    assert await store.submit(AddPackages(*upload)) == 2
    await store.submit(IssuePackages(BOB, [SEAL], NOW))
    assert await store.submit(AddPackages(*upload)) == 1
    for changed in [packages([1, 3]), packages([1, 2, 3]), packages([2, 1])]:
        await refuses(Code.CONFLICT, store.submit(AddPackages(one.key, b"a" * 16, NOW, changed, package(9))))
    await refuses(Code.CONFLICT, store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([1, 2]), None)))
    await refuses(
        Code.CONFLICT, store.submit(AddPackages(one.key, b"a" * 16, NOW, [*packages([1, 2]), package(9)], None))
    )
    assert [issued.package for issued in await store.submit(IssuePackages(BOB, [SEAL], NOW))] == [b"package 2"]
    # An old upload that comes once more must not bring back what has been issued.
    later = NOW + IDEMPOTENCE_LIFETIME_MS + 1
    other = [package(5, expires_ms=later + 10)]
    assert await store.submit(AddPackages(one.key, b"c" * 16, NOW, other, None)) == 1
    assert (await store.submit(IssuePackages(BOB, [SEAL], NOW)))[0].package == b"package 5"
    await store.submit(Prune(later))
    assert await store.submit(AddPackages(one.key, b"c" * 16, later, other, None)) == 0


async def another_device_may_use_the_same_upload_id(store: Store) -> None:
    one, two = await joined(store, 1), await joined(store, 2)
    assert await store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([1]), None)) == 1
    assert await store.submit(AddPackages(two.key, b"a" * 16, NOW, packages([2, 3]), None)) == 2


async def refused_uploads_change_nothing(store: Store) -> None:
    one = await joined(store)
    most = packages(range(PACKAGES_PER_DEVICE_MAX - 1))
    await refuses(Code.FORBIDDEN, store.submit(AddPackages(b"?" * 32, b"a" * 16, NOW, most, None)))
    assert await store.submit(AddPackages(one.key, b"a" * 16, NOW, most, package(1000))) == len(most)
    await refuses(Code.QUOTA, store.submit(AddPackages(one.key, b"b" * 16, NOW, packages([1001, 1002]), package(2000))))
    suites = [package(number, f"x-{number}") for number in range(SUITES_PER_CLAIM_MAX + 1)]
    await refuses(Code.QUOTA, store.submit(AddPackages(one.key, b"c" * 16, NOW, suites, None)))
    assert await store.read(PackagesLeft(one.key, NOW)) == len(most)
    assert await store.submit(IssuePackages(BOB, ["x-1"], NOW)) == [
        Issued(one.key, PackageState.INCOMPATIBLE, b"", len(most))
    ]
    for _ in most:
        await store.submit(IssuePackages(BOB, [SEAL], NOW))
    assert await store.submit(IssuePackages(BOB, [SEAL], NOW)) == [
        Issued(one.key, PackageState.LAST_RESORT, b"package 1000", 0)
    ]
    # The ids were not used up, and the room is there again.
    assert await store.submit(AddPackages(one.key, b"b" * 16, NOW, packages([1001, 1002]), None)) == 2


async def expired_packages_are_not_served(store: Store) -> None:
    one = await joined(store)
    soon = [package(1, expires_ms=NOW + 10), package(2, expires_ms=NOW + 20)]
    assert await store.submit(AddPackages(one.key, b"a" * 16, NOW, soon, package(9, expires_ms=NOW + 30))) == 2
    assert await store.read(PackagesLeft(one.key, NOW + 9)) == 2
    assert await store.read(PackagesLeft(one.key, NOW + 10)) == 1
    assert await store.submit(IssuePackages(BOB, [SEAL], NOW + 10)) == [
        Issued(one.key, PackageState.ONE_TIME, b"package 2", 0)
    ]
    assert await store.submit(IssuePackages(BOB, [SEAL], NOW + 29)) == [
        Issued(one.key, PackageState.LAST_RESORT, b"package 9", 0)
    ]
    assert await store.submit(IssuePackages(BOB, [SEAL], NOW + 30)) == [Issued(one.key, PackageState.EXHAUSTED, b"", 0)]
    assert await store.submit(AddPackages(one.key, b"b" * 16, NOW + 40, soon, package(9, expires_ms=NOW + 30))) == 0
    await store.submit(Prune(NOW + 40))
    assert await store.submit(IssuePackages(BOB, [SEAL], NOW)) == [Issued(one.key, PackageState.EXHAUSTED, b"", 0)]


async def expired_packages_leave_room(store: Store) -> None:
    one = await joined(store)
    short = [package(number, expires_ms=NOW + 10) for number in range(PACKAGES_PER_DEVICE_MAX)]
    fresh = [package(number, expires_ms=NOW + 99) for number in range(PACKAGES_PER_DEVICE_MAX)]
    await store.submit(AddPackages(one.key, b"a" * 16, NOW, short, None))
    await refuses(Code.QUOTA, store.submit(AddPackages(one.key, b"b" * 16, NOW + 9, fresh[:1], None)))
    assert await store.submit(AddPackages(one.key, b"b" * 16, NOW + 10, fresh, None)) == PACKAGES_PER_DEVICE_MAX


async def the_first_suite_that_a_device_has_is_served(store: Store) -> None:
    one, two = await joined(store, 1), await joined(store, 2)
    three = await joined(store, 3)
    await joined(store, 4, CAROL)
    await store.submit(AddPackages(one.key, b"a" * 16, NOW, [package(1), package(2, MLS)], package(3, MLS)))
    await store.submit(AddPackages(two.key, b"a" * 16, NOW, packages([4]), None))
    states = [(i.device, i.state, i.package, i.left) for i in await store.submit(IssuePackages(BOB, [MLS, SEAL], NOW))]
    assert states == [
        (one.key, PackageState.ONE_TIME, b"package 2", 1),
        (two.key, PackageState.ONE_TIME, b"package 4", 0),
        (three.key, PackageState.EXHAUSTED, b"", 0),
    ]
    # Nobody is pushed to another suite by those who drain the one-time packages of the first.
    states = [(i.device, i.state, i.package, i.left) for i in await store.submit(IssuePackages(BOB, [MLS, SEAL], NOW))]
    assert states == [
        (one.key, PackageState.LAST_RESORT, b"package 3", 1),
        (two.key, PackageState.EXHAUSTED, b"", 0),
        (three.key, PackageState.EXHAUSTED, b"", 0),
    ]
    assert [issued.state for issued in await store.submit(IssuePackages(BOB, ["x-other"], NOW))] == [
        PackageState.INCOMPATIBLE,
        PackageState.INCOMPATIBLE,
        PackageState.EXHAUSTED,
    ]
    assert await store.submit(IssuePackages(User("dave"), [MLS], NOW)) == []


async def a_last_resort_package_is_replaced_within_its_suite(store: Store) -> None:
    one = await joined(store)
    await store.submit(AddPackages(one.key, b"a" * 16, NOW, [], package(1)))
    await store.submit(AddPackages(one.key, b"b" * 16, NOW, [], package(2, MLS)))
    assert await store.submit(AddPackages(one.key, b"c" * 16, NOW, [], package(3))) == 0
    assert (await store.submit(IssuePackages(BOB, [SEAL], NOW)))[0].package == b"package 3"
    assert (await store.submit(IssuePackages(BOB, [MLS], NOW)))[0].package == b"package 2"


async def suites_long_left_make_room(store: Store) -> None:
    one = await joined(store)
    suites = [f"x {number}" for number in range(SUITES_PER_CLAIM_MAX + 1)]
    for number, suite in enumerate(suites):
        await store.submit(
            AddPackages(one.key, bytes([number]) * 16, NOW, packages([number], suite), package(99, suite))
        )
    assert (await store.submit(IssuePackages(BOB, suites[:1], NOW)))[0].state == PackageState.INCOMPATIBLE
    for number, suite in enumerate(suites[1:], 1):
        assert (await store.submit(IssuePackages(BOB, [suite], NOW)))[0].package == b"package %d" % number
        assert (await store.submit(IssuePackages(BOB, [suite], NOW)))[0].state == PackageState.LAST_RESORT


async def an_answer_is_given_again(store: Store) -> None:
    assert await store.read(AnswerTo(b"request", b"digest")) is None
    await store.submit(RememberAnswer(b"request", b"digest", b"answer", NOW))
    await store.submit(RememberAnswer(b"request", b"digest", b"second thoughts", NOW))
    assert await store.read(AnswerTo(b"request", b"digest")) == b"answer"
    with refused(Code.CONFLICT):
        await store.read(AnswerTo(b"request", b"other"))
    assert await store.read(AnswerTo(b"other", b"digest")) is None
    await store.submit(Prune(NOW + IDEMPOTENCE_LIFETIME_MS - 1))
    assert await store.read(AnswerTo(b"request", b"digest")) == b"answer"
    await store.submit(Prune(NOW + IDEMPOTENCE_LIFETIME_MS))
    assert await store.read(AnswerTo(b"request", b"digest")) is None


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
        store.submit(Accept(deposit(item(1, one.mailbox)))),
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
    packages_are_issued_in_order_and_once,
    claims_at_once_get_different_packages,
    a_repeated_upload_changes_nothing,
    another_device_may_use_the_same_upload_id,
    refused_uploads_change_nothing,
    expired_packages_are_not_served,
    expired_packages_leave_room,
    the_first_suite_that_a_device_has_is_served,
    a_last_resort_package_is_replaced_within_its_suite,
    suites_long_left_make_room,
    an_answer_is_given_again,
    prune_forgets_invites,
    refusals_leave_the_neighbours_alone,
    peers_are_saved_and_forgotten,
    peers_heard_of_make_room,
]
