"""The key directory, as every Store must keep them."""

from collections.abc import Awaitable, Callable

from tests.storage.samples import (
    BOB,
    CAROL,
    NOW,
    joined,
    package,
    packages,
    refused,
    refuses,
)

from waypost.errors import Code
from waypost.ids import User
from waypost.limits import (
    IDEMPOTENCE_LIFETIME_MS,
    PACKAGES_PER_DEVICE_MAX,
    SUITES_PER_CLAIM_MAX,
)
from waypost.protocol.directory.package import PackageState
from waypost.storage.operations.keys import AddPackages, AnswerTo, Issued, IssuePackages, PackagesLeft, RememberAnswer
from waypost.storage.operations.mail import Prune
from waypost.storage.store import Store

SEAL, MLS = "seal.1", "mls.1"


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


CHECKS: list[Callable[[Store], Awaitable[None]]] = [
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
]
