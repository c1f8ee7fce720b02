"""The half of the memory store that is about mailboxes, accounts, keys and peers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import Provider, User
from waypost.limits import (
    DEVICES_PER_ACCOUNT_MAX,
    IDEMPOTENCE_LIFETIME_MS,
    INVITES_OPEN_MAX,
    PACKAGES_PER_DEVICE_MAX,
    PEERS_MAX,
    SUITES_PER_CLAIM_MAX,
)
from waypost.storage.store import (
    REACHES,
    Account,
    Device,
    Issued,
    MailboxInfo,
    MailboxKind,
    Parcel,
    PeerRow,
    Store,
    StoredPackage,
    Usage,
)

P = ParamSpec("P")
S = TypeVar("S")
T = TypeVar("T")


class Done(Awaitable[T], Generic[T]):
    """The result of a verb that took effect when it was called."""

    def __init__(self, run: Callable[[], T]) -> None:
        self._value: T
        self._error: Refused | None = None
        try:
            self._value = run()
        except Refused as error:
            self._error = error

    def result(self) -> T:
        """Raises what the verb raised."""
        if self._error:
            raise self._error
        return self._value

    def __await__(self) -> Generator[Any, Any, T]:
        yield from ()
        return self.result()


def verb(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], Done[T]]:
    """Make a method that acts at once a verb of the store."""

    @wraps(method)
    def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Done[T]:
        return Done(lambda: method(self, *args, **kwargs))

    return called


@dataclass(slots=True)
class Entry:
    """A parcel in a mailbox. `due_ms` > 0: it is kept back until then."""

    parcel: Parcel
    due_ms: WallMs = 0


@dataclass(slots=True)
class Mailbox:
    """Entries by `seq`, in order. Put and take them through the methods, which keep count."""

    kind: MailboxKind
    owner: str
    entries: dict[int, Entry] = field(default_factory=dict)
    items: int = 0
    bytes: int = 0

    def put(self, entry: Entry) -> None:
        self.entries[entry.parcel.seq] = entry
        self.items += len(entry.parcel.items)
        self.bytes += entry.parcel.size

    def take(self, seq: int) -> Entry | None:
        entry = self.entries.pop(seq, None)
        if entry:
            self.items -= len(entry.parcel.items)
            self.bytes -= entry.parcel.size
        return entry


@dataclass(slots=True)
class _Keys:
    """What a device has published."""

    one_time: list[StoredPackage] = field(default_factory=list)
    last_resort: dict[str, StoredPackage] = field(default_factory=dict)
    suites: list[str] = field(default_factory=list)

    def left(self, at_ms: WallMs) -> int:
        return sum(package.expires_ms > at_ms for package in self.one_time)

    def forget(self, suites: Sequence[str]) -> None:
        self.one_time = [package for package in self.one_time if package.suite not in suites]
        self.last_resort = {suite: package for suite, package in self.last_resort.items() if suite not in suites}

    def expire(self, now_ms: WallMs) -> None:
        self.one_time = [package for package in self.one_time if package.expires_ms > now_ms]
        self.last_resort = {s: package for s, package in self.last_resort.items() if package.expires_ms > now_ms}


@dataclass(frozen=True, slots=True)
class _Answer:
    at_ms: WallMs
    contents: object
    answer: bytes = b""
    expires_ms: WallMs = 0


class MemoryDirectory(Store):
    """See the module; `memory.MemoryStore` is the whole."""

    def __init__(self, *, max_bytes: int | None = None, epoch: int = 1) -> None:
        self.max_bytes = max_bytes
        self._epoch = epoch
        self._boxes: dict[int, Mailbox] = {}
        self._accounts: dict[User, Account] = {}
        self._devices: dict[bytes, Device] = {}
        self._invites: dict[bytes, tuple[User, WallMs]] = {}
        self._keys: dict[bytes, _Keys] = {}
        self._answers: dict[bytes, _Answer] = {}
        self._peers: dict[Provider, PeerRow] = {}

    @property
    def held_bytes(self) -> int:
        """What counts towards `max_bytes`: envelopes, outcomes and packages."""
        held = sum(box.bytes for box in self._boxes.values())
        for keys in self._keys.values():
            held += sum(len(package.data) for package in [*keys.one_time, *keys.last_resort.values()])
        return held

    def _need_room(self, extra: int) -> None:
        if self.max_bytes is not None and extra > 0:
            held = self.held_bytes
            if held + extra > self.max_bytes:
                raise Refused(Code.STORE_FULL, f"{held} of {self.max_bytes} bytes are in use")

    # ── mailboxes ───────────────────────────────────────────────────────────────────────────────────────────────────

    @verb
    def open_mailbox(self, kind: MailboxKind, owner: str) -> int:
        return self._mailbox(kind, owner)

    def _mailbox(self, kind: MailboxKind, owner: str) -> int:
        for number, box in self._boxes.items():
            if (box.kind, box.owner) == (kind, owner):
                return number
        number = len(self._boxes) + 1
        self._boxes[number] = Mailbox(kind, owner)
        return number

    def usage(self, mailbox: int) -> Usage:
        box = self._boxes.get(mailbox)
        return Usage(box.items, box.bytes) if box else Usage(0, 0)

    def waiting_for(self, device: bytes) -> int:
        """Items in the inbox of a device."""
        known = self._devices.get(device)
        return self._boxes[known.mailbox].items if known else 0

    async def mailboxes(self) -> list[MailboxInfo]:
        return [
            MailboxInfo(
                number,
                box.kind,
                box.owner,
                Usage(box.items, box.bytes),
                min((entry.parcel.expires_ms for entry in box.entries.values()), default=0),
            )
            for number, box in self._boxes.items()
        ]

    # ── accounts and devices ────────────────────────────────────────────────────────────────────────────────────────

    @verb
    def add_account(self, user: User, at_ms: WallMs) -> None:
        if user in self._accounts:
            raise Refused(Code.USER_EXISTS, user)
        self._accounts[user] = Account(user, at_ms, b"", "", ())

    @verb
    def remove_account(self, user: User) -> tuple[int, ...]:
        self._need_account(user)
        gone = [device for device in self._devices.values() if device.user == user]
        for device in gone:
            del self._devices[device.key]
            self._keys.pop(device.key, None)
            self._answers = {r: answer for r, answer in self._answers.items() if r[: len(device.key)] != device.key}
        self._invites = {token: invite for token, invite in self._invites.items() if invite[0] != user}
        del self._accounts[user]
        return tuple(sorted(device.mailbox for device in gone))

    async def accounts(self) -> list[Account]:
        return sorted(self._accounts.values(), key=lambda account: account.user)

    async def devices(self) -> list[Device]:
        return sorted(self._devices.values(), key=lambda device: (device.user, device.joined_ms, device.key))

    @verb
    def set_reach(self, user: User, reach: str, providers: Sequence[Provider]) -> None:
        self._need_account(user)
        if reach not in REACHES:
            raise Refused(Code.BAD_REQUEST, f"reach {reach!r}")
        self._accounts[user] = replace(self._accounts[user], reach=reach, providers=tuple(providers))

    @verb
    def add_invite(self, token_hash: bytes, user: User, expires_ms: WallMs) -> None:
        self._need_account(user)
        if token_hash not in self._invites and len(self._invites) >= INVITES_OPEN_MAX:
            raise Refused(Code.QUOTA, f"{INVITES_OPEN_MAX} invites are open")
        self._invites[token_hash] = (user, expires_ms)

    async def invited(self, token_hash: bytes, now_ms: WallMs) -> User | None:
        return self._invited(token_hash, now_ms)

    def _invited(self, token_hash: bytes, now_ms: WallMs) -> User | None:
        user, expires_ms = self._invites.get(token_hash, (None, 0))
        return user if expires_ms > now_ms else None

    @verb
    def join(self, token_hash: bytes, device: Device, device_list: bytes) -> Device:
        request = token_hash + device.key
        known = self._devices.get(device.key)
        user = self._invited(token_hash, device.joined_ms)
        if user is None and known and known.user == device.user and request in self._answers:
            return known
        if user is None or user != device.user:
            raise Refused(Code.INVITE_INVALID)
        if known and known.user != user:
            raise Refused(Code.FORBIDDEN, "the device belongs to another account")
        others = sum(other.user == user and other.key != device.key for other in self._devices.values())
        if others >= DEVICES_PER_ACCOUNT_MAX:
            raise Refused(Code.QUOTA, f"{user} has {others} devices")
        joined = replace(device, mailbox=self._mailbox(MailboxKind.DEVICE, device.key.hex()))
        self._devices[device.key] = joined
        self._keys.setdefault(device.key, _Keys())
        self._accounts[user] = replace(self._accounts[user], device_list=device_list)
        del self._invites[token_hash]
        self._answers.setdefault(request, _Answer(device.joined_ms, b""))
        return joined

    def _need_account(self, user: User) -> None:
        if user not in self._accounts:
            raise Refused(Code.NOT_FOUND, user)

    # ── key directory ───────────────────────────────────────────────────────────────────────────────────────────────

    def epoch(self) -> int:
        return self._epoch

    def new_epoch(self) -> None:
        """The state is that of a backup: which one-time packages were given out since, nobody knows."""
        self._epoch += 1
        for keys in self._keys.values():
            keys.one_time = []

    @verb
    def publish(
        self,
        device: bytes,
        upload: bytes,
        at_ms: WallMs,
        packages: Sequence[StoredPackage],
        last_resort: StoredPackage | None,
    ) -> int:
        if device not in self._devices:
            raise Refused(Code.FORBIDDEN, "no such device")
        keys, contents = self._keys[device], (tuple(packages), last_resort)
        if self._answered(device + upload, contents) is not None:
            return keys.left(at_ms)
        new = [package for package in packages if package.expires_ms > at_ms]
        named = list(dict.fromkeys(package.suite for package in [*packages, *([last_resort] if last_resort else [])]))
        if keys.left(at_ms) + len(new) > PACKAGES_PER_DEVICE_MAX or len(named) > SUITES_PER_CLAIM_MAX:
            raise Refused(Code.QUOTA)
        self._need_room(sum(len(package.data) for package in new))
        keys.expire(at_ms)
        suites = list(dict.fromkeys([*named, *keys.suites]))
        keys.suites = suites[:SUITES_PER_CLAIM_MAX]
        keys.forget(suites[SUITES_PER_CLAIM_MAX:])
        keys.one_time += new
        if last_resort and last_resort.expires_ms > at_ms:
            keys.last_resort[last_resort.suite] = last_resort
        expires_ms = max((package.expires_ms for package in new), default=0)
        self._answers[device + upload] = _Answer(at_ms, contents, b"", expires_ms)
        return keys.left(at_ms)

    @verb
    def claim(self, user: User, suites: Sequence[str], at_ms: WallMs) -> list[Issued]:
        own = sorted((device.joined_ms, device.key) for device in self._devices.values() if device.user == user)
        return [self._issue(key, suites, at_ms) for _, key in own]

    def _issue(self, device: bytes, suites: Sequence[str], at_ms: WallMs) -> Issued:
        keys = self._keys[device]
        for suite in suites:
            for index, package in enumerate(keys.one_time):
                if package.suite == suite and package.expires_ms > at_ms:
                    del keys.one_time[index]
                    return Issued(device, "one-time", package.data, keys.left(at_ms))
            last_resort = keys.last_resort.get(suite)
            if last_resort and last_resort.expires_ms > at_ms:
                return Issued(device, "last-resort", last_resort.data, keys.left(at_ms))
        fits = not keys.suites or not set(suites).isdisjoint(keys.suites)
        return Issued(device, "exhausted" if fits else "incompatible", b"", keys.left(at_ms))

    async def answered(self, request: bytes, digest: bytes) -> bytes | None:
        return self._answered(request, digest)

    def _answered(self, request: bytes, contents: object) -> bytes | None:
        known = self._answers.get(request)
        if known is None:
            return None
        if known.contents != contents:
            raise Refused(Code.CONFLICT)
        return known.answer

    @verb
    def remember_answer(self, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> None:
        self._answers.setdefault(request, _Answer(at_ms, digest, answer))

    async def packages_left(self, device: bytes, at_ms: WallMs) -> int:
        return self._keys[device].left(at_ms) if device in self._keys else 0

    def _prune_directory(self, now_ms: WallMs) -> None:
        for keys in self._keys.values():
            keys.expire(now_ms)
        self._invites = {token: invite for token, invite in self._invites.items() if invite[1] > now_ms}
        oldest = now_ms - IDEMPOTENCE_LIFETIME_MS
        self._answers = {r: a for r, a in self._answers.items() if a.at_ms > oldest or a.expires_ms > now_ms}

    # ── peers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @verb
    def save_peer(self, peer: PeerRow) -> None:
        if peer.provider not in self._peers and len(self._peers) >= PEERS_MAX:
            heard_of = [(p.heard_ms, p.provider) for p in self._peers.values() if not p.key and not p.policy]
            if not heard_of:
                raise Refused(Code.QUOTA, f"{len(self._peers)} peers are known")
            del self._peers[min(heard_of)[1]]
        self._peers[peer.provider] = peer

    @verb
    def forget_peer(self, provider: Provider) -> None:
        self._peers.pop(provider, None)

    async def peers(self) -> list[PeerRow]:
        return sorted(self._peers.values(), key=lambda peer: peer.provider)
