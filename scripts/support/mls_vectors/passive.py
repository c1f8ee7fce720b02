"""Passive clients: one who joins by a Welcome and follows what the others do, through the public interface alone."""

from __future__ import annotations

from scripts.support.mls_vectors.check import NOW, RULES, Case, same

from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import cipher_suite
from waypost.mls.group import Group, ProposalMessage, StagedCommit
from waypost.mls.objects.framing import decode_message
from waypost.mls.objects.key_package import KeyPackage, KeyPackageBundle
from waypost.mls.objects.psk import Psks
from waypost.mls.steps.joining import JoinOptions


def passive_case(case: Case) -> None:
    psks = Psks({psk["psk_id"]: psk["psk"] for psk in case["external_psks"]})
    tree = None if case["ratchet_tree"] is None else case["ratchet_tree"]
    group = Group.join(case["welcome"], _bundle(case), JoinOptions(psks, tree), RULES)
    same("initial epoch authenticator", group.epoch_authenticator, case["initial_epoch_authenticator"])
    for number, epoch in enumerate(case["epochs"]):
        for proposal in epoch["proposals"]:
            processed = group.process(proposal, NOW, psks)
            assert isinstance(processed, ProposalMessage), f"epoch {number}: a proposal is none"
            group = processed.group
        group = Group.load(group.state(), RULES)
        staged = group.process(epoch["commit"], NOW, psks)
        assert isinstance(staged, StagedCommit), f"epoch {number}: a commit is none"
        group = staged.apply(NOW)
        same(f"epoch authenticator {number}", group.epoch_authenticator, epoch["epoch_authenticator"])
    same("state, stored and read", Group.load(group.state(), RULES).state(), group.state())


def _bundle(case: Case) -> KeyPackageBundle:
    package = decode_message(case["key_package"])
    assert isinstance(package, KeyPackage)
    kem = cipher_suite(case["cipher_suite"]).kem
    init, encryption = kem.private_key(case["init_priv"]), kem.private_key(case["encryption_priv"])
    bundle = KeyPackageBundle(package, init, encryption, SignatureKey(case["signature_priv"]))
    bundle.check()
    return bundle
