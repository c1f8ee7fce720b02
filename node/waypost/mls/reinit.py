"""Groups that come from groups: reinitialisation (RFC 9420 §11.2) and subgroup branching (§11.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import Randomness
from waypost.mls.base.kdf import NH
from waypost.mls.base.registry import MLS10, ResumptionPskUsage
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import cipher_suite
from waypost.mls.group import Group
from waypost.mls.objects.extensions import Extensions
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import LeafNodeContent, Lifetime
from waypost.mls.objects.proposals import Add, PreSharedKey, Proposal
from waypost.mls.objects.psk import ResumptionPskId
from waypost.mls.steps.committing import CommitOptions, TreeDelivery, WelcomeSplit
from waypost.mls.steps.creating import GroupSpec
from waypost.mls.steps.epoch import GroupStatus, PendingCommit


@dataclass(frozen=True)
class SuccessorOptions:
    """What the maker of the new group brings: fresh key packages of the others, and its own leaf node's contents."""

    key_packages: Sequence[KeyPackage]
    content: LeafNodeContent
    lifetime: Lifetime
    signature_key: SignatureKey = field(repr=False)
    #: Of a branched group. A reinitialised one has those of the ReInit.
    extensions: Extensions = ()
    tree: TreeDelivery = TreeDelivery.IN_WELCOME
    split: WelcomeSplit = WelcomeSplit.ONE_FOR_ALL


def reinitialise(old: Group, options: SuccessorOptions, random: Randomness, now: int) -> tuple[Group, PendingCommit]:
    """The group that the ReInit of the old one describes, with a commit that adds the others; merge it at once.

    Its Welcomes go to the others, who join with the old group as `JoinOptions.predecessor`. Raises MlsError:
    NO_PREDECESSOR if no ReInit has been committed, REINIT_MISMATCH if it asks for a version that does not exist here,
    REINIT_MEMBERS if a member of the old group is not added.
    """
    asked = old.snapshot.reinit
    if old.status is not GroupStatus.REINITIALISED or asked is None:
        raise MlsError(MlsFault.NO_PREDECESSOR)
    if asked.version != MLS10:
        raise MlsError(MlsFault.REINIT_MISMATCH, f"version {asked.version}")
    coming = {package.leaf_node.credential for package in options.key_packages} | {options.content.credential}
    if not {member.credential for member in old.members()} <= coming:
        raise MlsError(MlsFault.REINIT_MEMBERS)
    suite = cipher_suite(asked.cipher_suite)
    spec = GroupSpec(asked.group_id, suite, options.content, options.lifetime, asked.extensions)
    return _succeed(old, spec, ResumptionPskUsage.REINIT, options, (random, now))


def branch(
    old: Group, group_id: bytes, options: SuccessorOptions, random: Randomness, now: int
) -> tuple[Group, PendingCommit]:
    """A group of some members of the old one, with a commit that adds them; merge it at once.

    Raises MlsError(BRANCH_MEMBERS) for a client that is not a member of the old group.
    """
    present = {member.credential for member in old.members()}
    if any(package.leaf_node.credential not in present for package in options.key_packages):
        raise MlsError(MlsFault.BRANCH_MEMBERS)
    spec = GroupSpec(group_id, old.suite, options.content, options.lifetime, options.extensions)
    return _succeed(old, spec, ResumptionPskUsage.BRANCH, options, (random, now))


def _succeed(
    old: Group, spec: GroupSpec, usage: ResumptionPskUsage, options: SuccessorOptions, given: tuple[Randomness, int]
) -> tuple[Group, PendingCommit]:
    random, now = given
    group = Group.create(spec, options.signature_key, random, old.rules)
    psk = PreSharedKey(ResumptionPskId(usage, old.group_id, old.epoch, random(NH)))
    proposals: tuple[Proposal, ...] = (*map(Add, options.key_packages), psk)
    how = CommitOptions(proposals, tree=options.tree, split=options.split, usage=usage)
    return group.commit(random, now, how, old.snapshot.own_psks())
