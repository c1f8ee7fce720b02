"""What one side of a link may ask the other, and the replies. `docs/protocol/directory.md` specifies them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from waypost.limits import (
    ARRAY_MAX_ITEMS,
    BUNDLE_MAX_BYTES,
    DEVICE_LIST_MAX_BYTES,
    PACKAGE_MAX_BYTES,
    PACKAGES_PER_DEVICE_MAX,
    RECORDS_PER_MESSAGE_MAX,
    SUITES_PER_CLAIM_MAX,
)
from waypost.protocol.frames.codec import U16, U32, U53, Id, Key, Name, Positional, RecordBytes, Signature, Suite

PackageBytes = Annotated[bytes, Meta(max_length=PACKAGE_MAX_BYTES)]


class Join(Positional, frozen=True, tag=1):
    """A device asks to be the first, or a further, device of the account that an invite names."""

    token: Id
    device_list: Annotated[bytes, Meta(max_length=DEVICE_LIST_MAX_BYTES)]
    label: Annotated[str, Meta(max_length=64)] = ""


class Publish(Positional, frozen=True, tag=2):
    """One-time packages and the last-resort one, added under an upload id: the same upload again changes nothing."""

    upload: Id
    epoch: U53
    packages: Annotated[tuple[PackageBytes, ...], Meta(max_length=PACKAGES_PER_DEVICE_MAX)]
    last_resort: PackageBytes = b""


class Claim(Positional, frozen=True, tag=3):
    """Keys to write to an address; the same request id gets the same answer."""

    request: Id
    address: Name
    suites: Annotated[tuple[Suite, ...], Meta(min_length=1, max_length=SUITES_PER_CLAIM_MAX)]


class Track(Positional, frozen=True, tag=4):
    """Where is this message? Devices ask about what they sent or received."""

    id: Id


class Records(Positional, frozen=True, tag=5):
    """Node records that the asker knows; answered with those that the other side knows."""

    records: Annotated[tuple[RecordBytes, ...], Meta(max_length=RECORDS_PER_MESSAGE_MAX)]


class AskReach(Positional, frozen=True, tag=6):
    """Who may write to the asking account from elsewhere: `all`, `none` or `some` providers; `show` changes nothing."""

    mode: Annotated[str, Meta(max_length=8)]
    providers: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()


Ask = Join | Publish | Claim | Track | Records | AskReach


class TrackRow(Positional, frozen=True):
    """One line of a trace. `event` is one of those listed in docs/protocol/custody.md."""

    at_ms: U53
    event: Annotated[str, Meta(max_length=32)]
    #: the other party of the step: a provider, an address, or a device
    party: Name = ""
    code: U16 = 0


class TrackReply(Positional, frozen=True):
    """The answer to Track: what this node knows, oldest first; `next_try_ms` 0 when nothing is waiting here."""

    rows: Annotated[tuple[TrackRow, ...], Meta(max_length=ARRAY_MAX_ITEMS)]
    state: Annotated[str, Meta(max_length=32)]
    next_try_ms: U53 = 0
    code: U16 = 0


class JoinReply(Positional, frozen=True):
    address: Name
    node_record: RecordBytes
    epoch: U53


class PublishReply(Positional, frozen=True):
    """How many one-time packages of this device are left, and the directory's epoch."""

    left: U32
    epoch: U53


class DeviceKeys(Positional, frozen=True):
    """One device in a claim's answer. `state`: `one-time`, `last-resort`, `exhausted` or `incompatible`."""

    device: Key
    state: Annotated[str, Meta(max_length=16)]
    package: PackageBytes = b""


class ClaimReply(Positional, frozen=True):
    """The signed key bundle: device list signed by the identity key, a package per device, all signed by the node."""

    request: Id
    address: Name
    at_ms: U53
    device_list: Annotated[bytes, Meta(max_length=DEVICE_LIST_MAX_BYTES)]
    devices: Annotated[tuple[DeviceKeys, ...], Meta(max_length=16)]


class ClaimAnswer(Positional, frozen=True):
    """What a device gets: the serving node's signed `ClaimReply`, and that node's record to check it against."""

    reply: Annotated[bytes, Meta(max_length=BUNDLE_MAX_BYTES)]
    signature: Signature
    node_record: RecordBytes


class RecordsReply(Positional, frozen=True):
    records: Annotated[tuple[RecordBytes, ...], Meta(max_length=RECORDS_PER_MESSAGE_MAX)]


class ReachReply(Positional, frozen=True):
    mode: Annotated[str, Meta(max_length=8)]
    providers: Annotated[tuple[Name, ...], Meta(max_length=256)] = ()
