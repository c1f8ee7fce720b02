"""A node and its state directory: held once, of a version that is known, on a disk that may be full."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import trio
from scripts.support.nodes import Node
from tests.process.support import arrived, killed, peer_at, people, start, until, waypost

from waypost.errors import Code


def run(node: Node) -> subprocess.CompletedProcess[str]:
    """A try to start it that is expected to end by itself."""
    command = [sys.executable, "-m", "waypost", "run", "--state", str(node.state.path)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def is_one_line(ran: subprocess.CompletedProcess[str], code: Code) -> bool:
    """Whether it told the operator this, what to do about it, and no more."""
    return len(ran.stderr.strip().splitlines()) == 1 and f"[{code.number}]" in ran.stderr and code.remedy in ran.stderr


def test_a_database_from_the_future_is_left_alone(tmp_path: Path) -> None:
    node = Node("birdy.local", tmp_path)
    node.start()
    node.stop()
    with closing(sqlite3.connect(node.state.database)) as database:
        database.execute("UPDATE meta SET value = 999 WHERE name = 'schema'")
        database.commit()
        before = list(database.iterdump())
    ran = run(node)
    assert ran.returncode == 5
    assert is_one_line(ran, Code.STATE_TOO_NEW), ran.stderr
    assert "999" in ran.stderr
    with closing(sqlite3.connect(node.state.database)) as database:
        assert list(database.iterdump()) == before


def test_a_second_node_is_told_who_holds_the_state(tmp_path: Path) -> None:
    node = Node("birdy.local", tmp_path)
    node.start()
    try:
        ran = run(node)
        assert ran.returncode == 5
        assert is_one_line(ran, Code.STATE_IN_USE), ran.stderr
        assert f"process {node.pid}" in ran.stderr
        assert node.invite("alice"), "the first one does not answer any more"
    finally:
        killed(node)
    # A crash leaves nothing that has to be cleared away.
    node.start()
    node.stop()


# ── a full disk ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    where = tmp_path / "disk"
    where.mkdir()
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("a file system of its own needs Linux and root")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(where)], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a file system here: {mounted.stderr.strip()}")
    try:
        yield where
    finally:
        subprocess.run(["umount", "--lazy", str(where)], check=True)


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Not a byte is free on it while the block runs."""
    ballast = disk / "ballast"
    subprocess.run(["dd", "if=/dev/zero", f"of={ballast}", "bs=64k"], capture_output=True, check=False)
    yield
    ballast.unlink()


async def meet(birdy: Node, finch: Node) -> None:
    await start(finch)
    birdy.reconfigure(peer_at("finch.local", finch.port))
    await start(birdy)


async def test_a_full_disk_puts_senders_off_and_loses_nothing(small_disk: Path, tmp_path: Path) -> None:
    finch, birdy = Node("finch.local", tmp_path), Node("birdy.local", small_disk)
    birdy.log = tmp_path / "birdy.log"
    try:
        await meet(birdy, finch)
        async with people(birdy, finch) as (alice, book):
            alice.allow(100)
            await arrived(book, 100)
            await trio.to_thread.run_sync(finch.kill)
            with filled(small_disk):
                alice.allow(20_000)
                await until(lambda: book.put_off[Code.STORE_FULL.number] > 100)
                assert set(book.put_off) == {Code.STORE_FULL.number}
                accepted = len(book.accepted)
                assert accepted < 20_000
                # The operator can still look.
                assert "birdy.local" in await waypost(birdy, "status")
                alice.allow(0)
            alice.allow(accepted + 500)
            await start(finch)
            await arrived(book, accepted, seconds=40)
            assert book.holds
            assert len(book.accepted) > accepted
    finally:
        killed(birdy, finch)


async def test_a_disk_that_mail_has_filled_is_emptied_by_delivering_it(small_disk: Path, tmp_path: Path) -> None:
    finch, birdy = Node("finch.local", tmp_path), Node("birdy.local", small_disk)
    birdy.log = tmp_path / "birdy.log"
    try:
        await meet(birdy, finch)
        async with people(birdy, finch) as (alice, book):
            alice.allow(100)
            await arrived(book, 100)
            await trio.to_thread.run_sync(finch.kill)
            alice.allow(60_000)
            await until(lambda: book.put_off[Code.STORE_FULL.number] > 0)
            assert set(book.put_off) == {Code.STORE_FULL.number}
            alice.allow(0)
            await start(finch)
            await arrived(book, len(book.letters), seconds=60)
            assert book.holds
    finally:
        killed(birdy, finch)


async def test_a_bounded_store_takes_up_again_by_itself(tmp_path: Path) -> None:
    finch = Node("finch.local", tmp_path)
    birdy = Node("birdy.local", tmp_path)
    try:
        await start(finch)
        birdy.reconfigure(peer_at("finch.local", finch.port), "storage_max_bytes = 3000000")
        await start(birdy)
        async with people(birdy, finch) as (alice, book):
            alice.allow(10)
            await arrived(book, 10)
            await trio.to_thread.run_sync(finch.kill)
            alice.allow(8_000)
            await until(lambda: book.put_off[Code.STORE_FULL.number] > 0)
            assert set(book.put_off) == {Code.STORE_FULL.number}
            assert len(book.accepted) < 8_000
            await start(finch)
            await arrived(book, 8_000, seconds=60)
            assert book.holds
    finally:
        killed(birdy, finch)
