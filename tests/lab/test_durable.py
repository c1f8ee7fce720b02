"""Stores of the lab: as any store, and honest about crashes."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from tests.storage.conformance import check_store
from tests.storage.samples import BOB, NOW, bare, deposit, inbox, item, joined, package, packages, refuses, waiting

from waypost.errors import Code, LocalError, Refused
from waypost.limits import COMMIT_MAX_OPERATIONS
from waypost.storage.operations.base import Operation
from waypost.storage.operations.keys import AddPackages, IssuePackages
from waypost.storage.operations.mail import Accept
from waypost.storage.operations.mailboxes import MailboxKind, OpenMailbox
from waypost.storage.store import Store
from waypost_lab.durable import COMMIT_S, Disk, LabStore

Autojump = trio.testing.MockClock
_DISKS: dict[Path, Disk] = {}


@asynccontextmanager
async def opened(disk: Disk) -> AsyncIterator[LabStore]:
    async with trio.open_nursery() as nursery:
        store = await disk.open(random.Random(1))
        nursery.start_soon(store.run)
        yield store
        await store.close()


@asynccontextmanager
async def lab(path: Path) -> AsyncIterator[Store]:
    """What a path names survives, as a file does."""
    async with opened(_DISKS.setdefault(path, Disk())) as store:
        yield store


@pytest.mark.parametrize(
    "check", [pytest.param(check, id=name) for name, check in check_store(lab, durable=True).items()]
)
async def test_store(check: Callable[[Path], Awaitable[None]], tmp_path: Path, autojump_clock: Autojump) -> None:
    await check(tmp_path / "disk")


async def test_what_was_not_committed_is_gone_and_nobody_is_answered(autojump_clock: Autojump) -> None:
    disk = Disk()
    async with opened(disk) as store:
        bob = await inbox(store)
        answers: list[Any] = []

        async def ask() -> None:
            answers.append(await store.submit(deposit(item(1, bob))))

        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ask)
                await trio.testing.wait_all_tasks_blocked()
                store.crash()
                await trio.sleep(60)
                scope.cancel()
        assert answers == []
        # What is left of the process changes nothing any more.
        store.submit(deposit(item(2, bob)))
    async with opened(disk) as store:
        assert await waiting(store, bob) == []


async def test_what_was_committed_stays_although_nobody_was_told(autojump_clock: Autojump) -> None:
    disk, told = Disk(), []

    class Watch:
        def committed(self, operation: Operation[Any], result: Any) -> None:
            told.append(type(operation))
            if isinstance(operation, Accept):
                store.crash()

    async with trio.open_nursery() as nursery:
        store = LabStore(disk, random.Random(1), Watch())
        nursery.start_soon(store.run)
        bob = await inbox(store)
        with trio.move_on_after(60) as scope:
            await store.submit(deposit(item(1, bob)))
        assert scope.cancelled_caught
        assert told == [OpenMailbox, Accept]
        assert store.unanswered == 1
    async with opened(disk) as store:
        assert await waiting(store, bob) == bare(item(1))
        assert (await store.submit(deposit(item(1, bob)))).duplicates == 1


async def test_closing_answers_everything_and_refuses_the_rest(autojump_clock: Autojump) -> None:
    disk = Disk()
    async with opened(disk) as store:
        bob = await inbox(store)
        pending = [store.submit(deposit(item(number, bob))) for number in range(3 * COMMIT_MAX_OPERATIONS)]
        await store.close()
        assert store.unanswered == 0
        for each in pending:
            assert (await each).duplicates == 0
        with pytest.raises(LocalError) as caught:
            store.submit(deposit(item(1, bob)))
        assert caught.value.code is Code.NOT_RUNNING


async def test_a_commit_takes_as_long_as_the_disk(autojump_clock: Autojump) -> None:
    disk = Disk()
    async with opened(disk) as store:
        for commit_s in (COMMIT_S, 1.0):
            disk.commit_s = commit_s
            began = trio.current_time()
            await store.submit(OpenMailbox(MailboxKind.PEER, "a.example"))
            assert 0.5 * commit_s <= trio.current_time() - began <= 1.5 * commit_s
        # Many together take as long as one.
        began = trio.current_time()
        pending = [store.submit(OpenMailbox(MailboxKind.PEER, f"p{number}.example")) for number in range(100)]
        for each in pending:
            await each
        assert trio.current_time() - began <= 1.5


async def test_a_full_disk_refuses_until_there_is_room(autojump_clock: Autojump) -> None:
    disk = Disk()
    async with opened(disk) as store:
        bob = await inbox(store)
        await store.submit(deposit(item(1, bob)))
        disk.fill()
        await refuses(Code.STORE_FULL, store.submit(deposit(item(2, bob))))
        assert await waiting(store, bob) == bare(item(1))
        disk.free()
        await store.submit(deposit(item(2, bob)))
        assert await waiting(store, bob) == bare(item(1), item(2))


async def test_a_backup_brings_back_what_was_there_under_a_new_epoch(autojump_clock: Autojump) -> None:
    disk = Disk()
    async with opened(disk) as store:
        bob = await inbox(store)
        one = await joined(store)
        await store.submit(AddPackages(one.key, b"a" * 16, NOW, packages([1, 2]), package(9)))
        await store.submit(deposit(item(1, bob)))
        backup = disk.backup()
        await store.submit(deposit(item(2, bob)))
        assert [issued.state for issued in await store.submit(IssuePackages(BOB, ["seal.1"], NOW))] == ["one-time"]
        epoch = store.epoch
    disk.restore(backup)
    async with opened(disk) as store:
        assert await waiting(store, bob) == bare(item(1))
        assert store.epoch != epoch
        # What may have been given out since is not given out again.
        assert [issued.state for issued in await store.submit(IssuePackages(BOB, ["seal.1"], NOW))] == ["last-resort"]
        await store.submit(deposit(item(3, bob)))
    disk.restore(backup)
    async with opened(disk) as store:
        assert await waiting(store, bob) == bare(item(1))


async def test_a_refusal_is_told_as_one(autojump_clock: Autojump) -> None:
    results: list[Any] = []

    class Watch:
        def committed(self, operation: Operation[Any], result: Any) -> None:
            results.append(result)

    async with trio.open_nursery() as nursery:
        store = LabStore(Disk(), random.Random(1), Watch())
        nursery.start_soon(store.run)
        await refuses(Code.FORBIDDEN, store.submit(AddPackages(b"nobody", b"u" * 16, NOW, packages([1]), None)))
        await store.close()
    assert [type(result) for result in results] == [Refused]
