"""Stores of the lab: in memory, and honest about crashes.

A `Disk` is what survives. A `LabStore` is what one run of a node has of it: verbs queue up, a writer commits them in
groups after as long as the disk takes, and whoever waits is told after the commit. A crash at any moment leaves
exactly what was committed: of what was queued nothing, of what was committed but not yet told all.
"""

from __future__ import annotations

import copy
import random
from collections import deque
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import trio

from waypost.clock import WallMs
from waypost.errors import Code, LocalError, WaypostError
from waypost.ids import Provider, User
from waypost.limits import COMMIT_MAX_OPERATIONS
from waypost.storage.memory.engine import MemoryStore
from waypost.storage.sqlite.commit import Pending
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

#: A commit on a good disk, and how much of it is left once it is durable: a crash in there is the interesting one.
COMMIT_S: Final = 0.002
_AFTER: Final = 0.25


class Observer(Protocol):
    """Told of what has become durable, at the moment at which it does."""

    def committed(self, verb: str, arguments: tuple[Any, ...], result: Any) -> None:
        """`result`: what the verb returns, or the WaypostError that it raises."""


class Disk:
    """What survives a crash. `commit_s` is how long it takes to make something durable.

    `durable_sql.SqlDisk` is the same over the SQLite store as it ships.
    """

    def __init__(self, engine: MemoryStore | None = None) -> None:
        self.engine = engine or MemoryStore()
        self.commit_s = COMMIT_S

    async def open(self, rng: random.Random, observer: Observer | None = None) -> LabStore:
        """What one run of a node has of it."""
        return LabStore(self, rng, observer)

    async def mailboxes(self) -> list[MailboxInfo]:
        return await self.engine.mailboxes()

    async def trace(self, id_: bytes) -> list[Trace]:
        return await self.engine.trace(id_)

    def waiting_for(self, device: bytes) -> int:
        """Items in the inbox of a device."""
        return self.engine.waiting_for(device)

    def fill(self) -> None:
        """From now on it has no room for more."""
        self.engine.max_bytes = self.engine.held_bytes

    def free(self) -> None:
        self.engine.max_bytes = None

    def backup(self) -> MemoryStore:
        """A copy of what it holds now."""
        return copy.deepcopy(self.engine)

    def restore(self, backup: MemoryStore) -> None:
        """As `waypost restore` does it: the state of then, under a new epoch. While no node uses it."""
        self.engine = copy.deepcopy(backup)
        self.engine.new_epoch()


@dataclass(frozen=True, slots=True)
class _Operation:
    verb: str
    arguments: tuple[Any, ...]
    pending: Pending[Any]


class LabStore(Store):
    """One run's view of a `Disk`; see the module. Call `run` in a task; `close` ends it, `crash` breaks it off."""

    def __init__(self, disk: Disk, rng: random.Random, observer: Observer | None = None) -> None:
        self._disk = disk
        self._engine = disk.engine
        self._rng = rng
        self._observer = observer
        self._queue: deque[_Operation] = deque()
        self._wake = trio.Event()
        self._closing = self._crashed = False
        self._closed = trio.Event()
        self.unanswered = 0  #: verbs that were called and have no result yet
        self.written = 0  #: verbs that were committed, or refused

    # ── the writer ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Write until `close`, and then all that was called before it, whatever is cancelled meanwhile."""
        try:
            with trio.CancelScope(shield=True):
                while not self._crashed and (self._queue or not self._closing):
                    if self._queue:
                        await self._commit()
                    else:
                        await self._wake.wait()
                        self._wake = trio.Event()
        finally:
            self._closed.set()

    async def _commit(self) -> None:
        takes_s = self._disk.commit_s * (0.5 + self._rng.random())
        await trio.sleep(takes_s * (1 - _AFTER))
        if self.has_crashed():
            return
        group = [self._queue.popleft() for _ in range(min(len(self._queue), COMMIT_MAX_OPERATIONS))]
        outcomes = [(operation.pending, *self._apply(operation)) for operation in group]
        await trio.sleep(takes_s * _AFTER)
        if self.has_crashed():
            return
        for pending, value, error in outcomes:
            self.unanswered -= 1
            pending.resolve(value, error)

    def _apply(self, operation: _Operation) -> tuple[Any, WaypostError | None]:
        self.written += 1
        done = getattr(self._engine, operation.verb)(*operation.arguments)
        try:
            result = done.result()
        except WaypostError as error:
            self._tell(operation, error)
            return None, error
        self._tell(operation, result)
        return result, None

    def _tell(self, operation: _Operation, result: Any) -> None:
        if self._observer is not None:
            self._observer.committed(operation.verb, operation.arguments, result)

    def has_crashed(self) -> bool:
        return self._crashed

    def crash(self) -> None:
        """The process is gone: nothing that was not committed will be, and nobody is answered any more."""
        self._crashed = True
        self._queue.clear()
        self._wake.set()

    async def close(self) -> None:
        self._closing = True
        self._wake.set()
        with trio.CancelScope(shield=True):
            await self._closed.wait()

    def _write(self, verb: str, *arguments: Any) -> Pending[Any]:
        pending: Pending[Any] = Pending()
        if self._crashed:
            return pending  # asked by what is left of a dead process
        if self._closing:
            raise LocalError(Code.NOT_RUNNING, "the store is closed")
        self._queue.append(_Operation(verb, arguments, pending))
        self.unanswered += 1
        self._wake.set()
        return pending

    async def _read(self) -> None:
        await trio.lowlevel.checkpoint()

    # ── mail ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def accept(self, deposit: Deposit) -> Awaitable[Accepted]:
        return self._write("accept", deposit)

    def settle(self, settlement: Settlement) -> Awaitable[tuple[Placed, ...]]:
        return self._write("settle", settlement)

    def requeue(self, now_ms: WallMs, mailbox: int = 0) -> Awaitable[tuple[Placed, ...]]:
        return self._write("requeue", now_ms, mailbox)

    async def next_due(self) -> WallMs:
        await self._read()
        return await self._engine.next_due()

    async def fetch(self, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[Parcel]:
        await self._read()
        return await self._engine.fetch(mailbox, after, max_items, max_bytes)

    async def kept(self, mailbox: int, max_items: int) -> list[Parcel]:
        await self._read()
        return await self._engine.kept(mailbox, max_items)

    async def expiring(self, now_ms: WallMs, max_items: int) -> list[Placed]:
        await self._read()
        return await self._engine.expiring(now_ms, max_items)

    async def trace(self, id_: bytes) -> list[Trace]:
        await self._read()
        return await self._engine.trace(id_)

    def prune(self, now_ms: WallMs) -> Awaitable[None]:
        return self._write("prune", now_ms)

    # ── mailboxes, accounts, devices ────────────────────────────────────────────────────────────────────────────────

    def open_mailbox(self, kind: MailboxKind, owner: str) -> Awaitable[int]:
        return self._write("open_mailbox", kind, owner)

    def usage(self, mailbox: int) -> Usage:
        return self._engine.usage(mailbox)

    async def mailboxes(self) -> list[MailboxInfo]:
        await self._read()
        return await self._engine.mailboxes()

    def add_account(self, user: User, at_ms: WallMs) -> Awaitable[None]:
        return self._write("add_account", user, at_ms)

    def remove_account(self, user: User) -> Awaitable[tuple[int, ...]]:
        return self._write("remove_account", user)

    async def accounts(self) -> list[Account]:
        await self._read()
        return await self._engine.accounts()

    async def devices(self) -> list[Device]:
        await self._read()
        return await self._engine.devices()

    def set_reach(self, user: User, reach: str, providers: Sequence[Provider]) -> Awaitable[None]:
        return self._write("set_reach", user, reach, providers)

    def add_invite(self, token_hash: bytes, user: User, expires_ms: WallMs) -> Awaitable[None]:
        return self._write("add_invite", token_hash, user, expires_ms)

    async def invited(self, token_hash: bytes, now_ms: WallMs) -> User | None:
        await self._read()
        return await self._engine.invited(token_hash, now_ms)

    def join(self, token_hash: bytes, device: Device, device_list: bytes) -> Awaitable[Device]:
        return self._write("join", token_hash, device, device_list)

    # ── the key directory, peers ────────────────────────────────────────────────────────────────────────────────────

    def epoch(self) -> int:
        return self._engine.epoch()

    def publish(
        self,
        device: bytes,
        upload: bytes,
        at_ms: WallMs,
        packages: Sequence[StoredPackage],
        last_resort: StoredPackage | None,
    ) -> Awaitable[int]:
        return self._write("publish", device, upload, at_ms, packages, last_resort)

    def claim(self, user: User, suites: Sequence[str], at_ms: WallMs) -> Awaitable[list[Issued]]:
        return self._write("claim", user, suites, at_ms)

    async def answered(self, request: bytes, digest: bytes) -> bytes | None:
        await self._read()
        return await self._engine.answered(request, digest)

    def remember_answer(self, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> Awaitable[None]:
        return self._write("remember_answer", request, digest, answer, at_ms)

    async def packages_left(self, device: bytes, at_ms: WallMs) -> int:
        await self._read()
        return await self._engine.packages_left(device, at_ms)

    def save_peer(self, peer: PeerRow) -> Awaitable[None]:
        return self._write("save_peer", peer)

    def forget_peer(self, provider: Provider) -> Awaitable[None]:
        return self._write("forget_peer", provider)

    async def peers(self) -> list[PeerRow]:
        await self._read()
        return await self._engine.peers()

    # ── the store itself ────────────────────────────────────────────────────────────────────────────────────────────

    async def backup(self, target: Path) -> None:
        await self._engine.backup(target)

    async def tidy(self) -> None:
        await self._read()
