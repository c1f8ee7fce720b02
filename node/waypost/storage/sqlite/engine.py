"""The Store in a SQLite file, through aiosqlite. Writes go by `commit`; reads have a connection of their own (WAL)."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
import trio

from waypost.clock import WallMs
from waypost.errors import Code, LocalError, Refused
from waypost.ids import Provider, User
from waypost.storage.sqlite import directory as sql_directory
from waypost.storage.sqlite import mail as sql_mail
from waypost.storage.sqlite import schema, seam
from waypost.storage.sqlite.commit import Connection, Disk, GroupCommit, Haste, Transactions, in_thread, translated
from waypost.storage.store import (
    Accepted,
    Account,
    Deposit,
    Device,
    Issued,
    MailboxInfo,
    MailboxKind,
    Parcel,
    PeerRow,
    Placed,
    Settlement,
    Store,
    StoredPackage,
    Trace,
    Usage,
)

T = TypeVar("T")

#: 8 KiB pages waste less beside 1 KiB envelopes than 4 KiB ones. The WAL is folded back inline: a separate checkpointer
#: never finds it unused under steady writes, and it grows without bound.
_PRAGMAS = (
    "PRAGMA page_size = 8192",
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
    "PRAGMA foreign_keys = ON",
    "PRAGMA busy_timeout = 5000",
    "PRAGMA wal_autocheckpoint = 2000",
    "PRAGMA cache_size = -8192",
)
_VACUUM_PAGES = 2_000  #: given back in one go: some 100 ms of the writer's time


def _accept(conn: sqlite3.Connection, disk: Disk, mail: sql_mail.MailState, deposit: Deposit) -> Accepted:
    # Mail that filled the disk to the last byte could not be cleared away any more: that writes a little first.
    if disk.is_tight(conn):
        raise Refused(Code.STORE_FULL, "the disk is nearly full")
    return sql_mail.accept(conn, mail, deposit)


def _prune(conn: sqlite3.Connection, now_ms: WallMs) -> None:
    sql_mail.prune(conn, now_ms)
    sql_directory.prune(conn, now_ms)


def _tidy(conn: sqlite3.Connection) -> None:
    # executescript, since execute() steps a PRAGMA that returns rows only once on Python 3.11.
    conn.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES});")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def mailboxes(conn: sqlite3.Connection) -> list[MailboxInfo]:
    """See `Store`."""
    rows = conn.execute(
        "SELECT m.id, m.kind, m.owner, ifnull(sum(d.items), 0), ifnull(sum(d.bytes), 0), ifnull(min(d.expires_ms), 0) "
        "FROM mailbox AS m LEFT JOIN delivery AS d ON d.mailbox = m.id GROUP BY m.id ORDER BY m.id"
    )
    return [
        MailboxInfo(i, MailboxKind(kind), owner, Usage(n, size), oldest) for i, kind, owner, n, size, oldest in rows
    ]


class SqliteStore(Store):
    """See the module. Made by `open_store`."""

    def __init__(
        self, path: Path, writing: aiosqlite.Connection, reading: aiosqlite.Connection, disk: Disk | None = None
    ) -> None:
        self._path = path
        self._disk = disk or Disk(path)
        self._writing = writing
        self._reading = reading
        self._mail: sql_mail.MailState
        self._commits: GroupCommit
        self._epoch = 0
        self._usage: dict[int, list[int]] = {}

    async def start(self) -> None:
        """Read what is held in memory. Before anything else."""
        transactions = await in_thread(self._writing, Transactions, self._disk)
        self._mail = transactions.mail
        self._commits = GroupCommit(self._writing, transactions, self._count)
        self._usage = {mailbox: [*usage] for mailbox, usage in self._mail.usage.items()}
        self._epoch = await self._read(sql_directory.epoch)

    async def run(self) -> None:
        """The writing task; it ends after `close`."""
        await self._commits.run()

    def _count(self, changes: dict[int, list[int]]) -> None:
        for mailbox, (items, size) in changes.items():
            usage = self._usage.setdefault(mailbox, [0, 0])
            usage[0] += items
            usage[1] += size

    async def _read(self, run: Callable[..., T], *arguments: Any) -> T:
        try:
            return await in_thread(self._reading, run, *arguments)
        except sqlite3.Error as error:
            raise translated(error) from error

    def _write(self, run: Callable[..., T], *arguments: Any, size: int = 256, haste: Haste = Haste.NOW) -> Awaitable[T]:
        return self._commits.submit(run, arguments, size, haste)

    # ── mail ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, deposit: Deposit) -> Awaitable[Accepted]:
        size = sum(len(item.envelope) for item in deposit.items)
        return self._write(_accept, self._disk, self._mail, deposit, size=size)

    def settle(self, settlement: Settlement) -> Awaitable[tuple[Placed, ...]]:
        # Without news for anyone it only clears up: it can go with the next commit that somebody waits for.
        haste = Haste.NOW if settlement.reports else Haste.WITH_OTHERS
        return self._write(sql_mail.settle, self._mail, settlement, haste=haste)

    def requeue(self, now_ms: WallMs, mailbox: int = 0) -> Awaitable[tuple[Placed, ...]]:
        return self._write(sql_mail.requeue, self._mail, now_ms, mailbox)

    async def next_due(self) -> WallMs:
        return await self._read(sql_mail.next_due)

    async def fetch(self, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[Parcel]:
        return await self._read(sql_mail.fetch, mailbox, after, max_items, max_bytes)

    async def kept(self, mailbox: int, max_items: int) -> list[Parcel]:
        return await self._read(sql_mail.kept, mailbox, max_items)

    async def expiring(self, now_ms: WallMs, max_items: int) -> list[Placed]:
        return await self._read(sql_mail.expiring, now_ms, max_items)

    async def trace(self, id_: bytes) -> list[Trace]:
        return await self._read(sql_mail.trace, id_)

    def prune(self, now_ms: WallMs) -> Awaitable[None]:
        return self._write(_prune, now_ms)

    # ── mailboxes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def open_mailbox(self, kind: MailboxKind, owner: str) -> Awaitable[int]:
        return self._write(sql_directory.open_mailbox, kind, owner)

    def usage(self, mailbox: int) -> Usage:
        items, size = self._usage.get(mailbox, (0, 0))
        return Usage(items, size)

    async def mailboxes(self) -> list[MailboxInfo]:
        return await self._read(mailboxes)

    # ── accounts, devices, directory, peers ─────────────────────────────────────────────────────────────────────────

    def add_account(self, user: User, at_ms: WallMs) -> Awaitable[None]:
        return self._write(sql_directory.add_account, user, at_ms)

    def remove_account(self, user: User) -> Awaitable[tuple[int, ...]]:
        return self._write(sql_directory.remove_account, user)

    async def accounts(self) -> list[Account]:
        return await self._read(sql_directory.accounts)

    async def devices(self) -> list[Device]:
        return await self._read(sql_directory.devices)

    def set_reach(self, user: User, reach: str, providers: Sequence[Provider]) -> Awaitable[None]:
        return self._write(sql_directory.set_reach, user, reach, providers)

    def add_invite(self, token_hash: bytes, user: User, expires_ms: WallMs) -> Awaitable[None]:
        return self._write(sql_directory.add_invite, token_hash, user, expires_ms)

    async def invited(self, token_hash: bytes, now_ms: WallMs) -> User | None:
        return await self._read(sql_directory.invited, token_hash, now_ms)

    def join(self, token_hash: bytes, device: Device, device_list: bytes) -> Awaitable[Device]:
        return self._write(sql_directory.join, token_hash, device, device_list)

    def epoch(self) -> int:
        return self._epoch

    def publish(
        self,
        device: bytes,
        upload: bytes,
        at_ms: WallMs,
        packages: Sequence[StoredPackage],
        last_resort: StoredPackage | None,
    ) -> Awaitable[int]:
        return self._write(sql_directory.publish, device, upload, at_ms, packages, last_resort)

    def claim(self, user: User, suites: Sequence[str], at_ms: WallMs) -> Awaitable[list[Issued]]:
        return self._write(sql_directory.claim, user, suites, at_ms)

    async def answered(self, request: bytes, digest: bytes) -> bytes | None:
        return await self._read(sql_directory.answered, request, digest)

    def remember_answer(self, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> Awaitable[None]:
        return self._write(sql_directory.remember_answer, request, digest, answer, at_ms)

    async def packages_left(self, device: bytes, at_ms: WallMs) -> int:
        return await self._read(sql_directory.packages_left, device, at_ms)

    def save_peer(self, peer: PeerRow) -> Awaitable[None]:
        return self._write(sql_directory.save_peer, peer)

    def forget_peer(self, provider: Provider) -> Awaitable[None]:
        return self._write(sql_directory.forget_peer, provider)

    async def peers(self) -> list[PeerRow]:
        return await self._read(sql_directory.peers)

    # ── the store itself ────────────────────────────────────────────────────────────────────────────────────────────

    async def backup(self, target: Path) -> None:
        # With a connection and a thread of its own, so that reading mailboxes goes on however long it takes.
        await trio.to_thread.run_sync(_back_up, self._path, target)

    async def tidy(self) -> None:
        try:
            await in_thread(self._writing, _tidy)
        except sqlite3.Error as error:
            raise translated(error) from error

    async def close(self) -> None:
        await self._commits.close()


def _back_up(path: Path, target: Path) -> None:
    if target.exists():
        raise LocalError(Code.BACKUP_FAILED, f"{target} exists")
    try:
        with closing(sqlite3.connect(path)) as source:
            schema.copy_to(source, target)
    except (sqlite3.Error, OSError) as error:
        target.unlink(missing_ok=True)
        raise LocalError(Code.BACKUP_FAILED, str(error)) from error


async def _connect(path: Path, pragmas: Iterable[str]) -> aiosqlite.Connection:
    try:
        connection = await seam.finished(_open(path))
    except (sqlite3.Error, OSError) as error:
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    try:
        for pragma in pragmas:
            await seam.finished(connection.execute_fetchall(pragma))
    except sqlite3.Error as error:
        await _disconnect(connection)
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    return connection


async def _open(path: Path) -> aiosqlite.Connection:
    return await aiosqlite.connect(path, isolation_level=None, factory=Connection)


async def _disconnect(connection: aiosqlite.Connection) -> None:
    # aiosqlite's thread outlives a connection that is not closed, and holds up the end of the process.
    await seam.finished(connection.close())


@asynccontextmanager
async def open_store(path: Path, *, max_bytes: int = 0) -> AsyncIterator[SqliteStore]:
    """The store in that file, made or upgraded if need be.

    `max_bytes` bounds the file (0: only the disk does); beyond it verbs raise Refused(STORE_FULL).
    Raises LocalError(STATE_TOO_NEW | STATE_DAMAGED).
    """
    writing = await _connect(path, _PRAGMAS)
    try:
        await schema.prepare(in_thread, writing, path)
        if max_bytes:
            await seam.finished(writing.execute_fetchall(f"PRAGMA max_page_count = {max(64, max_bytes // 8192)}"))
        reading = await _connect(
            path, ("PRAGMA query_only = ON", "PRAGMA busy_timeout = 5000", "PRAGMA cache_size = -8192")
        )
        try:
            store = SqliteStore(path, writing, reading)
            await store.start()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.run)
                try:
                    yield store
                finally:
                    await store.close()
        finally:
            await _disconnect(reading)
    finally:
        await _disconnect(writing)
