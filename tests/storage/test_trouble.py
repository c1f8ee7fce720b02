"""What those who listen to a store raise is reported, and stops nobody else."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest
from tests.storage import engines
from tests.storage.samples import NOW, deposit, inbox, item, waiting

from waypost.errors import WaypostError
from waypost.ids import User
from waypost.storage.operations.accounts import AddAccount
from waypost.storage.operations.changes import Change
from waypost.storage.pending import Report
from waypost.storage.store import Store

Open = Callable[[Path, Report], AbstractAsyncContextManager[Store]]


class Bad(Exception):
    """Of this test."""


@pytest.mark.parametrize("engine", [engines.memory, engines.sqlite])
async def test_a_take_that_raises(engine: Open, tmp_path: Path) -> None:
    reported: list[Exception] = []
    taken: list[Change] = []

    def bad(_changes: tuple[Change, ...]) -> None:
        raise Bad

    async with engine(tmp_path / "store.db", reported.append) as store:
        bob = await inbox(store)
        store.changes(bad)
        store.changes(taken.extend)
        placed = [(await store.submit(deposit(item(number, bob)))).placed[0] for number in range(3)]
        assert taken == placed
        assert [type(error) for error in reported] == [Bad] * 3
        assert await waiting(store, bob) == [item(number).envelope for number in range(3)]


@pytest.mark.parametrize("engine", [engines.memory, engines.sqlite])
async def test_a_callback_that_raises(engine: Open, tmp_path: Path) -> None:
    reported: list[Exception] = []
    called: list[str] = []

    def bad(_answer: object) -> None:
        called.append("bad")
        raise Bad

    def worse(error: WaypostError) -> None:
        called.append(error.code.name)
        raise Bad

    async with engine(tmp_path / "store.db", reported.append) as store:
        pending = store.submit(AddAccount(User("bob"), NOW))
        pending.then(bad, worse)
        pending.then(lambda _: called.append("good"), worse)
        store.submit(AddAccount(User("bob"), NOW)).then(bad, worse)
        await store.submit(AddAccount(User("carol"), NOW))
        await pending
    assert called == ["bad", "good", "USER_EXISTS"]
    assert [type(error) for error in reported] == [Bad, Bad]
