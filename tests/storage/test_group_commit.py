"""Group commit under trio, in the thread that nodes have for it."""

import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import trio
import trio.testing

from waypost.errors import Code, LocalError, Refused, WaypostError
from waypost.limits import COMMIT_MAX_BYTES, COMMIT_MAX_OPERATIONS
from waypost.storage.feed import Feed
from waypost.storage.operations.base import Operation
from waypost.storage.operations.changes import Change, Look, Subject
from waypost.storage.pending import Pending, to_stderr
from waypost.storage.sqlite import schema, seam
from waypost.storage.sqlite.commit import COMPANY_S, GroupCommit, Haste
from waypost.storage.sqlite.mail_state import MailState
from waypost.storage.sqlite.transactions import Connection, Disk, Transactions, in_thread


class Own(Operation[Any]):
    """One of this test's own."""

    size = 1
    haste = Haste.NOW

    def do(self, conn: sqlite3.Connection) -> Any:
        raise NotImplementedError


class Gate(Own):
    """Keeps the database thread until it is let go."""

    def __init__(self) -> None:
        self.entered = trio.Event()
        self._token = trio.lowlevel.current_trio_token()
        self._open = threading.Event()

    def do(self, conn: sqlite3.Connection) -> None:
        self._token.run_sync_soon(self.entered.set)
        assert self._open.wait(30)

    def open(self) -> None:
        self._open.set()


class Row(Own):
    """Writes a row and notes it."""

    def __init__(self, name: str, ran: list[str], haste: Haste, size: int) -> None:
        self.name, self.ran, self.haste, self.size = name, ran, haste, size

    def do(self, conn: sqlite3.Connection) -> str:
        conn.execute("INSERT INTO meta (name, value) VALUES (?, 1)", (self.name,))
        self.ran.append(self.name)
        return self.name


class Raise(Own):
    """Comes to nothing."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def do(self, conn: sqlite3.Connection) -> None:
        raise self.error


def do(conn: sqlite3.Connection, _state: MailState, operation: Operation[Any], changes: list[Change]) -> Any:
    assert isinstance(operation, Own)
    changes.append(Look(Subject.MAIL))  # for `Bench.count`
    return operation.do(conn)


def burden(operation: Operation[Any]) -> tuple[int, Haste]:
    assert isinstance(operation, Own)
    return operation.size, operation.haste


class Bench:
    """A group commit on a file, and what it did."""

    def __init__(self, connection: aiosqlite.Connection, transactions: Transactions) -> None:
        self.connection = connection
        self.commits = 0
        self.feed = Feed(to_stderr)
        self.feed.add(self.count)
        self.commit = GroupCommit(connection, transactions, self.feed, burden)
        self.ran: list[str] = []

    def count(self, _changes: tuple[Change, ...]) -> None:
        self.commits += 1

    def submit(self, name: str, haste: Haste = Haste.NOW, size: int = 1) -> Pending[str]:
        return self.commit.submit(Row(name, self.ran, haste, size))

    async def shut(self) -> Gate:
        """A commit is under way until the gate is opened."""
        gate = Gate()
        self.commit.submit(gate)
        await gate.entered.wait()
        return gate

    async def begun(self) -> list[str]:
        """What ran of all that has been handed to the thread by now."""
        await in_thread(self.connection, lambda _conn: None)
        return self.ran

    async def written(self) -> list[str]:
        rows: Any = await in_thread(
            self.connection, lambda conn: conn.execute("SELECT name FROM meta ORDER BY name").fetchall()
        )
        return [name for (name,) in rows if name.startswith("row")]


async def _connect(path: Path) -> aiosqlite.Connection:
    return await aiosqlite.connect(path, isolation_level=None, factory=Connection)


@asynccontextmanager
async def bench(path: Path, disk: type[Disk] = Disk) -> AsyncIterator[Bench]:
    """It does not run yet, and is closed in the end."""
    connection = await seam.finished(_connect(path))
    try:
        await schema.prepare(in_thread, connection, path)
        made = Bench(connection, await in_thread(connection, Transactions, disk(path), do))
        try:
            yield made
        finally:
            await made.commit.close()
    finally:
        await seam.finished(connection.close())


@pytest.fixture
async def running(tmp_path: Path) -> AsyncIterator[Bench]:
    async with trio.open_nursery() as nursery, bench(tmp_path / "store.db") as made:
        nursery.start_soon(made.commit.run)
        yield made


async def fails(code: Code, pending: Pending[Any]) -> None:
    with pytest.raises(WaypostError) as caught:
        await pending
    assert caught.value.code is code


def names(count: int) -> list[str]:
    return [f"row {number:03}" for number in range(count)]


# ── order and groups ──────────────────────────────────────────────────────────────────────────────────────────────────


async def test_operations_take_effect_in_the_order_of_their_calls(running: Bench) -> None:
    gate = await running.shut()
    hastes = [Haste.NOW, Haste.WITH_OTHERS, Haste.WITH_OTHERS]
    waiting = [running.submit(name, hastes[number % 3]) for number, name in enumerate(names(50))]
    gate.open()
    assert await waiting[-1] == names(50)[-1]
    assert all(pending.done for pending in waiting)
    assert [await pending for pending in waiting] == running.ran == await running.written() == names(50)
    assert running.commits == 2


async def test_waiters_learn_in_order(running: Bench) -> None:
    learnt: list[str] = []

    async def learn(pending: Pending[str]) -> None:
        learnt.append(await pending)

    gate = await running.shut()
    async with trio.open_nursery() as nursery:
        # One a group, as each is as large as a group may be.
        for name in names(5):
            nursery.start_soon(learn, running.submit(name, size=COMMIT_MAX_BYTES))
        gate.open()
    assert learnt == names(5)
    assert running.commits == 6


async def test_a_group_is_bounded(running: Bench) -> None:
    gate = await running.shut()
    waiting = [running.submit(name) for name in names(COMMIT_MAX_OPERATIONS + 1)]
    gate.open()
    await waiting[-1]
    assert running.commits == 3


async def test_what_comes_in_one_tick_is_written_together(running: Bench) -> None:
    for name in ("row a", "row b"):
        running.submit(name)
    await running.submit("row c")
    assert running.commits == 1

    gate = await running.shut()
    for name in names(5):
        running.submit(name)
    gate.open()
    await running.submit("row d")
    assert running.commits == 3

    running.submit("row e")
    assert await running.submit("row f") == "row f"
    assert running.commits == 4


async def test_what_nobody_waits_for_has_company_or_some_time(
    running: Bench, mock_clock: trio.testing.MockClock
) -> None:
    alone = running.submit("row alone", Haste.WITH_OTHERS)
    mock_clock.jump(COMPANY_S * 0.9)
    await trio.testing.wait_all_tasks_blocked()
    assert await running.begun() == []
    mock_clock.jump(COMPANY_S * 0.2)
    assert await alone == "row alone"

    running.submit("row first", Haste.WITH_OTHERS)
    mock_clock.jump(COMPANY_S * 0.5)
    await running.submit("row other")
    assert running.ran[1:] == ["row first", "row other"]
    assert running.commits == 2

    running.submit("row later", Haste.WITH_OTHERS)
    mock_clock.jump(COMPANY_S * 0.6)
    await trio.testing.wait_all_tasks_blocked()
    assert len(await running.begun()) == 3
    latest = running.submit("row latest", Haste.WITH_OTHERS)
    mock_clock.jump(COMPANY_S * 0.6)
    assert await latest == "row latest"
    assert running.commits == 3


# ── cancellation and closing ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_waiter_is_cancelled_and_its_transaction_is_not(running: Bench) -> None:
    gate = await running.shut()
    pending = running.submit("row 1")

    async def wait() -> None:
        await pending

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()
    assert not pending.done
    gate.open()
    assert await pending == "row 1"
    assert await running.written() == ["row 1"]


async def test_closing_writes_what_was_submitted_before_it_and_takes_no_more(tmp_path: Path) -> None:
    async with bench(tmp_path / "store.db") as made, trio.open_nursery() as nursery:
        nursery.start_soon(made.commit.run)
        gate = await made.shut()
        waiting = [made.submit(name, Haste.WITH_OTHERS, COMMIT_MAX_BYTES // 3) for name in names(20)]
        async with trio.open_nursery() as closing:
            closing.start_soon(made.commit.close)
            await trio.testing.wait_all_tasks_blocked()
            with pytest.raises(LocalError) as caught:
                made.submit("row late")
            assert caught.value.code is Code.NOT_RUNNING
            # Neither does it end sooner when all around it is cancelled.
            nursery.cancel_scope.cancel()
            gate.open()
        assert all(pending.done for pending in waiting)
        await made.commit.close()
    assert made.ran == names(20)


async def test_it_runs_until_it_is_closed_whatever_is_cancelled(
    tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    async with bench(tmp_path / "store.db") as made, trio.open_nursery() as nursery:
        nursery.start_soon(made.commit.run)
        nursery.cancel_scope.cancel()
        with trio.CancelScope(shield=True):
            for name in names(2):
                pending = made.submit(name, Haste.WITH_OTHERS)
                await trio.testing.wait_all_tasks_blocked()
                mock_clock.jump(COMPANY_S)
                assert await pending == name
            assert len(nursery.child_tasks) == 1
            await made.commit.close()


async def test_closing_does_not_wait_for_company_and_comes_after_a_tick(running: Bench) -> None:
    gate = await running.shut()
    for name in names(9):
        running.submit(name)
    gate.open()
    await running.submit("row a")
    due = running.submit("row b")
    await running.commit.close()
    assert due.done
    assert await running.written() == [*names(9), "row a", "row b"]


async def test_closing_what_has_nothing_to_write(running: Bench) -> None:
    await running.commit.close()
    await running.commit.close()
    assert running.commits == 0


# ── trouble ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_operation_that_fails_fails_alone(running: Bench) -> None:
    gate = await running.shut()
    good, twice = running.submit("row 1"), running.submit("row 1")
    refused = running.commit.submit(Raise(Refused(Code.STORE_FULL, "no more")))
    later = running.submit("row 2")
    gate.open()
    assert await good == "row 1"
    await fails(Code.STORE_FULL, refused)
    await fails(Code.STATE_DAMAGED, twice)
    assert await later == "row 2"
    assert await running.written() == ["row 1", "row 2"]
    assert await running.submit("row 3") == "row 3"


async def test_a_database_that_fails_fails_the_group_and_goes_on(tmp_path: Path) -> None:
    class Broken(Disk):
        """Fails once."""

        def is_tight(self, conn: sqlite3.Connection) -> bool:
            self.is_tight = lambda _conn: False  # type: ignore[method-assign, assignment]
            raise sqlite3.DatabaseError("database disk image is malformed")

    async with trio.open_nursery() as nursery, bench(tmp_path / "store.db", Broken) as made:
        nursery.start_soon(made.commit.run)
        await fails(Code.STATE_DAMAGED, made.submit("row 1"))
        assert await made.submit("row 2") == "row 2"


@pytest.mark.parametrize("where", ["in the thread", "in the callback"])
async def test_a_fault_in_the_program_comes_out_of_run_and_leaves_nobody_waiting(where: str, tmp_path: Path) -> None:
    class Fault(Exception):
        pass

    def fault(*_arguments: object) -> None:
        raise Fault

    async with bench(tmp_path / "store.db") as made:
        raised: list[BaseException] = []

        async def run() -> None:
            with pytest.raises(Fault) as caught:
                await made.commit.run()
            raised.append(caught.value)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            gate = await made.shut()
            waiting: list[Pending[Any]]
            if where == "in the thread":
                waiting = [made.submit("row 1"), made.commit.submit(Raise(Fault()))]
            else:
                # What a take raises is only reported; but nothing takes a report's own fault.
                made.feed.report = fault
                made.feed.add(fault)
                waiting = [made.submit("row 1"), made.submit("row 2", size=COMMIT_MAX_BYTES)]
            gate.open()
            for pending in waiting:
                await fails(Code.NOT_RUNNING, pending)
        assert len(raised) == 1
        with pytest.raises(LocalError):
            made.submit("row 3")
        await made.commit.close()
