"""Passive clients: one who joins by a Welcome and follows what the others do, through the public interface alone."""

from __future__ import annotations

from typing import Any

from scripts.support.mls_vectors.check import NOW, RULES, same, unhex

from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import cipher_suite
from waypost.mls.group import Group, ProposalMessage, StagedCommit
from waypost.mls.objects.framing import decode_message
from waypost.mls.objects.key_package import KeyPackage, KeyPackageBundle
from waypost.mls.objects.psk import Psks
from waypost.mls.steps.joining import JoinOptions

Case = dict[str, Any]


def passive_case(case: Case) -> None:
    psks = Psks({unhex(psk["psk_id"]): unhex(psk["psk"]) for psk in case["external_psks"]})
    tree = None if case["ratchet_tree"] is None else unhex(case["ratchet_tree"])
    group = Group.join(unhex(case["welcome"]), _bundle(case), JoinOptions(psks, tree), RULES)
    same("initial epoch authenticator", group.epoch_authenticator, unhex(case["initial_epoch_authenticator"]))
    for number, epoch in enumerate(case["epochs"]):
        for proposal in epoch["proposals"]:
            processed = group.process(unhex(proposal), NOW, psks)
            assert isinstance(processed, ProposalMessage), f"epoch {number}: a proposal is none"
            group = processed.group
        group = Group.load(group.state(), RULES)
        staged = group.process(unhex(epoch["commit"]), NOW, psks)
        assert isinstance(staged, StagedCommit), f"epoch {number}: a commit is none"
        group = staged.apply(NOW)
        same(f"epoch authenticator {number}", group.epoch_authenticator, unhex(epoch["epoch_authenticator"]))
    same("state, stored and read", Group.load(group.state(), RULES).state(), group.state())


def _bundle(case: Case) -> KeyPackageBundle:
    package = decode_message(unhex(case["key_package"]))
    assert isinstance(package, KeyPackage)
    kem = cipher_suite(case["cipher_suite"]).kem
    init, encryption = kem.private_key(unhex(case["init_priv"])), kem.private_key(unhex(case["encryption_priv"]))
    bundle = KeyPackageBundle(package, init, encryption, SignatureKey(unhex(case["signature_priv"])))
    bundle.check()
    return bundle
