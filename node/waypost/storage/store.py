"""The Store: named verbs, each of them one transaction.

A verb that writes takes effect in the order in which it is *called*; awaiting it gives the result after the commit. So

    pending = store.accept(deposit)      # has its place in the order now
    accepted = await pending             # durable

A caller that is cancelled while it waits changes nothing: the transaction goes on. When the disk is full a writing verb
raises Refused(STORE_FULL) and leaves everything as it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from waypost.clock import WallMs
from waypost.ids import Provider, User
from waypost.protocol.custody.messages import Outcome
from waypost.protocol.directory.trust import PeerPolicy, Trust

#: Who may write to an account from other providers; '' is the provider's default.
REACHES = frozenset({"", "all", "none", "some"})


class MailboxKind(IntEnum):
    DEVICE = 0  #: inbox of a local device; owner: its key in hex
    PEER = 1  #: outbox towards a peer node; owner: its provider name


class ParcelKind(IntEnum):
    ENVELOPES = 0
    OUTCOMES = 1


class Item(NamedTuple):
    """An envelope on its way in, with the decision of where it goes."""

    id: bytes
    envelope: bytes
    mailboxes: tuple[int, ...]
    sender: str  #: full address
    created_ms: WallMs
    expires_ms: WallMs


@dataclass(frozen=True, slots=True)
class Deposit:
    """Envelopes that arrived together. `source`: the peer's provider, or the sending device's address."""

    source: str
    at_ms: WallMs
    items: Sequence[Item]


@dataclass(frozen=True, slots=True)
class Parcel:
    """What one mailbox holds in one place of its order. Items of one parcel are acknowledged together or apart."""

    seq: int
    kind: ParcelKind
    ids: tuple[bytes, ...]  #: of the envelopes; for outcomes: empty
    items: tuple[bytes, ...]  #: envelopes, or encoded outcomes
    size: int  #: bytes of the items
    expires_ms: WallMs  #: when the first of them expires
    senders: tuple[str, ...] = ()  #: of the envelopes, where known without decoding them


class Placed(NamedTuple):
    """A new parcel in a mailbox."""

    mailbox: int
    parcel: Parcel


@dataclass(frozen=True, slots=True)
class Accepted:
    placed: tuple[Placed, ...]
    duplicates: int  #: items whose id had been accepted before; they were not stored again


class Trace(NamedTuple):
    """A step that some envelopes took together. `ids`: 16 bytes each, joined."""

    at_ms: WallMs
    event: str
    party: str
    code: int
    ids: bytes


class Keep(NamedTuple):
    """Of the parcel `seq` only these items stay, not offered before `due_ms`; they expire first at `expires_ms`."""

    seq: int
    indexes: tuple[int, ...]
    due_ms: WallMs
    expires_ms: WallMs = 0  #: 0: as before


@dataclass(frozen=True, slots=True)
class Settlement:
    """What follows from a receipt, an expiry, or a report: parcels that are done with, traces, and news for senders."""

    mailbox: int = 0  #: 0: no parcels are touched
    done: Sequence[int] = ()
    keep: Sequence[Keep] = ()
    traces: Sequence[Trace] = ()
    reports: Sequence[tuple[int, Sequence[Outcome]]] = ()  #: mailbox of the peer or device to tell, and what
    report_expires_ms: WallMs = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """What waits in a mailbox."""

    items: int
    bytes: int


@dataclass(frozen=True, slots=True)
class MailboxInfo:
    id: int
    kind: MailboxKind
    owner: str
    usage: Usage
    oldest_ms: WallMs  #: earliest expiry of what waits; 0 when empty


@dataclass(frozen=True, slots=True)
class Account:
    user: User
    created_ms: WallMs
    device_list: bytes  #: signed; empty until a device has joined
    reach: str  #: '' (the provider's default), 'all', 'none', 'some'
    providers: tuple[Provider, ...]


@dataclass(frozen=True, slots=True)
class Device:
    key: bytes
    user: User
    label: str
    joined_ms: WallMs
    mailbox: int


@dataclass(frozen=True, slots=True)
class StoredPackage:
    suite: str
    expires_ms: WallMs
    data: bytes


@dataclass(frozen=True, slots=True)
class Issued:
    """What a claim got for one device. `state`: one-time, last-resort, exhausted or incompatible."""

    device: bytes
    state: str
    package: bytes
    left: int  #: one-time packages that remain


@dataclass(frozen=True, slots=True)
class PeerRow:
    provider: Provider
    key: bytes  #: empty: only heard of
    trust: Trust
    policy: PeerPolicy
    record: bytes
    first_ms: WallMs
    heard_ms: WallMs


class Store(ABC):
    """See the module. Every verb may raise Refused(STORE_FULL) if it writes; other errors are named."""

    # ── mail ────────────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def accept(self, deposit: Deposit) -> Awaitable[Accepted]:
        """Take envelopes into custody. An id accepted before, or earlier in the same deposit, is not stored again."""

    @abstractmethod
    def settle(self, settlement: Settlement) -> Awaitable[tuple[Placed, ...]]:
        """Apply it; returns the parcels that its reports became. A `seq` that is gone already is passed over."""

    @abstractmethod
    def requeue(self, now_ms: WallMs, mailbox: int = 0) -> Awaitable[tuple[Placed, ...]]:
        """Give kept parcels that are due (of one mailbox: all of its kept ones, due or not) a new place at the end."""

    @abstractmethod
    async def next_due(self) -> WallMs:
        """When the first kept parcel is due, which may have passed; 0 if none is kept."""

    @abstractmethod
    async def fetch(self, mailbox: int, after: int, max_items: int, max_bytes: int) -> list[Parcel]:
        """Parcels with `seq > after`, in order, not the kept ones; at least one if any, then up to the bounds."""

    @abstractmethod
    async def kept(self, mailbox: int, max_items: int) -> list[Parcel]:
        """Parcels that wait for their `due_ms`, in order."""

    @abstractmethod
    async def expiring(self, now_ms: WallMs, max_items: int) -> list[Placed]:
        """Parcels in which at least one item has expired, earliest first."""

    @abstractmethod
    async def trace(self, id_: bytes) -> list[Trace]:
        """What is known of an envelope, oldest first; `ids` of each row is just that id.

        It begins with 'accepted' from the deposit's source and 'queued' for the owner of each mailbox.
        """

    @abstractmethod
    def prune(self, now_ms: WallMs) -> Awaitable[None]:
        """Forget ids, traces, packages, invites and answers that are too old to matter."""

    # ── mailboxes ───────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def open_mailbox(self, kind: MailboxKind, owner: str) -> Awaitable[int]:
        """Its id; made if there is none."""

    @abstractmethod
    def usage(self, mailbox: int) -> Usage:
        """From memory, so that it can be asked for each envelope."""

    @abstractmethod
    async def mailboxes(self) -> list[MailboxInfo]: ...

    # ── accounts and devices ────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def add_account(self, user: User, at_ms: WallMs) -> Awaitable[None]:
        """Raises Refused(USER_EXISTS)."""

    @abstractmethod
    def remove_account(self, user: User) -> Awaitable[tuple[int, ...]]:
        """With its devices, packages and invites; their mailboxes (returned) stay for the caller to bounce and empty.

        Raises Refused(NOT_FOUND).
        """

    @abstractmethod
    async def accounts(self) -> list[Account]: ...

    @abstractmethod
    async def devices(self) -> list[Device]: ...

    @abstractmethod
    def set_reach(self, user: User, reach: str, providers: Sequence[Provider]) -> Awaitable[None]:
        """Raises Refused(NOT_FOUND)."""

    @abstractmethod
    def add_invite(self, token_hash: bytes, user: User, expires_ms: WallMs) -> Awaitable[None]:
        """Raises Refused(NOT_FOUND) without such an account, Refused(QUOTA) beyond INVITES_OPEN_MAX."""

    @abstractmethod
    async def invited(self, token_hash: bytes, now_ms: WallMs) -> User | None:
        """For whom the invite is, if it is open and in time."""

    @abstractmethod
    def join(self, token_hash: bytes, device: Device, device_list: bytes) -> Awaitable[Device]:
        """Use up the invite and add the device with the account's new device list; opens the device's mailbox.

        `joined_ms` is the time; the same device joining with the same token again gets the same answer (a lost answer
        is repeated). Raises Refused(INVITE_INVALID) and Refused(QUOTA) beyond DEVICES_PER_ACCOUNT_MAX.
        """

    # ── key directory ───────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def epoch(self) -> int:
        """Changes when the state was restored from a backup: what devices believe to be published may be gone."""

    @abstractmethod
    def publish(
        self,
        device: bytes,
        upload: bytes,
        at_ms: WallMs,
        packages: Sequence[StoredPackage],
        last_resort: StoredPackage | None,
    ) -> Awaitable[int]:
        """Add packages, replace the last-resort one of its suite; returns how many one-time ones are left.

        The same upload again changes nothing. Raises Refused(CONFLICT): same upload id, other contents; Refused(QUOTA)
        beyond PACKAGES_PER_DEVICE_MAX; Refused(FORBIDDEN): no such device.
        """

    @abstractmethod
    def claim(self, user: User, suites: Sequence[str], at_ms: WallMs) -> Awaitable[list[Issued]]:
        """Issue, for each device of the account, the oldest unexpired one-time package of the first suite it has.

        Once, and never again.
        """

    @abstractmethod
    async def answered(self, request: bytes, digest: bytes) -> bytes | None:
        """The answer given to that request. Raises Refused(CONFLICT): same id, other contents."""

    @abstractmethod
    def remember_answer(self, request: bytes, digest: bytes, answer: bytes, at_ms: WallMs) -> Awaitable[None]: ...

    @abstractmethod
    async def packages_left(self, device: bytes, at_ms: WallMs) -> int:
        """Unexpired one-time packages."""

    # ── peers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    def save_peer(self, peer: PeerRow) -> Awaitable[None]:
        """Insert or replace. Raises Refused(QUOTA) for one beyond PEERS_MAX (heard-of ones leave, oldest first)."""

    @abstractmethod
    def forget_peer(self, provider: Provider) -> Awaitable[None]: ...

    @abstractmethod
    async def peers(self) -> list[PeerRow]: ...

    # ── the store itself ────────────────────────────────────────────────────────────────────────────────────────────

    @abstractmethod
    async def backup(self, target: Path) -> None:
        """Write a consistent copy to a file that does not exist yet, while in use. Raises LocalError(BACKUP_FAILED)."""

    @abstractmethod
    async def tidy(self) -> None:
        """Give back disk space; called when there is little to do."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what was called, then release everything. Safe to call twice, and when cancelled."""
