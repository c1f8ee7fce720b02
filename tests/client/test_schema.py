"""The profile's database is brought to the newest schema, and a crash on the way loses nothing."""

import asyncio
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from enum import Enum
from pathlib import Path

import anyio
import pytest
from tests.client.node import Node
from tests.client.old_schema import NEWEST, contents, make_old
from tests.client.support import BACKENDS, on

from waypost.client import connect
from waypost.client.mail.history import SendStage
from waypost.client.parts import in_a_thread
from waypost.client.profile import schema
from waypost.client.profile.database import open_database
from waypost.client.schemes.own_packages import UploadState
from waypost.errors import Code, LocalError, Refused
from waypost.limits import SCHEMA_COPY_KEPT_MS
from waypost.protocol.custody.fate import State


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as conn:
        return schema.version(conn)


def open_and_close(path: Path, now_ms: int = 0) -> None:
    database = open_database(path, in_a_thread, now_ms)
    database._connection.close()


def copies(profile: Path) -> list[Path]:
    return list(profile.glob("*.before-*"))


def test_an_old_database_keeps_all_it_has(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    make_old(path)
    before = contents(path)
    open_and_close(path)
    assert version_of(path) == NEWEST
    assert contents(path) == before
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []


def test_a_copy_of_the_old_database_stays_for_a_time(tmp_path: Path) -> None:
    path, copy = tmp_path / "state.db", tmp_path / f"state.db.before-{NEWEST}"
    make_old(path)
    before = contents(path)
    open_and_close(path)
    assert version_of(copy) == 1
    assert contents(copy) == before
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    made_ms = copy.stat().st_mtime_ns // 1_000_000
    open_and_close(path, made_ms + SCHEMA_COPY_KEPT_MS)
    assert copy.exists()
    open_and_close(path, made_ms + SCHEMA_COPY_KEPT_MS + 1)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_new_database_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    open_and_close(path)
    assert version_of(path) == NEWEST
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    async def scene(node: Node, profile: Path) -> None:
        with closing(sqlite3.connect(profile / "state.db")) as conn:
            conn.execute(f"PRAGMA user_version = {NEWEST + 1}")
        before = (profile / "state.db").read_bytes()
        with pytest.raises(LocalError) as error:
            async with connect(profile, parts=node.parts()):
                raise AssertionError
        assert error.value.code is Code.STATE_TOO_NEW
        assert f"schema {NEWEST + 1}, this version knows up to {NEWEST}" in str(error.value)
        assert (profile / "state.db").read_bytes() == before
        assert copies(profile) == []

    on("virtual", scene, tmp_path)


def test_without_room_for_the_copy_nothing_is_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.db"
    make_old(path)
    before = contents(path)

    def full(_: Path) -> None:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(schema, "sync", full)
        with pytest.raises(Refused) as refused:
            open_and_close(path)
    assert refused.value.code is Code.STORE_FULL
    assert version_of(path) == 1
    open_and_close(path)
    assert contents(path) == before


#: Upgrades in a child that is killed before its `n`-th statement, for every n until one lives.
_KILL = """
import os, shutil, signal, sqlite3, sys
from pathlib import Path
from waypost.client.profile import schema

old, where = map(Path, sys.argv[1:])
n = 0
while True:
    n += 1
    profile = where / str(n)
    shutil.copytree(old, profile)
    child = os.fork()
    if child == 0:
        conn = sqlite3.connect(profile / "state.db", isolation_level=None)
        seen = 0
        def kill(_):
            global seen
            seen += 1
            if seen == n:
                os.kill(os.getpid(), signal.SIGKILL)
        conn.set_trace_callback(kill)
        # A small cache, so that changes are in the log long before the commit.
        conn.execute("PRAGMA cache_size = 1")
        conn.execute("PRAGMA foreign_keys = ON")
        schema.upgrade(conn, profile / "state.db")
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
print(n)
"""


def test_killed_at_any_statement_it_has_not_happened(tmp_path: Path) -> None:
    old, where = tmp_path / "old", tmp_path / "killed"
    old.mkdir()
    where.mkdir()
    make_old(old / "state.db")
    before = contents(old / "state.db")
    ran = subprocess.run([sys.executable, "-c", _KILL, old, where], capture_output=True, text=True, check=True)
    kills = int(ran.stdout) - 1
    assert kills > 20
    for n in range(1, kills + 1):
        path = where / str(n) / "state.db"
        assert version_of(path) == 1
        assert contents(path) == before
        open_and_close(path)
        assert version_of(path) == NEWEST
        assert contents(path) == before
        assert contents(path.with_name(f"state.db.before-{NEWEST}")) == before


@pytest.fixture
def slow_copy(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """The upgrade says when it is under way, and goes on when it may."""
    begun, may_go_on = threading.Event(), threading.Event()
    copy = schema._copy

    def slow(path: Path, target: Path) -> None:
        copy(path, target)
        begun.set()
        assert may_go_on.wait(60)

    monkeypatch.setattr(schema, "_copy", slow)
    return begun, may_go_on


def make_profile_old(profile: Path) -> None:
    for path in profile.glob("state.db*"):
        path.unlink()
    make_old(profile / "state.db")


@pytest.mark.parametrize("backend", BACKENDS)
def test_cancelled_meanwhile_nothing_is_lost(
    backend: str, tmp_path: Path, slow_copy: tuple[threading.Event, threading.Event]
) -> None:
    begun, may_go_on = slow_copy

    async def scene(node: Node, profile: Path) -> None:
        make_profile_old(profile)
        before = contents(profile / "state.db")

        async def open_it() -> None:
            async with connect(profile, parts=node.parts()):
                await anyio.sleep_forever()

        node.up = False
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_it)
            assert await in_a_thread(lambda: begun.wait(60))
            tasks.cancel_scope.cancel()
            may_go_on.set()
        assert contents(profile / "state.db") == before
        async with connect(profile, parts=node.parts()):
            pass
        assert contents(profile / "state.db") == before
        assert version_of(profile / "state.db") == NEWEST

    on(backend, scene, tmp_path)


def test_cancelled_by_asyncio_itself_nothing_is_lost(
    tmp_path: Path, slow_copy: tuple[threading.Event, threading.Event]
) -> None:
    """Its own cancellation goes through every shield: the profile is let go while the thread is at work."""
    begun, may_go_on = slow_copy

    async def scene(node: Node, profile: Path) -> None:
        make_profile_old(profile)
        before = contents(profile / "state.db")
        node.up = False

        async def open_it() -> None:
            async with connect(profile, parts=node.parts()):
                pass

        task = asyncio.create_task(open_it())
        assert await in_a_thread(lambda: begun.wait(60))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        again = asyncio.create_task(open_it())
        may_go_on.set()
        await again
        assert contents(profile / "state.db") == before
        assert version_of(profile / "state.db") == NEWEST

    on("asyncio", scene, tmp_path)


# ── closed sets of words ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("table", "column", "words"),
    [("status", "state", State), ("recipient", "stage", SendStage), ("upload", "state", UploadState)],
)
def test_the_database_takes_the_words_of_the_code_and_no_others(
    table: str, column: str, words: type[Enum], tmp_path: Path
) -> None:
    open_and_close(tmp_path / "state.db")
    with closing(sqlite3.connect(tmp_path / "state.db")) as conn:
        (sql,) = conn.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    if between := re.search(rf"CHECK \({column} BETWEEN (\d+) AND (\d+)\)", sql):
        listed = set(map(str, range(int(between[1]), int(between[2]) + 1)))
    else:
        found = re.search(rf"CHECK \({column} IN \((.*?)\)\)", sql, re.DOTALL)
        assert found is not None
        listed = {word.strip().strip("'") for word in found[1].split(",")}
    assert listed == {str(word.value) for word in words}
