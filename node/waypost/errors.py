"""Every error of Waypost, with its number.

One list serves the wire, the command line, the documents and the logs; `docs/protocol/errors.md` is generated from it.
A number is never given to another meaning. What a peer is told is the number and the short title here; details that
could help an attacker stay in the log.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Kind(Enum):
    """What whoever receives the code should do."""

    FAULT = "fault"  #: the peer broke the protocol; the link closes
    LATER = "later"  #: refused for now; keep it and try again
    NEVER = "never"  #: refused for good; tell the sender
    LOCAL = "local"  #: this side's own trouble; never sent to a peer


class _Entry(NamedTuple):
    number: int
    kind: Kind
    title: str
    remedy: str


class Code(Enum):
    """A numbered error: `Code.NAME.number`, `.kind`, `.title` (for anyone), `.remedy` (for whoever can act)."""

    # 100–199: faults of the peer on a link. Sent in Goodbye; the link closes.
    BAD_FRAME = _Entry(
        100, Kind.FAULT, "frame cannot be decoded", "Report it to the peer's operator: their software is at fault."
    )
    FRAME_TOO_LARGE = _Entry(101, Kind.FAULT, "frame exceeds the limit", "Send frames of at most 1 MiB.")
    UNKNOWN_TYPE = _Entry(102, Kind.FAULT, "unknown message type", "Negotiate a version that both sides speak.")
    OUT_OF_ORDER = _Entry(
        103, Kind.FAULT, "message not allowed in this phase", "Send Hello, then Proof, then anything else."
    )
    VERSION = _Entry(104, Kind.FAULT, "no protocol version in common", "Upgrade the older of the two nodes.")
    BAD_SIGNATURE = _Entry(
        105,
        Kind.FAULT,
        "signature does not verify",
        "Check that the right key signs; if it does, someone altered the data.",
    )
    BAD_PROOF = _Entry(
        106,
        Kind.FAULT,
        "link proof does not verify",
        "Something between the two nodes ends TLS, or replays; connect directly.",
    )
    WINDOW_EXCEEDED = _Entry(
        107, Kind.FAULT, "more offered than the window allows", "Offer no more than the receiver has granted."
    )
    BATCH_TOO_LARGE = _Entry(108, Kind.FAULT, "batch exceeds the limit", "Offer at most 512 envelopes in a batch.")
    BAD_RECEIPT = _Entry(
        109,
        Kind.FAULT,
        "receipt does not match an offer",
        "Report it to the peer's operator: their software is at fault.",
    )
    DUPLICATE_BATCH = _Entry(110, Kind.FAULT, "batch number used twice", "Number the batches of a link upwards from 1.")
    SILENT = _Entry(111, Kind.FAULT, "nothing heard for too long", "Check the network between the two sides.")
    WRONG_PEER = _Entry(
        112,
        Kind.FAULT,
        "another node than expected answered",
        "Check the address; if it is right, ask the peer's operator for the fingerprint.",
    )
    TOO_SLOW = _Entry(113, Kind.FAULT, "handshake took too long", "Check the network between the two sides.")
    CLOCK_SKEW = _Entry(114, Kind.FAULT, "clocks differ by more than 5 minutes", "Set both clocks by NTP.")
    TOO_MANY_REQUESTS = _Entry(
        115, Kind.FAULT, "more requests in flight than allowed", "Wait for answers before asking more."
    )

    # 150–179: why a link is refused or closed although the protocol was kept.
    CLOSING = _Entry(150, Kind.LATER, "node is shutting down", "Connect again in a while.")
    DUPLICATE_LINK = _Entry(151, Kind.LATER, "another link to this peer is kept", "Nothing to do.")
    NOT_ADMITTED = _Entry(
        152,
        Kind.NEVER,
        "peer is not admitted here",
        "Ask the operator of the other node to allow yours: waypost peers allow NAME.",
    )
    BLOCKED = _Entry(153, Kind.NEVER, "peer is blocked here", "The operator of the other node has blocked yours.")
    KEY_CHANGED = _Entry(
        154,
        Kind.NEVER,
        "name is bound to another key",
        "If the peer really has a new key, compare fingerprints and run: waypost peers pin NAME FINGERPRINT.",
    )
    UNVERIFIED = _Entry(
        155,
        Kind.NEVER,
        "name cannot be verified",
        "Pin the peer's key: waypost peers pin NAME FINGERPRINT, or publish it in DNS.",
    )
    UNKNOWN_DEVICE = _Entry(
        156, Kind.NEVER, "device is not in the account's device list", "Join again with a new invite."
    )
    TOO_MANY_LINKS = _Entry(157, Kind.LATER, "too many links", "Try again later.")
    REPLACED = _Entry(
        158, Kind.LATER, "a newer link of this device took over", "Use one program at a time on a profile."
    )
    NAME_IN_USE = _Entry(159, Kind.NEVER, "peer claims our own name", "Two nodes have one name: rename one of them.")

    # 200–299: refused for now. The holder keeps the envelope and tries again.
    STORE_FULL = _Entry(
        200, Kind.LATER, "node's storage is full", "Free disk space; the node takes up again by itself."
    )
    MAILBOX_FULL = _Entry(
        201, Kind.LATER, "recipient's mailbox is full", "It empties when the recipient's device fetches its messages."
    )
    QUEUE_FULL = _Entry(
        202, Kind.LATER, "queue for that provider is full", "It empties when the provider can be reached again."
    )
    RATE_LIMITED = _Entry(203, Kind.LATER, "sending too fast", "Slow down; it is sent again by itself.")
    UNREACHABLE = _Entry(
        204, Kind.LATER, "provider cannot be reached", "It is tried again by itself; see: waypost queue."
    )
    INTERNAL = _Entry(205, Kind.LATER, "internal trouble", "It is tried again by itself; the node's log says more.")
    BUSY = _Entry(206, Kind.LATER, "node is overloaded", "It is tried again by itself.")
    TIMED_OUT = _Entry(207, Kind.LATER, "no answer in time", "It is tried again by itself.")
    NO_KEYS = _Entry(
        208,
        Kind.LATER,
        "recipient's devices have published no keys yet",
        "It is tried again when the recipient's app has been online.",
    )

    # 300–399: refused for good. The sender is told.
    NOT_FOUND = _Entry(
        300, Kind.NEVER, "no such user", "Check the address; the user may not accept messages from your provider."
    )
    EXPIRED = _Entry(301, Kind.NEVER, "expired before it could be delivered", "Send it again if it still matters.")
    MALFORMED_ENVELOPE = _Entry(302, Kind.NEVER, "envelope is malformed", "Update the app that sent it.")
    NOT_OURS = _Entry(303, Kind.NEVER, "envelope is for another provider", "Send it to the provider that it names.")
    FORGED_SENDER = _Entry(
        304,
        Kind.NEVER,
        "sender does not belong to this link",
        "A device sends for its own account, a node for its own users.",
    )
    TOO_LARGE = _Entry(305, Kind.NEVER, "body exceeds the limit", "Send at most 64 KiB in one message.")
    PEER_GONE = _Entry(306, Kind.NEVER, "provider has closed", "Ask the recipient for another address.")
    PROVIDER_UNKNOWN = _Entry(307, Kind.NEVER, "no such provider", "Check the part after the @.")
    FROM_FUTURE = _Entry(308, Kind.NEVER, "created more than 5 minutes in the future", "Set the sender's clock.")
    DROPPED = _Entry(309, Kind.NEVER, "dropped by the operator", "Ask the operator of your provider.")
    ACCOUNT_REMOVED = _Entry(310, Kind.NEVER, "account has been removed", "Ask the recipient for another address.")
    TOO_MANY_RECIPIENTS = _Entry(
        311, Kind.NEVER, "too many recipients in one envelope", "Split it: at most 64 recipients each."
    )

    # 400–449: answers to requests.
    BAD_REQUEST = _Entry(400, Kind.NEVER, "request is malformed", "Update the software that asked.")
    INVITE_INVALID = _Entry(
        401, Kind.NEVER, "invite is unknown, used or expired", "Ask the provider for a new one: waypost user add NAME."
    )
    FORBIDDEN = _Entry(402, Kind.NEVER, "not allowed for this link", "Only the account's own devices may ask this.")
    INCOMPATIBLE = _Entry(403, Kind.NEVER, "no suite in common", "Update the older app.")
    CONFLICT = _Entry(404, Kind.NEVER, "same request id with other contents", "Use a fresh id for each request.")
    QUOTA = _Entry(405, Kind.NEVER, "more than the limit allows", "Remove something first.")
    USER_EXISTS = _Entry(406, Kind.NEVER, "user exists already", "Choose another name, or: waypost user remove NAME.")
    UNKNOWN_MESSAGE = _Entry(407, Kind.NEVER, "no trace of that message", "Check the id; traces are kept for 7 days.")
    BAD_PACKAGE = _Entry(
        408, Kind.NEVER, "key package cannot be used", "The recipient's app must publish new keys; update it."
    )
    OTHER_IDENTITY = _Entry(
        409,
        Kind.NEVER,
        "account belongs to another identity",
        "An account has one profile: move that one here, or let the provider remove the user and add them again.",
    )

    # 500–599: local: the operator's or the app's own input and surroundings.
    BAD_ADDRESS = _Entry(500, Kind.LOCAL, "not an address", "Write it as user@provider, for example bob@finch.example.")
    BAD_CONFIG = _Entry(501, Kind.LOCAL, "configuration has faults", "Mend the lines named; check with: waypost check.")
    STATE_IN_USE = _Entry(
        502,
        Kind.LOCAL,
        "state directory is in use",
        "Stop the other node first, or name another directory with --state.",
    )
    STATE_TOO_NEW = _Entry(
        503,
        Kind.LOCAL,
        "database was written by a newer version",
        "Install that version, or restore a backup made by this one.",
    )
    WRONG_PASSPHRASE = _Entry(
        504, Kind.LOCAL, "wrong passphrase", "Try again; without it the profile cannot be opened."
    )
    NOT_RUNNING = _Entry(505, Kind.LOCAL, "no node runs on this state directory", "Start it: waypost run.")
    NO_PROFILE = _Entry(506, Kind.LOCAL, "no profile there", "Make one: waypost join INVITE.")
    BAD_INVITE = _Entry(507, Kind.LOCAL, "not an invite", "Paste the whole line that starts with waypost:.")
    STATE_MISSING = _Entry(508, Kind.LOCAL, "no state directory there", "Make one: waypost init NAME.")
    STATE_DAMAGED = _Entry(509, Kind.LOCAL, "state cannot be read", "Restore a backup: waypost restore FILE.")
    PROFILE_EXISTS = _Entry(510, Kind.LOCAL, "there is a profile already", "Choose another directory with --profile.")
    CANNOT_LISTEN = _Entry(
        511, Kind.LOCAL, "cannot listen on that address", "Choose a free port, or stop the program that uses it."
    )
    CANNOT_DECRYPT = _Entry(512, Kind.LOCAL, "message cannot be decrypted", "Ask the sender to send it again.")
    UNSUPPORTED = _Entry(513, Kind.LOCAL, "not supported on this machine", "See docs/operating.md for what is needed.")
    BACKUP_FAILED = _Entry(514, Kind.LOCAL, "backup or restore failed", "Nothing was changed; see the reason given.")
    IDENTITY_CHANGED = _Entry(
        515,
        Kind.LOCAL,
        "recipient's identity key has changed",
        "Compare safety numbers with them (waypost safety ADDRESS), then: waypost send --accept-new-key.",
    )
    PROFILE_IN_USE = _Entry(
        516, Kind.LOCAL, "another program uses this profile", "Stop it first; a profile serves one program at a time."
    )
    NO_LAB = _Entry(
        517, Kind.LOCAL, "no lab there", "Start one: waypost lab up; or name the directory of another with --dir."
    )
    LAB_EXISTS = _Entry(
        518, Kind.LOCAL, "there is a lab already", "End it: waypost lab down; or name another directory with --dir."
    )
    OTHER_VERSION = _Entry(
        519,
        Kind.LOCAL,
        "the node that runs is of another version",
        "Restart it with this version, or use the command of the version that runs.",
    )

    @property
    def number(self) -> int:
        return self.value.number

    @property
    def kind(self) -> Kind:
        return self.value.kind

    @property
    def title(self) -> str:
        return self.value.title

    @property
    def remedy(self) -> str:
        return self.value.remedy

    @property
    def label(self) -> str:
        """The name as shown to people and in JSON: `not-found`."""
        return self.name.lower().replace("_", "-")

    def __str__(self) -> str:
        return f"{self.label} ({self.number})"


_BY_NUMBER = {code.number: code for code in Code}


def code_of(number: int) -> Code | None:
    """The code with that number; None for one that this version does not know."""
    return _BY_NUMBER.get(number)


def describe(number: int) -> str:
    """`"not-found (300)"`, also for a number that only a newer peer knows."""
    code = _BY_NUMBER.get(number)
    return str(code) if code else f"unknown ({number})"


def is_for_good(number: int) -> bool:
    """Whether a refusal with that number is final. An unknown number is taken as temporary: keeping loses nothing."""
    code = _BY_NUMBER.get(number)
    return code is not None and code.kind is Kind.NEVER


class WaypostError(Exception):
    """Base of everything that this package raises on purpose. `str()` is fit for a person: title, detail, remedy."""

    def __init__(self, code: Code, detail: str = "") -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail

    def __str__(self) -> str:
        what = f"{self.code.title}: {self.detail}" if self.detail else self.code.title
        return f"{what}. {self.code.remedy} [{self.code.number}]"


class PeerFault(WaypostError):
    """They broke the protocol. From the core, whatever bytes come in, only this may come out."""


class Refused(WaypostError):
    """A request or an envelope was refused, by a peer, by policy or by a limit; `code.kind` says whether for good."""


class LocalError(WaypostError):
    """This side's own input or surroundings are at fault; whoever runs the program can mend it."""
