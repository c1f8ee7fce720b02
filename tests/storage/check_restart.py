"""What a Store that outlives its process must still know when it is opened again."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from tests.storage.samples import (
    BOB,
    MANY,
    NOW,
    bare,
    check_usage,
    deposit,
    held_back,
    inbox,
    item,
    joined,
    outcome,
    package,
    packages,
    peer,
    refuses,
    waiting,
    watch_usage,
)

from waypost.errors import Code
from waypost.protocol.custody.fate import Event
from waypost.storage.operations.accounts import AddDevice, AllAccounts, AllDevices
from waypost.storage.operations.keys import AddPackages, AnswerTo, IssuePackages, RememberAnswer
from waypost.storage.operations.mail import Fetch, Keep, Settle, Trace, TraceOf
from waypost.storage.operations.peers import AllPeers, SavePeer
from waypost.storage.store import Store

Make = Callable[[Path], AbstractAsyncContextManager[Store]]


async def mail_survives_a_restart(make: Make, path: Path) -> None:
    async with make(path) as store:
        bob, carol = await inbox(store, 1), await inbox(store, 2)
        await store.submit(deposit(item(1, bob, carol), item(2, bob, carol)))
        [(_, parcel)] = (await store.submit(deposit(item(3, bob), item(4, bob)))).placed
        await store.submit(
            Settle(
                bob,
                [],
                [Keep(parcel.seq, (1,), NOW + 10)],
                [Trace(NOW + 1, Event.DEFERRED, "x", 204, item(4).id)],
                [(carol, [outcome(item(3))])],
                NOW + 99,
            )
        )
        reports = await store.read(Fetch(carol, 0, MANY, MANY))
    async with make(path) as store:
        await watch_usage(store)
        assert await waiting(store, bob) == bare(item(1), item(2))
        assert await held_back(store, bob) == bare(item(4))
        assert await store.read(Fetch(carol, 0, MANY, MANY)) == reports
        assert [row.event for row in await store.read(TraceOf(item(4).id))] == ["accepted", "queued", "deferred"]
        assert (await store.submit(deposit(item(1, bob), item(4, bob), item(3, bob)))).duplicates == 3
        await check_usage(store)
        [(_, later)] = (await store.submit(deposit(item(5, bob)))).placed
        assert later.seq > max(parcel.seq, reports[-1].seq)
        assert await inbox(store, 1) == bob


async def the_directory_survives_a_restart(make: Make, path: Path) -> None:
    async with make(path) as store:
        one = await joined(store)
        await store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([1, 2]), package(9)))
        await store.submit(IssuePackages(BOB, ["seal.1"], NOW))
        await store.submit(SavePeer(peer(1, b"k" * 32)))
        await store.submit(RememberAnswer(b"request", b"digest", b"answer", NOW))
        accounts, epoch = await store.read(AllAccounts()), store.epoch
    async with make(path) as store:
        assert await store.read(AllAccounts()) == accounts
        assert await store.read(AllDevices()) == [one]
        assert await store.submit(AddDevice(b"token 1", one, b"list 1")) == one
        assert await store.read(AllPeers()) == [peer(1, b"k" * 32)]
        assert await store.read(AnswerTo(b"request", b"digest")) == b"answer"
        assert store.epoch == epoch
        await refuses(Code.CONFLICT, store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([3]), None)))
        assert [issued.package for issued in await store.submit(IssuePackages(BOB, ["seal.1"], NOW))] == [b"package 2"]


async def closing_finishes_what_was_called(make: Make, path: Path) -> None:
    async with make(path) as store:
        bob = await inbox(store)
        for number in range(50):
            store.submit(deposit(item(number, bob)))
        await store.close()
        await store.close()
    async with make(path) as store:
        assert await waiting(store, bob) == bare(*(item(number) for number in range(50)))


CHECKS: list[Callable[[Make, Path], Awaitable[None]]] = [
    mail_survives_a_restart,
    the_directory_survives_a_restart,
    closing_finishes_what_was_called,
]
