"""What the memory store holds: one value, which survives what uses it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from waypost.clock import WallMs
from waypost.errors import Code, Refused
from waypost.ids import Provider, User
from waypost.storage.operations.accounts import Account, Device
from waypost.storage.operations.keys import StoredPackage
from waypost.storage.operations.mail import Parcel, Trace
from waypost.storage.operations.mailboxes import MailboxKind, Usage
from waypost.storage.operations.peers import PeerRow


@dataclass(slots=True)
class HeldParcel:
    """A parcel in a mailbox. `due_ms` > 0: it is kept back until then."""

    parcel: Parcel
    due_ms: WallMs = 0


@dataclass(slots=True)
class Mailbox:
    """Entries by `seq`, in order. Put and take them through the methods, which keep count."""

    kind: MailboxKind
    owner: str
    entries: dict[int, HeldParcel] = field(default_factory=dict)
    items: int = 0
    bytes: int = 0

    def put(self, entry: HeldParcel) -> None:
        self.entries[entry.parcel.seq] = entry
        self.items += len(entry.parcel.items)
        self.bytes += entry.parcel.size

    def take(self, seq: int) -> HeldParcel | None:
        entry = self.entries.pop(seq, None)
        if entry:
            self.items -= len(entry.parcel.items)
            self.bytes -= entry.parcel.size
        return entry

    @property
    def usage(self) -> Usage:
        return Usage(self.items, self.bytes)

    @property
    def oldest_ms(self) -> WallMs:
        """Earliest expiry of what waits; 0 when empty."""
        return min((entry.parcel.expires_ms for entry in self.entries.values()), default=0)


@dataclass(slots=True)
class Published:
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
class GivenAnswer:
    at_ms: WallMs
    contents: object
    answer: bytes = b""
    expires_ms: WallMs = 0


@dataclass(slots=True)
class MemoryState:
    """See the module. It refuses with STORE_FULL beyond `max_bytes` of envelopes, outcomes and packages."""

    max_bytes: int | None = None
    epoch: int = 1
    seq: int = 0  #: of the parcel placed last
    boxes: dict[int, Mailbox] = field(default_factory=dict)
    seen: dict[bytes, tuple[WallMs, list[Trace]]] = field(default_factory=dict)  #: id → when made, how its trace begins
    traces: list[Trace] = field(default_factory=list)
    accounts: dict[User, Account] = field(default_factory=dict)
    devices: dict[bytes, Device] = field(default_factory=dict)
    invites: dict[bytes, tuple[User, WallMs]] = field(default_factory=dict)
    keys: dict[bytes, Published] = field(default_factory=dict)  #: by device
    answers: dict[bytes, GivenAnswer] = field(default_factory=dict)
    peers: dict[Provider, PeerRow] = field(default_factory=dict)

    @property
    def held_bytes(self) -> int:
        """What counts towards `max_bytes`."""
        held = sum(box.bytes for box in self.boxes.values())
        for keys in self.keys.values():
            held += sum(len(package.data) for package in [*keys.one_time, *keys.last_resort.values()])
        return held

    def need_room(self, extra: int) -> None:
        """For so many bytes more. Raises Refused(STORE_FULL)."""
        if self.max_bytes is not None and extra > 0:
            held = self.held_bytes
            if held + extra > self.max_bytes:
                raise Refused(Code.STORE_FULL, f"{held} of {self.max_bytes} bytes are in use")

    def open_mailbox(self, kind: MailboxKind, owner: str) -> int:
        """`OpenMailbox`."""
        for number, box in self.boxes.items():
            if (box.kind, box.owner) == (kind, owner):
                return number
        number = len(self.boxes) + 1
        self.boxes[number] = Mailbox(kind, owner)
        return number

    def waiting_for(self, device: bytes) -> int:
        """Items in the inbox of a device."""
        known = self.devices.get(device)
        return self.boxes[known.mailbox].items if known else 0

    def new_epoch(self) -> None:
        """The state is that of a backup: which one-time packages were given out since, nobody knows."""
        self.epoch += 1
        for keys in self.keys.values():
            keys.one_time = []
