"""All engines against the one suite, and what is particular to the one in memory."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from tests.storage import engines
from tests.storage.conformance import check_store
from tests.storage.samples import NOW, bare, deposit, inbox, item, joined, outcome, packages, refuses, waiting

from waypost.errors import Code, LocalError
from waypost.storage.memory.engine import MemoryStore
from waypost.storage.operations.keys import AddPackages, PackagesLeft
from waypost.storage.operations.mail import Settle
from waypost.storage.operations.mailboxes import AllMailboxes, MailboxKind, OpenMailbox

Check = Callable[[Path], Awaitable[None]]

ALL = [
    pytest.param(check, id=f"{engine}-{name}")
    for engine, checks in {
        "memory": check_store(engines.memory, durable=False),
        "sqlite": check_store(engines.sqlite, durable=True),
    }.items()
    for name, check in checks.items()
]


@pytest.mark.parametrize("check", ALL)
async def test_store(check: Check, tmp_path: Path) -> None:
    await check(tmp_path / "store.db")


async def test_a_full_memory_refuses_and_changes_nothing() -> None:
    one, two = item(1), item(2)
    store = MemoryStore(max_bytes=len(one.envelope) + len(two.envelope))
    device = await joined(store)
    bob = await inbox(store)
    await store.submit(deposit(one._replace(mailboxes=(bob,))))
    await refuses(Code.STORE_FULL, store.submit(deposit(item(2, bob), item(3, bob))))
    await refuses(Code.STORE_FULL, store.submit(Settle(bob, [1], reports=[(bob, [outcome(one)] * 9)])))
    await refuses(Code.STORE_FULL, store.submit(AddPackages(device.key, b"u" * 16, NOW, packages(range(50)), None)))
    assert await waiting(store, bob) == bare(one)
    assert await store.read(PackagesLeft(device.key, NOW)) == 0
    assert (await store.submit(deposit(item(2, bob)))).duplicates == 0
    await store.submit(Settle(bob, [1]))
    assert await waiting(store, bob) == bare(two)


async def test_a_memory_store_has_no_backup(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as caught:
        await MemoryStore().backup(tmp_path / "copy")
    assert caught.value.code is Code.UNSUPPORTED


async def test_an_operation_takes_effect_when_it_is_submitted() -> None:
    store = MemoryStore()
    store.submit(OpenMailbox(MailboxKind.PEER, "finch.example"))
    assert [info.owner for info in await store.read(AllMailboxes())] == ["finch.example"]
