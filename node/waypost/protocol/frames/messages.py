"""The messages of a link, as frozen types. `docs/protocol/wire.md` is their specification.

A message is a msgpack array `[type, field, …]`; the field order here is the order on the wire. Type and kind numbers
are never reused. Unknown trailing elements are ignored, so a field may be added at the end with a default.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from msgspec import Meta, Struct

from waypost.limits import (
    ARRAY_MAX_ITEMS,
    BATCH_MAX_ENVELOPES,
    BUNDLE_MAX_BYTES,
    DEVICE_LIST_MAX_BYTES,
    ENVELOPE_MAX_BYTES,
    FRAME_MAX_BYTES,
    NOTICE_IDS_MAX,
    PACKAGE_MAX_BYTES,
    PACKAGES_PER_DEVICE_MAX,
    PROVIDER_MAX_CHARS,
    RECORD_FEATURES_MAX,
    RECORD_MAX_BYTES,
    RECORDS_PER_MESSAGE_MAX,
    SIGNAL_MAX_BYTES,
    SUITE_MAX_CHARS,
    SUITES_PER_CLAIM_MAX,
    TEXT_MAX_CHARS,
    USER_MAX_CHARS,
)

ID_BYTES = 16
KEY_BYTES = 32
SIGNATURE_BYTES = 64
ADDRESS_MAX_CHARS = USER_MAX_CHARS + 1 + PROVIDER_MAX_CHARS

U16 = Annotated[int, Meta(ge=0, le=2**16 - 1)]
U32 = Annotated[int, Meta(ge=0, le=2**32 - 1)]
U53 = Annotated[int, Meta(ge=0, le=2**53 - 1)]  #: fits a float64, so that every language can hold it
Key = Annotated[bytes, Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
Signature = Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]
Id = Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES)]
Ids = Annotated[bytes, Meta(max_length=ID_BYTES * NOTICE_IDS_MAX)]  #: whole ids, one after the other
Text = Annotated[str, Meta(max_length=TEXT_MAX_CHARS)]
Name = Annotated[str, Meta(max_length=ADDRESS_MAX_CHARS)]
Suite = Annotated[str, Meta(min_length=1, max_length=SUITE_MAX_CHARS)]
Blob = Annotated[bytes, Meta(max_length=FRAME_MAX_BYTES)]
RecordBytes = Annotated[bytes, Meta(max_length=RECORD_MAX_BYTES)]
PackageBytes = Annotated[bytes, Meta(max_length=PACKAGE_MAX_BYTES)]


class Role(IntEnum):
    """What a side of a link is."""

    NODE = 0
    DEVICE = 1


class _Message(Struct, frozen=True, array_like=True, gc=False):
    """Base of all; holds the encoding options in one place."""


class Hello(_Message, frozen=True, tag=1):
    """First message of each side: who I say I am, and what I grant you."""

    version_min: U16
    version_max: U16
    role: Role
    #: a node: its provider; a device: its account's address
    name: Name
    key: Key
    features: Annotated[
        tuple[Annotated[str, Meta(max_length=SUITE_MAX_CHARS)], ...], Meta(max_length=RECORD_FEATURES_MAX)
    ]
    #: the TLS group that this side sees, so that a downgrade shows
    group: Annotated[str, Meta(max_length=64)]
    now_ms: U53
    window_envelopes: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    #: at least one envelope, or nothing could ever be offered
    window_bytes: Annotated[int, Meta(ge=ENVELOPE_MAX_BYTES, le=2**32 - 1)]
    #: a node: its signed node record; a device: empty
    record: RecordBytes = b""
    #: a node: the epoch of its key directory
    epoch: U53 = 0


class Proof(_Message, frozen=True, tag=2):
    """Second message of each side: a signature that binds the key in Hello to this very TLS connection."""

    signature: Signature


class Offer(_Message, frozen=True, tag=3):
    """Take these envelopes into custody. Batch numbers of one link and direction rise from 1."""

    batch: U32
    envelopes: Annotated[
        tuple[Annotated[bytes, Meta(max_length=ENVELOPE_MAX_BYTES)], ...],
        Meta(min_length=1, max_length=BATCH_MAX_ENVELOPES),
    ]


class Receipt(_Message, frozen=True, tag=4):
    """The answer to an Offer or a Delivered: `payload` is an encoded `ReceiptPayload`, signed by the receiver's key."""

    payload: Annotated[bytes, Meta(max_length=64 * 1024)]
    signature: Signature


class Outcome(_Message, frozen=True):
    """What became of some envelopes of one sender to one recipient. Code 0: delivered; else the reason's number."""

    sender: Annotated[str, Meta(max_length=USER_MAX_CHARS)]
    recipient: Name
    code: U16
    at_ms: U53
    ids: Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES * BATCH_MAX_ENVELOPES)]


class Delivered(_Message, frozen=True, tag=5):
    """Outcomes on their way back to the sender; in custody like envelopes, so answered by a Receipt."""

    batch: U32
    outcomes: Annotated[tuple[Outcome, ...], Meta(min_length=1, max_length=BATCH_MAX_ENVELOPES)]


class Join(_Message, frozen=True, tag=1):
    """A device asks to be the first, or a further, device of the account that an invite names."""

    token: Id
    device_list: Annotated[bytes, Meta(max_length=DEVICE_LIST_MAX_BYTES)]
    label: Annotated[str, Meta(max_length=64)] = ""


class Publish(_Message, frozen=True, tag=2):
    """One-time packages and the last-resort one, added under an upload id: the same upload again changes nothing."""

    upload: Id
    epoch: U53
    packages: Annotated[tuple[PackageBytes, ...], Meta(max_length=PACKAGES_PER_DEVICE_MAX)]
    last_resort: PackageBytes = b""


class Claim(_Message, frozen=True, tag=3):
    """Keys to write to an address; the same request id gets the same answer."""

    request: Id
    address: Name
    suites: Annotated[tuple[Suite, ...], Meta(min_length=1, max_length=SUITES_PER_CLAIM_MAX)]


class Track(_Message, frozen=True, tag=4):
    """Where is this message? Devices ask about what they sent or received."""

    id: Id


class Records(_Message, frozen=True, tag=5):
    """Node records that the asker knows; answered with those that the other side knows."""

    records: Annotated[tuple[RecordBytes, ...], Meta(max_length=RECORDS_PER_MESSAGE_MAX)]


class AskReach(_Message, frozen=True, tag=6):
    """Who may write to the asking account from elsewhere: `all`, `none` or `some` providers; `show` changes nothing."""

    mode: Annotated[str, Meta(max_length=8)]
    providers: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()


Ask = Join | Publish | Claim | Track | Records | AskReach


class Query(_Message, frozen=True, tag=6):
    """A request; the id is the asker's, unique among its open ones."""

    id: U32
    ask: Ask


class Answer(_Message, frozen=True, tag=7):
    """The answer to a Query. Code 0: `body` is the encoded reply of the method, signed where the method says so."""

    id: U32
    code: U16
    text: Text = ""
    body: Blob = b""
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)] = b""


class NoticeKind(IntEnum):
    """What a Notice tells."""

    HELD = 1  #: `ids` are in the custody of the recipient's node since `at_ms`
    WAITING = 2  #: `ids` wait because of `code`; next try at `at_ms`
    KEYS_LOW = 3  #: `code` one-time packages are left
    RECORD = 4  #: `data` is a signed node record, new or changed


class Notice(_Message, frozen=True, tag=8):
    """News that need no answer and may be lost."""

    kind: U16  #: a `NoticeKind`, or one that only a newer peer knows, to be ignored
    code: U16 = 0
    at_ms: U53 = 0
    ids: Ids = b""
    data: RecordBytes = b""


class Signal(_Message, frozen=True, tag=9):
    """Ephemeral, such as typing: passed on if the way is open now, else dropped; never stored."""

    recipient: Name
    sender: Name
    suite: Suite
    body: Annotated[bytes, Meta(max_length=SIGNAL_MAX_BYTES)]


class Ping(_Message, frozen=True, tag=10):
    nonce: U32


class Pong(_Message, frozen=True, tag=11):
    nonce: U32


class Goodbye(_Message, frozen=True, tag=12):
    """The last message of a side that closes a link on purpose."""

    code: U16
    text: Text = ""


Message = Hello | Proof | Offer | Receipt | Delivered | Query | Answer | Notice | Signal | Ping | Pong | Goodbye


class Refusal(_Message, frozen=True):
    """A verdict other than "accepted": the envelope at `index` of the batch was refused with `code`."""

    index: Annotated[int, Meta(ge=0, lt=BATCH_MAX_ENVELOPES)]
    code: U16
    #: for a refusal for now: seconds after which trying again makes sense; 0 = the holder's own schedule
    retry_s: U32 = 0


class ReceiptPayload(_Message, frozen=True):
    """What a Receipt signs. `digest` is BLAKE2b-256 over the batch's ids, in order: it says *what* was received."""

    batch: U32
    at_ms: U53
    digest: Key
    refusals: Annotated[tuple[Refusal, ...], Meta(max_length=BATCH_MAX_ENVELOPES)] = ()


class TrackRow(_Message, frozen=True):
    """One line of a trace. `event` is one of those listed in docs/protocol/custody.md."""

    at_ms: U53
    event: Annotated[str, Meta(max_length=32)]
    #: the other party of the step: a provider, an address, or a device
    party: Name = ""
    code: U16 = 0


class TrackReply(_Message, frozen=True):
    """The answer to Track: what this node knows, oldest first; `next_try_ms` 0 when nothing is waiting here."""

    rows: Annotated[tuple[TrackRow, ...], Meta(max_length=ARRAY_MAX_ITEMS)]
    state: Annotated[str, Meta(max_length=32)]
    next_try_ms: U53 = 0
    code: U16 = 0


class JoinReply(_Message, frozen=True):
    address: Name
    node_record: RecordBytes
    epoch: U53


class PublishReply(_Message, frozen=True):
    """How many one-time packages of this device are left, and the directory's epoch."""

    left: U32
    epoch: U53


class DeviceKeys(_Message, frozen=True):
    """One device in a claim's answer. `state`: `one-time`, `last-resort`, `exhausted` or `incompatible`."""

    device: Key
    state: Annotated[str, Meta(max_length=16)]
    package: PackageBytes = b""


class ClaimReply(_Message, frozen=True):
    """The signed key bundle: device list signed by the identity key, a package per device, all signed by the node."""

    request: Id
    address: Name
    at_ms: U53
    device_list: Annotated[bytes, Meta(max_length=DEVICE_LIST_MAX_BYTES)]
    devices: Annotated[tuple[DeviceKeys, ...], Meta(max_length=16)]


class ClaimAnswer(_Message, frozen=True):
    """What a device gets: the serving node's signed `ClaimReply`, and that node's record to check it against."""

    reply: Annotated[bytes, Meta(max_length=BUNDLE_MAX_BYTES)]
    signature: Signature
    node_record: RecordBytes


class RecordsReply(_Message, frozen=True):
    records: Annotated[tuple[RecordBytes, ...], Meta(max_length=RECORDS_PER_MESSAGE_MAX)]


class ReachReply(_Message, frozen=True):
    mode: Annotated[str, Meta(max_length=8)]
    providers: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()
