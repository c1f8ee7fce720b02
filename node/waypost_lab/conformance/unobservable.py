"""The clauses that say MUST and that no check can judge, each with the reason and with the test that holds ours to it.

A clause stands here or has a check, never both; tests/lab/conformance/test_coverage.py sees to that.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Unobservable:
    """`tested`: where this implementation is held to it, from the root of the tree; empty: nowhere yet."""

    clause: str
    reason: str
    tested: str


_APP = "Binds apps. A node can neither break it nor see it kept"
_SEAL = "Is about what is inside a sealed body, which nodes cannot read and apps alone make"
_DNS = "Shows only in what the node asks of the DNS and makes of the answers, and the checker is not the node's DNS"

_GROUPS: tuple[tuple[str, dict[str, str]], ...] = (
    (
        "Binds the authors of later versions of these documents",
        {"WIRE-11": "tests/protocol/test_golden.py"},
    ),
    (
        _APP,
        {
            "WIRE-25": "tests/protocol/test_envelope.py",
            "LINK-21": "tests/client/test_profile.py",
            "CUST-19": "tests/client/test_receiving.py",
            "CUST-27": "tests/client/test_sending.py",
            "CUST-29": "tests/client/test_profile.py",
            "DIR-1": "tests/protocol/test_invite.py",
            "DIR-2": "tests/client/test_profile.py",
            "DIR-9": "tests/client/test_profile.py",
            "DIR-21": "tests/protocol/test_bundle.py",
            "DIR-22": "tests/client/test_receiving.py",
            "DIR-23": "tests/client/test_receiving.py",
            "DIR-24": "tests/client/test_receiving.py",
            "DIR-39": "tests/client/test_receiving.py",
            "DIR-40": "tests/client/test_receiving.py",
            "DIR-42": "",
            "DIR-43": "tests/crypto/test_fingerprint.py",
        },
    ),
    (
        _SEAL,
        {
            "DIR-29": "tests/crypto/test_seal.py",
            "DIR-30": "tests/crypto/test_kem.py",
            "DIR-31": "tests/crypto/test_seal.py",
            "DIR-32": "tests/crypto/test_seal.py",
            "DIR-33": "tests/crypto/test_seal.py",
            "DIR-34": "tests/crypto/test_padding.py",
            "DIR-35": "tests/client/test_sending.py",
            "DIR-36": "tests/crypto/test_seal.py",
            "DIR-37": "tests/client/test_receiving.py",
            "DIR-38": "tests/client/test_receiving.py",
        },
    ),
    (
        _DNS,
        {
            "LINK-24": "tests/routing/test_policy.py",
            "LINK-39": "tests/discovery/test_dns.py",
            "LINK-40": "tests/discovery/test_txt.py",
            "LINK-41": "tests/discovery/test_dns.py",
            "LINK-42": "tests/discovery/test_dns.py",
        },
    ),
    (
        "Shows only on the node's own network, by mDNS, which a checker that comes by address does not hear",
        {
            "WIRE-18": "tests/crypto/test_keys.py",
            "LINK-36": "tests/discovery/test_txt.py",
            "LINK-37": "tests/discovery/test_txt.py",
            "LINK-38": "tests/discovery/test_mdns.py",
        },
    ),
)

UNOBSERVABLE: tuple[Unobservable, ...] = tuple(
    Unobservable(clause, reason, tested) for reason, clauses in _GROUPS for clause, tested in clauses.items()
)
