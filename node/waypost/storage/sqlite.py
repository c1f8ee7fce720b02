"""The Store in a SQLite file, through aiosqlite.

One task owns the writing connection: it takes all that is queued, writes it in one transaction and then wakes everyone who
waits (group commit), so a commit is as large as the load makes it and a lone message waits for nobody. Reads have a connection of
their own and do not wait for writes (WAL). Each transaction is one hop to the database thread, whatever is in it.

aiosqlite awaits asyncio futures, so this module runs under `trio_asyncio.open_loop()`; nothing else in the node needs it.
"""

from __future__ import annotations

import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiosqlite
import trio
from trio_asyncio import aio_as_trio

from waypost.clock import WallMs
from waypost.errors import Code, LocalError, Refused, WaypostError
from waypost.ids import Provider, User
from waypost.limits import COMMIT_MAX_BYTES, COMMIT_MAX_OPERATIONS
from waypost.storage import schema, sql_directory, sql_mail
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


@dataclass(frozen=True)
class _Result:
    """Looks like a cursor to aiosqlite, which calls `fetchall` in the database thread."""

    value: Any

    def fetchall(self) -> Any:
        return self.value


class _Connection(sqlite3.Connection):
    """Lets `execute_fetchall(function, arguments)` run a function in the database thread and return what it returns.

    aiosqlite's public interface makes one hop per statement; this makes one per transaction.
    """

    def execute(self, sql: Any, parameters: Any = (), /) -> Any:
        if callable(sql):
            return _Result(sql(self, *parameters))
        return super().execute(sql, parameters)


class _Pending(Generic[T]):
    """The result of a verb that has been called: await it."""

    __slots__ = ("_done", "_error", "_event", "_value")

    def __init__(self) -> None:
        self._done = False
        self._event: trio.Event | None = None
        self._value: T | None = None
        self._error: Exception | None = None

    def resolve(self, value: T | None, error: Exception | None) -> None:
        self._done, self._value, self._error = True, value, error
        if self._event is not None:
            self._event.set()

    async def _wait(self) -> T:
        if not self._done:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value] # set together with _done

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()


@dataclass(slots=True)
class _Operation:
    run: Callable[..., Any]
    arguments: tuple[Any, ...]
    size: int
    pending: _Pending[Any]


@dataclass(slots=True)
class _Failed:
    error: Exception


def _translate(error: sqlite3.Error) -> WaypostError:
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL:
        return Refused(Code.STORE_FULL, "database or disk is full")
    return LocalError(Code.STATE_DAMAGED, f"{type(error).__name__}: {error}")


class _Writer:
    """What runs in the database thread: groups of operations as transactions."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self.mail = sql_mail.MailState(conn)

    def commit(self, conn: sqlite3.Connection, operations: Sequence[_Operation]) -> list[Any]:
        """Their results, or a `_Failed` for each that failed. Either a whole operation is durable, or none of it."""
        try:
            return self._transaction(conn, operations)
        except sqlite3.Error as error:
            self._undo(conn)
            if len(operations) == 1:
                return [_Failed(_translate(error))]
        # One of them spoilt it for all: give each a transaction of its own.
        return [self.commit(conn, [operation])[0] for operation in operations]

    def _transaction(self, conn: sqlite3.Connection, operations: Sequence[_Operation]) -> list[Any]:
        results: list[Any] = []
        conn.execute("BEGIN IMMEDIATE")
        for operation in operations:
            try:
                results.append(operation.run(conn, *operation.arguments))
            except WaypostError as error:  # refused before it changed anything
                results.append(_Failed(error))
        conn.execute("COMMIT")
        return results

    def _undo(self, conn: sqlite3.Connection) -> None:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        self.mail.restart(conn)


def _prune(conn: sqlite3.Connection, mail: sql_mail.MailState, now_ms: WallMs) -> None:
    sql_mail.prune(conn, mail, now_ms)
    sql_directory.prune(conn, now_ms)


def _tidy(conn: sqlite3.Connection) -> None:
    # executescript, since execute() steps a PRAGMA that returns rows only once on Python 3.11.
    conn.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES});")
    conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _mailboxes(conn: sqlite3.Connection) -> list[MailboxInfo]:
    rows = conn.execute(
        "SELECT m.id, m.kind, m.owner, ifnull(sum(d.items), 0), ifnull(sum(d.bytes), 0), ifnull(min(d.expires_ms), 0) "
        "FROM mailbox AS m LEFT JOIN delivery AS d ON d.mailbox = m.id GROUP BY m.id ORDER BY m.id"
    )
    return [MailboxInfo(i, MailboxKind(kind), owner, Usage(n, size), oldest) for i, kind, owner, n, size, oldest in rows]


class SqliteStore(Store):
    """See the module. Made by `open_store`."""

    def __init__(self, writing: aiosqlite.Connection, reading: aiosqlite.Connection) -> None:
        self._writing = writing
        self._reading = reading
        self._writer: _Writer
        self._epoch = 0
        self._queue: deque[_Operation] = deque()
        self._wake = trio.Event()
        self._closing = False
        self._closed = trio.Event()
        self._usage: dict[int, list[int]] = {}

    async def start(self) -> None:
        self._writer = await self._hop(self._writing, _Writer)
        self._usage = {mailbox: [*usage] for mailbox, usage in self._writer.mail.usage.items()}
        self._epoch = await self._read(sql_directory.epoch)

    async def run(self) -> None:
        """The writing task. It ends after `close`, with everything written that was called before."""
        with trio.CancelScope(shield=True):
            while self._queue or not self._closing:
                if not self._queue:
                    self._wake = trio.Event()
                    await self._wake.wait()
                    continue
                await self._commit(self._take())
        self._closed.set()

    def _take(self) -> list[_Operation]:
        group = [self._queue.popleft()]
        size = group[0].size
        while self._queue and len(group) < COMMIT_MAX_OPERATIONS and size + self._queue[0].size <= COMMIT_MAX_BYTES:
            group.append(self._queue.popleft())
            size += group[-1].size
        return group

    async def _commit(self, group: list[_Operation]) -> None:
        try:
            results = await self._hop(self._writing, self._writer.commit, group)
        except sqlite3.Error as error:
            results = [_Failed(_translate(error))] * len(group)
        for mailbox, (items, size) in self._writer.mail.take_changes().items():
            usage = self._usage.setdefault(mailbox, [0, 0])
            usage[0] += items
            usage[1] += size
        for operation, result in zip(group, results, strict=True):
            if isinstance(result, _Failed):
                operation.pending.resolve(None, result.error)
            else:
                operation.pending.resolve(result, None)

    @staticmethod
    async def _hop(connection: aiosqlite.Connection, run: Callable[..., T], *arguments: Any) -> T:
        # Cancelling the await would not stop the database thread, only lose its answer.
        with trio.CancelScope(shield=True):
            result: Any = await aio_as_trio(connection.execute_fetchall)(run, arguments)
        return result  # type: ignore[no-any-return]

    async def _read(self, run: Callable[..., T], *arguments: Any) -> T:
        try:
            return await self._hop(self._reading, run, *arguments)
        except sqlite3.Error as error:
            raise _translate(error) from error

    def _write(self, run: Callable[..., T], *arguments: Any, size: int = 256) -> Awaitable[T]:
        if self._closing:
            raise LocalError(Code.NOT_RUNNING, "the store is closed")
        pending: _Pending[T] = _Pending()
        self._queue.append(_Operation(run, arguments, size, pending))
        self._wake.set()
        return pending

    # ── mail ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, deposit: Deposit) -> Awaitable[Accepted]:
        size = sum(len(item.envelope) for item in deposit.items)
        return self._write(sql_mail.accept, self._writer.mail, deposit, size=size)

    def settle(self, settlement: Settlement) -> Awaitable[tuple[Placed, ...]]:
        return self._write(sql_mail.settle, self._writer.mail, settlement)

    def requeue(self, now_ms: WallMs, mailbox: int = 0) -> Awaitable[tuple[Placed, ...]]:
        return self._write(sql_mail.requeue, self._writer.mail, now_ms, mailbox)

    async def fetch(self, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[Parcel]:
        return await self._read(sql_mail.fetch, mailbox, after, max_items, max_bytes)

    async def kept(self, mailbox: int, max_items: int) -> list[Parcel]:
        return await self._read(sql_mail.kept, mailbox, max_items)

    async def expiring(self, now_ms: WallMs, max_items: int) -> list[Placed]:
        return await self._read(sql_mail.expiring, now_ms, max_items)

    async def trace(self, id_: bytes) -> list[Trace]:
        return await self._read(sql_mail.trace, id_)

    def prune(self, now_ms: WallMs) -> Awaitable[None]:
        return self._write(_prune, self._writer.mail, now_ms)

    # ── mailboxes ───────────────────────────────────────────────────────────────────────────────────────────────────

    def open_mailbox(self, kind: MailboxKind, owner: str) -> Awaitable[int]:
        return self._write(sql_directory.open_mailbox, kind, owner)

    def usage(self, mailbox: int) -> Usage:
        items, size = self._usage.get(mailbox, (0, 0))
        return Usage(items, size)

    async def mailboxes(self) -> list[MailboxInfo]:
        return await self._read(_mailboxes)

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
        if target.exists():
            raise LocalError(Code.BACKUP_FAILED, f"{target} exists")
        try:
            await self._read(schema.copy_to, target)
        except (LocalError, Refused, OSError) as error:
            target.unlink(missing_ok=True)
            raise LocalError(Code.BACKUP_FAILED, str(error)) from error

    async def tidy(self) -> None:
        try:
            await self._hop(self._writing, _tidy)
        except sqlite3.Error as error:
            raise _translate(error) from error

    async def close(self) -> None:
        self._closing = True
        self._wake.set()
        with trio.CancelScope(shield=True):
            await self._closed.wait()


async def _connect(path: Path, pragmas: Iterable[str]) -> aiosqlite.Connection:
    try:
        connection: aiosqlite.Connection = await aio_as_trio(_open)(path)
    except (sqlite3.Error, OSError) as error:
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    try:
        for pragma in pragmas:
            await aio_as_trio(connection.execute_fetchall)(pragma)
    except sqlite3.Error as error:
        await _disconnect(connection)
        raise LocalError(Code.STATE_DAMAGED, f"{path}: {error}") from error
    return connection


async def _open(path: Path) -> aiosqlite.Connection:
    return await aiosqlite.connect(path, isolation_level=None, factory=_Connection)


async def _disconnect(connection: aiosqlite.Connection) -> None:
    # aiosqlite's thread outlives a connection that is not closed, and holds up the end of the process.
    with trio.CancelScope(shield=True):
        await aio_as_trio(connection.close)()


@asynccontextmanager
async def open_store(path: Path, *, max_bytes: int = 0) -> AsyncIterator[SqliteStore]:
    """The store in that file, made or upgraded if need be; needs `trio_asyncio.open_loop()` around it.

    `max_bytes` bounds the file (0: only the disk does); beyond it verbs raise Refused(STORE_FULL).
    Raises LocalError(STATE_TOO_NEW | STATE_DAMAGED).
    """
    writing = await _connect(path, _PRAGMAS)
    try:
        await schema.prepare(SqliteStore._hop, writing, path)  # noqa: SLF001 - one class in two files
        if max_bytes:
            await aio_as_trio(writing.execute_fetchall)(f"PRAGMA max_page_count = {max(64, max_bytes // 8192)}")
        reading = await _connect(path, ("PRAGMA query_only = ON", "PRAGMA busy_timeout = 5000", "PRAGMA cache_size = -8192"))
        try:
            store = SqliteStore(writing, reading)
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
