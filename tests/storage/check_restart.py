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
)

from waypost.errors import Code
from waypost.storage.store import Keep, Settlement, Store, Trace

Make = Callable[[Path], AbstractAsyncContextManager[Store]]


async def mail_survives_a_restart(make: Make, path: Path) -> None:
    async with make(path) as store:
        bob, carol = await inbox(store, 1), await inbox(store, 2)
        await store.accept(deposit(item(1, bob, carol), item(2, bob, carol)))
        [(_, parcel)] = (await store.accept(deposit(item(3, bob), item(4, bob)))).placed
        await store.settle(
            Settlement(
                bob,
                [],
                [Keep(parcel.seq, (1,), NOW + 10)],
                [Trace(NOW + 1, "waiting", "x", 204, item(4).id)],
                [(carol, [outcome(item(3))])],
                NOW + 99,
            )
        )
        reports = await store.fetch(carol, 0, MANY, MANY)
    async with make(path) as store:
        assert await waiting(store, bob) == bare(item(1), item(2))
        assert await held_back(store, bob) == bare(item(4))
        assert await store.fetch(carol, 0, MANY, MANY) == reports
        assert [row.event for row in await store.trace(item(4).id)] == ["accepted", "queued", "waiting"]
        assert (await store.accept(deposit(item(1, bob), item(4, bob), item(3, bob)))).duplicates == 3
        await check_usage(store)
        [(_, later)] = (await store.accept(deposit(item(5, bob)))).placed
        assert later.seq > max(parcel.seq, reports[-1].seq)
        assert await inbox(store, 1) == bob


async def the_directory_survives_a_restart(make: Make, path: Path) -> None:
    async with make(path) as store:
        one = await joined(store)
        await store.publish(one.key, b"a" * 16, NOW, packages([1, 2]), package(9))
        await store.claim(BOB, ["seal.1"], NOW)
        await store.save_peer(peer(1, b"k" * 32))
        await store.remember_answer(b"request", b"digest", b"answer", NOW)
        accounts, epoch = await store.accounts(), store.epoch()
    async with make(path) as store:
        assert await store.accounts() == accounts
        assert await store.devices() == [one]
        assert await store.join(b"token 1", one, b"list 1") == one
        assert await store.peers() == [peer(1, b"k" * 32)]
        assert await store.answered(b"request", b"digest") == b"answer"
        assert store.epoch() == epoch
        await refuses(Code.CONFLICT, store.publish(one.key, b"a" * 16, NOW, packages([3]), None))
        assert [issued.package for issued in await store.claim(BOB, ["seal.1"], NOW)] == [b"package 2"]


async def closing_finishes_what_was_called(make: Make, path: Path) -> None:
    async with make(path) as store:
        bob = await inbox(store)
        for number in range(50):
            store.accept(deposit(item(number, bob)))
        await store.close()
        await store.close()
    async with make(path) as store:
        assert await waiting(store, bob) == bare(*(item(number) for number in range(50)))


CHECKS: list[Callable[[Make, Path], Awaitable[None]]] = [
    mail_survives_a_restart,
    the_directory_survives_a_restart,
    closing_finishes_what_was_called,
]
