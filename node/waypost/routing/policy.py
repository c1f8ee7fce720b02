"""Whether a peer node that has proved its key is the node that it says it is, and welcome.

The key is proven by the handshake; the name is only claimed. What binds the two: a key learnt before and pinned, a
succession signed by that key, the operator's word, the DNS, or, where nothing else can, the first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from typing import Protocol

from waypost.crypto.fingerprint import node_fingerprint
from waypost.errors import Code
from waypost.ids import Provider, is_lan
from waypost.protocol.directory.record import NodeRecord, RecordState
from waypost.protocol.directory.trust import Mode, PeerPolicy, Trust


class DnsEvidence(Enum):
    """What the provider's `_waypost` TXT record, or its well-known document, says of the proven key."""

    NONE = "none"  #: nothing published, not asked, or no answer
    MATCHES = "matches"
    DIFFERS = "differs"


class KnownPeer(Protocol):
    """What is remembered of a name; the store's peer row is one."""

    @property
    def key(self) -> bytes:
        """Empty: only heard of."""

    @property
    def trust(self) -> Trust: ...

    @property
    def policy(self) -> PeerPolicy: ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A proven link whose name is to be judged, and everything known about that name."""

    name: Provider
    key: bytes  #: proven by the handshake
    record: NodeRecord | None = None  #: the peer's own, as `open_record` returned it
    known: KnownPeer | None = None
    dns: DnsEvidence = DnsEvidence.NONE
    configured_key: bytes | None = None  #: that the operator wrote down for this name
    dialed_configured: bool = False  #: we opened the link, to an address that the operator wrote down for this name


@dataclass(frozen=True, slots=True)
class Admit:
    """The peer is welcome. `pin`: its key is new under this name, to be stored as learnt this way; None: no news."""

    pin: Trust | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """The peer is told the code; `advice` is for our own operator."""

    code: Code
    advice: str


Verdict = Admit | Deny


def admit(candidate: Candidate, own_name: Provider, mode: Mode) -> Verdict:
    """Judge a candidate: the block list first, then our own name, then the allow list, then the key."""
    policy = candidate.known.policy if candidate.known else PeerPolicy.NONE
    name = candidate.name
    if policy is PeerPolicy.BLOCK:
        return Deny(Code.BLOCKED, f"{name} is on the block list; to lift it: waypost peers allow {name}.")
    if name == own_name:
        return Deny(
            Code.NAME_IN_USE,
            f"Another node claims our own name {name}. If both are yours, rename one; else tell its operator.",
        )
    if mode is Mode.ALLOWLIST and policy is not PeerPolicy.ALLOW:
        return Deny(Code.NOT_ADMITTED, f"{name} is not on the allow list; to admit it: waypost peers allow {name}.")
    pinned = candidate.known.key if candidate.known else b""
    return _judge_change(candidate, pinned) if pinned or candidate.configured_key else _judge_unknown(candidate, mode)


def _judge_change(candidate: Candidate, pinned: bytes) -> Verdict:
    """A key is on record for this name: pinned, configured or both."""
    configured = candidate.configured_key or b""
    if candidate.key == configured:
        return Admit(None if candidate.key == pinned else Trust.PINNED)
    if candidate.key == pinned and (not configured or _followed(candidate)):
        return Admit()
    old_key = _predecessor(candidate)
    # The configured key speaks for the name until it has handed the name on; then the key that it was handed to does.
    rightful = pinned if not configured or _followed(candidate) else configured
    if old_key and old_key in (rightful, configured):
        return Admit(Trust.SUCCESSION)
    return _key_changed(candidate, rightful)


def _followed(candidate: Candidate) -> bool:
    return candidate.known is not None and bool(candidate.known.key) and candidate.known.trust is Trust.SUCCESSION


def _predecessor(candidate: Candidate) -> bytes:
    """The key that signed the proven one as its successor under this name; empty if none did."""
    record = candidate.record
    if record is None or record.name != candidate.name or record.key != candidate.key:
        return b""
    return record.old_key


def _key_changed(candidate: Candidate, rightful: bytes) -> Deny:
    name = candidate.name
    dns = " The DNS names the new key." if candidate.dns is DnsEvidence.MATCHES else ""
    return Deny(
        Code.KEY_CHANGED,
        f"{name} is bound to the key with fingerprint {_fingerprint(rightful, name)}, but the peer has the one with "
        f"{_fingerprint(candidate.key, name)}.{dns} If its operator confirms the second: "
        f"waypost peers pin {name} FINGERPRINT.",
    )


# Some 5 ms each: a peer that keeps coming back with the wrong key shall cost them once.
@lru_cache(maxsize=256)
def _fingerprint(key: bytes, name: Provider) -> str:
    return node_fingerprint(key, name)


def _judge_unknown(candidate: Candidate, mode: Mode) -> Verdict:
    """No key is on record for this name."""
    name, record = candidate.name, candidate.record
    if (
        record is not None
        and record.name == name
        and record.key == candidate.key
        and record.state != RecordState.ACTIVE
    ):
        return Deny(Code.NOT_ADMITTED, f"{name} is unknown here and announces that it has closed; nothing to do.")
    if is_lan(name):
        named = candidate.dialed_configured or (
            candidate.known is not None and candidate.known.policy is PeerPolicy.ALLOW
        )
        if mode is Mode.OPEN or named:
            return Admit(Trust.FIRST_USE)
        return Deny(
            Code.UNVERIFIED,
            f"{name} is new, and nothing vouches for a .local name. Ask its operator for the fingerprint, then: "
            f"waypost peers pin {name} FINGERPRINT.",
        )
    if candidate.dns is DnsEvidence.MATCHES:
        return Admit(Trust.DNS)
    if candidate.dns is DnsEvidence.NONE and mode is Mode.OPEN:
        return Admit(Trust.FIRST_USE)
    found = "names another key" if candidate.dns is DnsEvidence.DIFFERS else "names no key"
    return Deny(
        Code.UNVERIFIED,
        f"The DNS {found} for {name}. Its operator can publish it; or ask for the fingerprint, then: "
        f"waypost peers pin {name} FINGERPRINT.",
    )
