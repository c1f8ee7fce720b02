"""What the command line says to a running node, over the Unix socket in its state directory.

Frames as on a link; each request is one frame `[method, …]`, each answer one frame `[code, text, answer, version]`, in
which the answer is msgpack again: a map by field names, for an older reader takes what it knows. The socket is its
owner's alone, so there is no further proof. `--json` prints the same answers, so a name here is never changed.

What ends in `_ms` is wall-clock time in milliseconds since 1970, or 0 for never; in `_s` a span in seconds. No answer
holds a sentence: `waypost.cli.sentences` has the words for people.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Generic, TypeVar, get_args

from msgspec import Meta, Struct

from waypost.limits import ADMIN_LISTED_MAX, ARRAY_MAX_ITEMS, FRAME_MAX_BYTES
from waypost.protocol.custody.fate import Event, State
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.directory.trust import Mode, PeerPolicy, Trust
from waypost.protocol.frames.codec import U16, U53, Name
from waypost.protocol.frames.messages import Blob, Text

A = TypeVar("A")

Long = Annotated[str, Meta(max_length=FRAME_MAX_BYTES)]
Names = Annotated[tuple[Name, ...], Meta(max_length=ADMIN_LISTED_MAX)]


class PeerState(StrEnum):
    """How a peer stands, as an operator sees it."""

    LINKED = "linked"
    CONNECTING = "connecting"  #: mail waits, or it should be linked; no try has failed
    FAILING = "failing"  #: the last try has failed
    IDLE = "idle"
    BLOCKED = "blocked"  #: by the operator
    CLOSED = "closed"  #: it has left a tombstone


class PeerAction(StrEnum):
    """What an operator can do about a peer."""

    ALLOW = "allow"
    BLOCK = "block"
    CLEAR = "clear"  #: take back an allow or a block
    FORGET = "forget"  #: its key too
    PIN = "pin"  #: a key, or a fingerprint


class QueueAction(StrEnum):
    """What an operator can do about what waits for a peer."""

    RETRY = "retry"  #: try now
    DROP = "drop"  #: bounce all of it


# ── answers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Shape(Struct, frozen=True, gc=False):
    """Base of all answers and their parts."""


class PeerNow(Shape, frozen=True):
    """A peer, its link and its queue. What is counted is counted for this link."""

    provider: Name
    state: PeerState
    linked: bool
    linked_s: float  #: for how long
    dialed: bool  #: this node has opened the link
    taken: U53  #: envelopes that came from it
    given: U53  #: envelopes that went to it
    waiting: U53  #: envelopes in its queue
    waiting_bytes: U53
    next_try_ms: U53
    code: U16  #: of the last trouble; 0: none
    error: Text  #: the last trouble, in words
    failed_ms: U53  #: when that was


class PeerKnown(PeerNow, frozen=True):
    """A peer with what is remembered of it."""

    key: Text  #: empty: only heard of
    fingerprint: Text  #: 60 digits in groups
    trust: Trust  #: how the key was learnt
    policy: PeerPolicy  #: the operator's word
    first_ms: U53  #: when it was first heard of
    heard_ms: U53  #: when it was last heard of
    moved_to: Name  #: the provider that its users are at, if it has closed and said so
    endpoints: Names  #: host:port, best first


class StoreNow(Shape, frozen=True):
    """What waits, all mailboxes together."""

    envelopes: U53
    bytes: U53


class Totals(Shape, frozen=True):
    """Envelopes since the node started."""

    accepted: U53
    duplicates: U53
    refused: U53


class NodeStatus(Shape, frozen=True):
    provider: Name
    version: Text
    key: Text
    fingerprint: Text  #: 60 digits in groups
    started_ms: U53
    uptime_s: float
    policy: Mode  #: which peers are taken
    reach: Long  #: who may write to users that have not chosen: `all`, `none`, or providers with commas between
    endpoints: Names  #: host:port, as announced
    users: U53
    devices: U53
    devices_connected: U53
    epoch: U53  #: of the database; a restored backup has another
    peers: Annotated[tuple[PeerNow, ...], Meta(max_length=ADMIN_LISTED_MAX)]  #: linked ones first
    left_out: U53  #: how many more there are
    store: StoreNow
    totals: Totals


class InviteMade(Shape, frozen=True):
    address: Name
    invite: Long  #: one line
    expires_ms: U53


class UserNow(Shape, frozen=True):
    address: Name
    devices: U53
    online: U53  #: devices that are connected
    waiting: U53  #: envelopes for the device that has most of them
    created_ms: U53
    reach: ReachMode  #: the user's word; empty: the provider decides
    providers: Names  #: with `some`: who may write
    effective: ReachMode  #: what holds


class UserList(Shape, frozen=True):
    users: Annotated[tuple[UserNow, ...], Meta(max_length=ADMIN_LISTED_MAX)]
    left_out: U53  #: how many more there are


class UserRemoved(Shape, frozen=True):
    address: Name
    bounced: U53  #: envelopes that went back to their senders


class PeerList(Shape, frozen=True):
    peers: Annotated[tuple[PeerKnown, ...], Meta(max_length=ADMIN_LISTED_MAX)]  #: met ones first
    left_out: U53  #: how many more there are


class PeerActed(Shape, frozen=True):
    provider: Name
    action: PeerAction
    policy: Mode  #: the node's, which judges where the operator has said nothing
    fingerprint: Text  #: of the key that was pinned; empty if none was


class QueueList(Shape, frozen=True):
    queues: Annotated[tuple[PeerNow, ...], Meta(max_length=ADMIN_LISTED_MAX)]  #: the longest first
    left_out: U53  #: how many more there are


class QueueActed(Shape, frozen=True):
    provider: Name
    action: QueueAction
    count: U53  #: envelopes that wait, or that were given up
    linked: bool


class TraceStep(Shape, frozen=True):
    at_ms: U53
    event: Event
    party: Name  #: the other party: a provider, an address, or a device
    code: U16  #: why; 0: no reason


class MessageTrace(Shape, frozen=True):
    id: Text  #: 32 hexadecimal digits
    node: Name  #: who knows this
    state: State
    code: U16  #: why; 0: no reason
    next_try_ms: U53
    rows: Annotated[tuple[TraceStep, ...], Meta(max_length=ARRAY_MAX_ITEMS)]  #: oldest first


class ProviderLeft(Shape, frozen=True):
    provider: Name
    told: U53  #: linked peers
    moved_to: Name
    left_behind: U53  #: reports that could not be delivered


class Copied(Shape, frozen=True):
    file: Text


class Stopped(Shape, frozen=True):
    provider: Name


# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


class OperatorRequest(Struct, Generic[A], frozen=True, array_like=True, gc=False):
    """Base of all requests; its argument is the type of the answer."""


def answer_type(question: type[OperatorRequest[A]]) -> type[A]:
    """What is answered to a request of this type."""
    (base,) = (each for each in question.__dict__["__orig_bases__"] if get_args(each))
    (found,) = get_args(base)
    kind: type[A] = found
    return kind


class GetStatus(OperatorRequest[NodeStatus], frozen=True, tag=1):
    """The node, its links, queues and rates."""


class AddUser(OperatorRequest[InviteMade], frozen=True, tag=2):
    """`again`: a further invite for a user who exists."""

    user: Name
    again: bool = False


class ListUsers(OperatorRequest[UserList], frozen=True, tag=3):
    pass


class RemoveUser(OperatorRequest[UserRemoved], frozen=True, tag=4):
    user: Name


class SetReach(OperatorRequest[UserNow], frozen=True, tag=5):
    user: Name
    reach: ReachMode
    providers: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()


class ListPeers(OperatorRequest[PeerList], frozen=True, tag=6):
    pass


class SetPeer(OperatorRequest[PeerActed], frozen=True, tag=7):
    """`key`: what to pin, a key or a fingerprint."""

    provider: Name
    action: PeerAction
    key: Text = ""


class ListQueue(OperatorRequest[QueueList], frozen=True, tag=8):
    pass


class ActOnQueue(OperatorRequest[QueueActed], frozen=True, tag=9):
    provider: Name
    action: QueueAction


class Why(OperatorRequest[MessageTrace], frozen=True, tag=10):
    """The trace of a message, by its id in hexadecimal."""

    id: Annotated[str, Meta(max_length=64)]


class Leave(OperatorRequest[ProviderLeft], frozen=True, tag=11):
    """Sign a tombstone, tell all peers, and stop. `moved_to`: another provider, or empty."""

    moved_to: Name = ""


class Backup(OperatorRequest[Copied], frozen=True, tag=12):
    """Copy the database to a file on the node's machine."""

    target: Text


class Stop(OperatorRequest[Stopped], frozen=True, tag=13):
    pass


Request = (
    GetStatus
    | AddUser
    | ListUsers
    | RemoveUser
    | SetReach
    | ListPeers
    | SetPeer
    | ListQueue
    | ActOnQueue
    | Why
    | Leave
    | Backup
    | Stop
)


class Response(Struct, frozen=True, array_like=True, gc=False):
    """Code 0: `answer` is one of the request's type; else `text` is what to tell the person."""

    code: U16
    text: Text = ""
    answer: Blob = b""
    version: Text = ""  #: of the program that answers
