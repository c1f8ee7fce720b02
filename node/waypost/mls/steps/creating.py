"""Creating a group (RFC 9420 §11)."""

from __future__ import annotations

from dataclasses import dataclass

from waypost.mls.base.hpke import Randomness
from waypost.mls.base.kdf import NH
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import CipherSuite
from waypost.mls.keys.key_schedule import Schedule, from_epoch_secret
from waypost.mls.objects.extensions import Extensions
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.leaf_node import LeafNodeContent, Lifetime, sign_for_key_package
from waypost.mls.steps.epoch import GroupState, MemberKeys, begin_epoch, first_state
from waypost.mls.steps.proposal_list import check_context_extensions
from waypost.mls.tree.leaf_validation import GroupParameters, check_leaf
from waypost.mls.tree.ratchet_tree import RatchetTree


@dataclass(frozen=True)
class GroupSpec:
    """A new group. `group_id` should be random (§11 suggests 32 bytes); `content` and `lifetime` are the creator's."""

    group_id: bytes
    suite: CipherSuite
    content: LeafNodeContent
    lifetime: Lifetime
    extensions: Extensions = ()


def create(spec: GroupSpec, signature_key: SignatureKey, random: Randomness) -> GroupState:
    """A group of one member, in epoch 0. Raises MlsError if the creator does not support what the group requires."""
    encryption_key = spec.suite.derive_key_pair(random(NH))
    leaf = sign_for_key_package(spec.content, encryption_key.public, spec.lifetime, signature_key)
    check_context_extensions(spec.extensions)
    check_leaf(leaf, 0, GroupParameters.of(spec.suite, spec.group_id, spec.extensions))
    tree = RatchetTree([leaf])
    context = GroupContext(spec.suite.value, spec.group_id, 0, tree.root_hash(), b"", spec.extensions)
    secrets, encryption_secret = from_epoch_secret(random(NH))
    begun = Schedule(b"", b"", encryption_secret, secrets)
    own = MemberKeys(0, {0: encryption_key}, signature_key)
    return first_state(*begin_epoch(spec.suite, context, tree, begun, own))
