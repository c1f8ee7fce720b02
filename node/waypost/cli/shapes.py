"""What `--json` prints, verb by verb: what a node answers, and the verbs' own. docs/json.md is made from this.

Programs read these names, so none is ever changed.
"""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Struct, UnsetType, field

from waypost.protocol import operator as node
from waypost.protocol.custody.fate import State
from waypost.protocol.directory.reach import ReachMode


class NewNode(node.Shape, frozen=True):
    provider: str
    state: str  #: the state directory
    key: str  #: the node's, public
    fingerprint: str  #: 60 digits in groups


class PeerTold(node.PeerActed, frozen=True):
    text: str  #: the same for people


class QueueTold(node.QueueActed, frozen=True):
    text: str  #: the same for people


class KeyShown(node.Shape, frozen=True):
    provider: str
    key: str
    fingerprint: str  #: 60 digits in groups


class ProfileStep(node.Shape, frozen=True):
    at_ms: int
    event: State
    code: int  #: why; 0: no reason
    party: str = ""


class ProfileTrace(node.Shape, frozen=True):
    """What the profile itself knows, where its node cannot be asked or has not had the message yet."""

    id: str  #: 32 hexadecimal digits
    node: str  #: `this profile`
    state: State
    code: int  #: why; 0: no reason
    next_try_ms: int
    rows: tuple[ProfileStep, ...]  #: oldest first


class CheckFinding(node.Shape, frozen=True):
    subject: str
    state: str  #: `ok`, `note` or `fault`
    detail: str
    remedy: str  #: what to do; may be empty


class CheckReport(node.Shape, frozen=True):
    faults: int
    findings: tuple[CheckFinding, ...]


class BackupMade(node.Shape, frozen=True):
    file: str
    provider: str
    with_keys: bool
    bytes: int


class BackupRestored(node.Shape, frozen=True):
    state: str  #: the state directory
    provider: str
    made_ms: int  #: when the backup was made
    with_keys: bool


class Joined(node.Shape, frozen=True):
    address: str
    profile: str  #: its directory


class SentMessage(node.Shape, frozen=True):
    id: str  #: 32 hexadecimal digits
    to: str
    state: State
    at_ms: int  #: since when it is so
    code: int  #: why; 0: no reason
    reason: str  #: the code in words


class InboxMessage(node.Shape, frozen=True):
    id: str  #: as the sender knows it
    sender: str = field(name="from")
    media_type: str
    sent_ms: int  #: by the sender's clock
    received_ms: int
    identity_changed: bool  #: the sender's identity key is not the one pinned for the address
    error: str | None  #: why it cannot be opened
    text: str | UnsetType = UNSET  #: of a text message
    body: str | UnsetType = UNSET  #: of any other, base64


class ReachShown(node.Shape, frozen=True):
    reach: ReachMode  #: empty: the provider decides
    providers: tuple[str, ...]  #: with `some`: who may write


class SafetyNumber(node.Shape, frozen=True):
    address: str
    you: str
    safety_number: str  #: 60 digits in groups


class ErrorShown(node.Shape, frozen=True):
    """Without code and number it is the operating system's."""

    text: str  #: for people
    code: str | UnsetType = UNSET  #: the name in docs/protocol/errors.md
    number: int | UnsetType = UNSET  #: the number there


class VerbFailed(node.Shape, frozen=True):
    error: ErrorShown


#: Every verb that takes --json. `status --watch` and `inbox` print one object a line.
SHAPES: Final[dict[str, tuple[type[Struct], ...]]] = {
    "init": (NewNode,),
    "user add": (node.InviteMade,),
    "user list": (node.UserList,),
    "user remove": (node.UserRemoved,),
    "user reach": (node.UserNow,),
    "status": (node.NodeStatus,),
    "peers": (node.PeerList,),
    "peers list": (node.PeerList,),
    "peers allow": (PeerTold,),
    "peers block": (PeerTold,),
    "peers clear": (PeerTold,),
    "peers pin": (PeerTold,),
    "peers fingerprint": (KeyShown,),
    "peers forget": (PeerTold,),
    "queue": (node.QueueList,),
    "queue list": (node.QueueList,),
    "queue retry": (QueueTold,),
    "queue drop": (QueueTold,),
    "why": (node.MessageTrace, ProfileTrace),
    "check": (CheckReport,),
    "backup": (BackupMade,),
    "restore": (BackupRestored,),
    "leave": (node.ProviderLeft,),
    "join": (Joined,),
    "send": (SentMessage,),
    "inbox": (InboxMessage,),
    "reach": (ReachShown,),
    "safety": (SafetyNumber,),
}
