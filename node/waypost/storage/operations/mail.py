"""Mail: envelopes and outcomes on their way through mailboxes, and their traces."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from msgspec import Struct

from waypost.clock import WallMs
from waypost.protocol.custody.fate import Event
from waypost.protocol.custody.transfer import Outcome
from waypost.storage.operations.base import Operation, Question
from waypost.storage.operations.mailboxes import AllMailboxes, OpenMailbox, TellUsage


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


class Parcel(Struct, frozen=True):
    """What one mailbox holds in one place of its order. Items of one parcel are acknowledged together or apart."""

    seq: int
    kind: ParcelKind
    ids: tuple[bytes, ...]  #: of the envelopes; for outcomes: empty
    items: tuple[bytes, ...]  #: envelopes, or encoded outcomes
    size: int  #: bytes of the items
    expires_ms: WallMs  #: when the first of them expires
    senders: tuple[str, ...] = ()  #: of the envelopes, where known without decoding them


class Placed(NamedTuple):
    """A parcel in a mailbox. As a change: a new one, or one that was kept back and has a new place."""

    mailbox: int
    parcel: Parcel


class Accepted(Struct, frozen=True):
    placed: tuple[Placed, ...]
    duplicates: int  #: items whose id had been accepted before; they were not stored again


class Trace(NamedTuple):
    """A step that some envelopes took together. `ids`: 16 bytes each, joined."""

    at_ms: WallMs
    event: Event
    party: str
    code: int
    ids: bytes


class Keep(NamedTuple):
    """Of the parcel `seq` only these items stay, not offered before `due_ms`; they expire first at `expires_ms`."""

    seq: int
    indexes: tuple[int, ...]
    due_ms: WallMs
    expires_ms: WallMs = 0  #: 0: as before


class Accept(Struct, Operation[Accepted], frozen=True):
    """Take envelopes that arrived together into custody. `source`: the peer's provider, or the device's address.

    An id accepted before, or earlier among these, is not stored again.
    """

    source: str
    at_ms: WallMs
    items: Sequence[Item]


class Settle(Struct, Operation[tuple[Placed, ...]], frozen=True):
    """What follows from a receipt, an expiry, or a report: parcels that are done with, traces, and news for senders.

    Answers with the parcels that its reports became. A `seq` that is gone already is passed over.
    """

    mailbox: int = 0  #: 0: no parcels are touched
    done: Sequence[int] = ()
    keep: Sequence[Keep] = ()
    traces: Sequence[Trace] = ()
    reports: Sequence[tuple[int, Sequence[Outcome]]] = ()  #: mailbox of the peer or device to tell, and what
    report_expires_ms: WallMs = 0


class Requeue(Struct, Operation[tuple[Placed, ...]], frozen=True):
    """Give kept parcels that are due (of one mailbox: all of its kept ones, due or not) a new place at the end."""

    now_ms: WallMs
    mailbox: int = 0


class Prune(Struct, Operation[None], frozen=True):
    """Forget ids, traces, packages, invites and answers that are too old to matter."""

    now_ms: WallMs


MailOperation = Accept | Settle | Requeue | OpenMailbox | Prune | TellUsage


class Left(NamedTuple):
    """So many items of so many bytes are no longer where they were in a mailbox."""

    mailbox: int
    items: int
    bytes: int


class KeptBack(NamedTuple):
    """Something in a mailbox is not to be offered before `due_ms`."""

    mailbox: int
    due_ms: WallMs


class Fetch(Struct, Question[list[Parcel]], frozen=True):
    """Parcels with `seq > after`, in order, not the kept ones; at least one if any, then up to the bounds."""

    mailbox: int
    after: int
    max_items: int
    max_bytes: int


class Kept(Struct, Question[list[Parcel]], frozen=True):
    """Parcels that wait for their `due_ms`, in order; at least one if any, then up to the bound."""

    mailbox: int
    max_items: int


class Expiring(Struct, Question[list[Placed]], frozen=True):
    """Parcels in which at least one item has expired, earliest first; at least one if any, then up to the bound."""

    now_ms: WallMs
    max_items: int


class TraceOf(Struct, Question[list[Trace]], frozen=True):
    """What is known of an envelope, oldest first; `ids` of each row is just that id.

    It begins with `ACCEPTED` from the deposit's source and `QUEUED` for the owner of each mailbox.
    """

    id: bytes


class NextDue(Struct, Question[WallMs], frozen=True):
    """When the first kept parcel is due, which may have passed; 0 if none is kept."""


MailQuestion = Fetch | Kept | Expiring | TraceOf | NextDue | AllMailboxes
