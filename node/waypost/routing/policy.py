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
class Claim:
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
class Refuse:
    """The peer is told the code; `advice` is for our own operator."""

    code: Code
    advice: str


Verdict = Admit | Refuse


def admit(claim: Claim, own_name: Provider, mode: Mode) -> Verdict:
    """Judge a claim: the block list first, then our own name, then the allow list, then the key."""
    policy = claim.known.policy if claim.known else PeerPolicy.NONE
    name = claim.name
    if policy is PeerPolicy.BLOCK:
        return Refuse(Code.BLOCKED, f"{name} is on the block list; to lift it: waypost peers allow {name}.")
    if name == own_name:
        return Refuse(
            Code.NAME_IN_USE,
            f"Another node claims our own name {name}. If both are yours, rename one; else tell its operator.",
        )
    if mode is Mode.ALLOWLIST and policy is not PeerPolicy.ALLOW:
        return Refuse(Code.NOT_ADMITTED, f"{name} is not on the allow list; to admit it: waypost peers allow {name}.")
    pinned = claim.known.key if claim.known else b""
    return _judge_change(claim, pinned) if pinned or claim.configured_key else _judge_unknown(claim, mode)


def _judge_change(claim: Claim, pinned: bytes) -> Verdict:
    """A key is on record for this name: pinned, configured or both."""
    configured = claim.configured_key or b""
    if claim.key == configured:
        return Admit(None if claim.key == pinned else Trust.PINNED)
    if claim.key == pinned and (not configured or _followed(claim)):
        return Admit()
    old_key = _predecessor(claim)
    # The configured key speaks for the name until it has handed the name on; then the key that it was handed to does.
    rightful = pinned if not configured or _followed(claim) else configured
    if old_key and old_key in (rightful, configured):
        return Admit(Trust.SUCCESSION)
    return _key_changed(claim, rightful)


def _followed(claim: Claim) -> bool:
    return claim.known is not None and bool(claim.known.key) and claim.known.trust is Trust.SUCCESSION


def _predecessor(claim: Claim) -> bytes:
    """The key that signed the proven one as its successor under this name; empty if none did."""
    record = claim.record
    if record is None or record.name != claim.name or record.key != claim.key:
        return b""
    return record.old_key


def _key_changed(claim: Claim, rightful: bytes) -> Refuse:
    name = claim.name
    dns = " The DNS names the new key." if claim.dns is DnsEvidence.MATCHES else ""
    return Refuse(
        Code.KEY_CHANGED,
        f"{name} is bound to the key with fingerprint {_fingerprint(rightful, name)}, but the peer has the one with "
        f"{_fingerprint(claim.key, name)}.{dns} If its operator confirms the second: "
        f"waypost peers pin {name} FINGERPRINT.",
    )


# Some 5 ms each: a peer that keeps coming back with the wrong key shall cost them once.
@lru_cache(maxsize=256)
def _fingerprint(key: bytes, name: Provider) -> str:
    return node_fingerprint(key, name)


def _judge_unknown(claim: Claim, mode: Mode) -> Verdict:
    """No key is on record for this name."""
    name, record = claim.name, claim.record
    if record is not None and record.name == name and record.key == claim.key and record.state != RecordState.ACTIVE:
        return Refuse(Code.NOT_ADMITTED, f"{name} is unknown here and announces that it has closed; nothing to do.")
    if is_lan(name):
        named = claim.dialed_configured or (claim.known is not None and claim.known.policy is PeerPolicy.ALLOW)
        if mode is Mode.OPEN or named:
            return Admit(Trust.FIRST_USE)
        return Refuse(
            Code.UNVERIFIED,
            f"{name} is new, and nothing vouches for a .local name. Ask its operator for the fingerprint, then: "
            f"waypost peers pin {name} FINGERPRINT.",
        )
    if claim.dns is DnsEvidence.MATCHES:
        return Admit(Trust.DNS)
    if claim.dns is DnsEvidence.NONE and mode is Mode.OPEN:
        return Admit(Trust.FIRST_USE)
    found = "names another key" if claim.dns is DnsEvidence.DIFFERS else "names no key"
    return Refuse(
        Code.UNVERIFIED,
        f"The DNS {found} for {name}. Its operator can publish it; or ask for the fingerprint, then: "
        f"waypost peers pin {name} FINGERPRINT.",
    )
