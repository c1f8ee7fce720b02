"""What aiosqlite asks of an event loop, and that the seam gives it exactly that."""

import asyncio
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
import trio

from waypost.errors import Code, LocalError
from waypost.storage.sqlite import seam
from waypost.storage.sqlite.engine import open_store


async def connect(path: Path | str) -> aiosqlite.Connection:
    return await aiosqlite.connect(path)


def watched(kind: type[Any], asked: set[str]) -> type[Any]:
    """The same, and notes which of its attributes others than the seam look up."""

    def look_up(self: object, name: str) -> object:
        if sys._getframe(1).f_globals["__name__"] != seam.__name__:
            asked.add(name)
        return object.__getattribute__(self, name)

    return type(kind.__name__, (kind,), {"__getattribute__": look_up})


async def test_aiosqlite_asks_for_what_the_seam_has_and_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    of_loops: set[str] = set()
    of_futures: set[str] = set()
    monkeypatch.setattr(seam, "_Loop", watched(seam._Loop, of_loops))
    monkeypatch.setattr(seam, "_Future", watched(seam._Future, of_futures))

    with pytest.raises(sqlite3.OperationalError, match="unable to open"):
        await seam.finished(connect(tmp_path / "none" / "store.db"))
    one, other = await seam.finished(connect(tmp_path / "one.db")), await seam.finished(connect(":memory:"))
    await seam.finished(one.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (1);"))
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        await seam.finished(one.execute_fetchall("nonsense"))
    await seam.finished(one.backup(other))
    assert list(await seam.finished(other.execute_fetchall("SELECT x FROM t"))) == [(1,)]
    await seam.finished(one.close())
    await seam.finished(other.close())

    assert of_loops == {"create_future", "call_soon_threadsafe"}
    assert of_futures == {"get_loop", "done", "set_result", "set_exception"}


async def test_what_the_seam_has_not_is_named() -> None:
    async def of_the_loop() -> None:
        asyncio.get_running_loop().call_later(1, print)

    async def of_asyncio() -> None:
        await asyncio.sleep(0)

    with pytest.raises(AttributeError, match="call_later"):
        await seam.finished(of_the_loop())
    with pytest.raises(RuntimeError, match="only asyncio has: None"):
        await seam.finished(of_asyncio())


async def test_the_loop_runs_only_while_its_coroutine_does() -> None:
    loops: list[object] = []

    async def look() -> None:
        loops.append(asyncio.get_running_loop())

    def then(_value: None, _error: BaseException | None) -> None:
        with pytest.raises(RuntimeError, match="no running event loop"):
            asyncio.get_running_loop()
        loops.append(None)

    seam.start(look(), then)
    assert len(loops) == 2
    assert loops[1] is None


async def test_a_coroutine_has_not_ended_before_all_its_futures_are_answered() -> None:
    left: list[Any] = []
    ends: list[BaseException | None] = []

    async def leaves_a_call_behind() -> None:
        left.append(asyncio.get_running_loop().create_future())
        raise ValueError

    seam.start(leaves_a_call_behind(), lambda _value, error: ends.append(error))
    assert ends == []
    left[0].set_result(None)
    assert [type(error) for error in ends] == [ValueError]


async def test_cancelling_does_not_lose_an_answer() -> None:
    connection = await seam.finished(connect(":memory:"))
    with trio.CancelScope() as scope:
        scope.cancel()
        assert list(await seam.finished(connection.execute_fetchall("SELECT 7"))) == [(7,)]
        await seam.finished(connection.close())
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


@pytest.mark.parametrize("name", ["missing/store.db", "damaged.db"])
def test_a_store_that_cannot_be_opened_leaves_no_thread(name: str, tmp_path: Path) -> None:
    (tmp_path / "damaged.db").write_bytes(b"not a database" * 100)
    before = set(threading.enumerate())

    async def main() -> None:
        async with open_store(tmp_path / name):
            raise AssertionError

    with pytest.raises(LocalError) as caught:
        trio.run(main)
    assert caught.value.code is Code.STATE_DAMAGED
    for thread in set(threading.enumerate()) - before:
        if "trio" not in thread.name.lower():
            thread.join(10)
            assert not thread.is_alive()


async def test_a_store_that_is_closed_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    async with open_store(tmp_path / "store.db"):
        begun = set(threading.enumerate()) - before
        assert len(begun) == 2
    for thread in begun:
        thread.join(10)
        assert not thread.is_alive()
