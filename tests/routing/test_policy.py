"""Every combination of what can be known, against a slow twin: a list of rules, the first that fits wins."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import pytest

from waypost.crypto.fingerprint import node_fingerprint
from waypost.errors import Code
from waypost.ids import Provider
from waypost.protocol.directory.record import NodeRecord, RecordState
from waypost.protocol.directory.trust import Mode, PeerPolicy, Trust
from waypost.routing.policy import Admit, Candidate, Deny, DnsEvidence, Verdict, admit

OWN = Provider("own.example")
NAMES = (Provider("peer.local"), Provider("peer.example"), OWN)
PROVEN, OTHER, CONFIGURED, STRANGER = (bytes([n]) * 32 for n in range(1, 5))


@dataclass(frozen=True)
class Row:
    key: bytes
    trust: Trust
    policy: PeerPolicy


def record(name: str, key: bytes = PROVEN, old_key: bytes = b"", state: RecordState = RecordState.ACTIVE) -> NodeRecord:
    return NodeRecord(1, name, key, 1, 0, 1, (), (), state, old_key=old_key)


def records(name: str) -> list[NodeRecord | None]:
    return [
        None,
        record(name),
        record(name, old_key=OTHER),
        record(name, old_key=CONFIGURED),
        record(name, old_key=STRANGER),
        record("else.example", old_key=OTHER),
        record(name, key=STRANGER, old_key=OTHER),
        record(name, state=RecordState.GONE),
        record(name, old_key=OTHER, state=RecordState.MOVED),
    ]


def rows() -> list[Row | None]:
    keys = [(b"", Trust.NONE), *product((PROVEN, OTHER), (each for each in Trust if each))]
    return [None] + [Row(key, trust, policy) for (key, trust), policy in product(keys, PeerPolicy)]


def claims() -> Iterator[Candidate]:
    for name in NAMES:
        yield from (
            Candidate(name, PROVEN, *rest)
            for rest in product(records(name), rows(), DnsEvidence, (None, PROVEN, CONFIGURED, OTHER), (False, True))
        )


def twin(claim: Candidate, mode: Mode) -> Admit | Code:  # noqa: C901 - a list of rules, on purpose
    row = claim.known or Row(b"", Trust.NONE, PeerPolicy.NONE)
    mine = claim.record and (claim.record.name, claim.record.key) == (claim.name, PROVEN)
    old = claim.record.old_key if claim.record and mine else b""
    gone = bool(claim.record and mine and claim.record.state != RecordState.ACTIVE)
    if row.policy == "block":
        return Code.BLOCKED
    if claim.name == OWN:
        return Code.NAME_IN_USE
    if mode is Mode.ALLOWLIST and row.policy != "allow":
        return Code.NOT_ADMITTED
    # Keys that speak for the name: what the operator wrote, what we pinned.
    if claim.configured_key == PROVEN:
        return Admit() if row.key == PROVEN else Admit(Trust.PINNED)
    if claim.configured_key is not None:
        handed_on = row.key != b"" and row.trust == "succession"
        if row.key == PROVEN and handed_on:
            return Admit()
        speakers = {claim.configured_key} | ({row.key} if handed_on else set())
        return Admit(Trust.SUCCESSION) if old in speakers else Code.KEY_CHANGED
    if row.key == PROVEN:
        return Admit()
    if row.key:
        return Admit(Trust.SUCCESSION) if old == row.key else Code.KEY_CHANGED
    if gone:
        return Code.NOT_ADMITTED
    if claim.name.endswith(".local"):
        named = claim.dialed_configured or row.policy == "allow"
        return Admit(Trust.FIRST_USE) if mode is Mode.OPEN or named else Code.UNVERIFIED
    if claim.dns is DnsEvidence.MATCHES:
        return Admit(Trust.DNS)
    if mode is Mode.OPEN and claim.dns is DnsEvidence.NONE:
        return Admit(Trust.FIRST_USE)
    return Code.UNVERIFIED


@pytest.mark.parametrize("mode", Mode)
def test_every_combination(mode: Mode) -> None:
    seen: set[Admit | Code] = set()
    for claim in claims():
        verdict = admit(claim, OWN, mode)
        plain = verdict.code if isinstance(verdict, Deny) else verdict
        assert plain == twin(claim, mode), claim
        seen.add(plain)
    assert {Code.BLOCKED, Code.NAME_IN_USE, Code.KEY_CHANGED, Admit(), Admit(Trust.SUCCESSION)} <= seen


def test_no_key_but_the_rightful_one_ever_gets_a_pinned_name() -> None:
    """The promise itself, apart from the rules: with another key pinned, only its signature or the operator helps."""
    for mode, claim in product(Mode, claims()):
        pinned = claim.known is not None and claim.known.key == OTHER
        signed = claim.record is not None and claim.record.old_key in (OTHER, CONFIGURED)
        if pinned and not signed and claim.configured_key != PROVEN:
            assert isinstance(admit(claim, OWN, mode), Deny), claim


def refusal(verdict: Verdict) -> Deny:
    assert isinstance(verdict, Deny)
    return verdict


def test_a_changed_key_is_shown_with_both_fingerprints_and_what_to_do() -> None:
    name = NAMES[1]
    advice = refusal(
        admit(Candidate(name, PROVEN, known=Row(OTHER, Trust.DNS, PeerPolicy.NONE)), OWN, Mode.KNOWN)
    ).advice
    assert node_fingerprint(OTHER, name) in advice
    assert node_fingerprint(PROVEN, name) in advice
    assert f"waypost peers pin {name} FINGERPRINT" in advice
    assert "DNS" not in advice
    vouched = Candidate(name, PROVEN, known=Row(OTHER, Trust.DNS, PeerPolicy.NONE), dns=DnsEvidence.MATCHES)
    assert "The DNS names the new key." in refusal(admit(vouched, OWN, Mode.KNOWN)).advice


def test_every_refusal_names_the_peer_in_its_advice() -> None:
    for mode, claim in product(Mode, claims()):
        verdict = admit(claim, OWN, mode)
        if isinstance(verdict, Deny):
            assert claim.name in verdict.advice
