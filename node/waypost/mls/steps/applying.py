"""Applying a proposal list (RFC 9420 §12.3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import PATH_REQUIRED
from waypost.mls.objects.extensions import Extensions
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from waypost.mls.objects.psk import PskId
from waypost.mls.steps.proposal_list import SentProposal
from waypost.mls.tree.leaf_validation import GroupParameters, check_content
from waypost.mls.tree.ratchet_tree import RatchetTree


@dataclass(frozen=True)
class Applied:
    """A tree with the proposals applied, and what else they ask for. The tree is the caller's to change further."""

    tree: RatchetTree
    extensions: Extensions
    added: tuple[tuple[int, KeyPackage], ...]
    removed: tuple[tuple[int, LeafNode], ...]
    #: (leaf index, before, after)
    updated: tuple[tuple[int, LeafNode, LeafNode], ...]
    psks: tuple[PskId, ...]
    kem_output: bytes | None
    reinit: ReInit | None
    path_required: bool

    @property
    def new_leaves(self) -> frozenset[int]:
        return frozenset(index for index, _ in self.added)


def new_parameters(proposals: Iterable[SentProposal], parameters: GroupParameters) -> GroupParameters:
    """The group's parameters with the extensions that the list sets, if it does (§12.3: they come first)."""
    for sent in proposals:
        if isinstance(sent.proposal, GroupContextExtensions):
            return GroupParameters.of(parameters.suite, parameters.group_id, sent.proposal.extensions)
    return parameters


def apply_list(proposals: Iterable[SentProposal], tree: RatchetTree, parameters: GroupParameters) -> Applied:
    """Apply a valid list to a copy of the tree. `parameters` are the new ones."""
    proposals = tuple(proposals)
    after = tree.copy()
    updated = []
    for sent in proposals:
        if isinstance(sent.proposal, Update):
            leaf_index = sent.sender.index
            updated.append((leaf_index, tree.member(leaf_index), sent.proposal.leaf_node))
            after.update(leaf_index, sent.proposal.leaf_node)
    removed = []
    for sent in proposals:
        if isinstance(sent.proposal, Remove):
            removed.append((sent.proposal.removed, tree.member(sent.proposal.removed)))
            after.remove(sent.proposal.removed)
    if removed:
        after.truncate()
    added = []
    for sent in proposals:
        if isinstance(sent.proposal, Add):
            package = sent.proposal.key_package
            added.append((after.add(package.leaf_node), package))
    contents = [sent.proposal for sent in proposals]
    if any(isinstance(proposal, GroupContextExtensions) for proposal in contents):
        _check_everyone_supports(after, parameters)
    return Applied(
        tree=after,
        extensions=parameters.extensions,
        added=tuple(added),
        removed=tuple(removed),
        updated=tuple(updated),
        psks=tuple(proposal.psk for proposal in contents if isinstance(proposal, PreSharedKey)),
        kem_output=next((proposal.kem_output for proposal in contents if isinstance(proposal, ExternalInit)), None),
        reinit=next((proposal for proposal in contents if isinstance(proposal, ReInit)), None),
        path_required=not contents or any(proposal.type in PATH_REQUIRED for proposal in contents),
    )


def _check_everyone_supports(tree: RatchetTree, parameters: GroupParameters) -> None:
    """§12.1.7, §13.4: those who stay and those who come support the new extensions."""
    faults = {
        MlsFault.LEAF_LACKS_REQUIRED: MlsFault.REQUIRED_NOT_SUPPORTED,
        MlsFault.LEAF_LACKS_GROUP_EXTENSION: MlsFault.CONTEXT_EXTENSION_NOT_SUPPORTED,
    }
    for leaf_index, leaf in tree.members():
        try:
            check_content(leaf, parameters)
        except MlsError as error:
            raise MlsError(faults.get(error.fault, error.fault), f"leaf {leaf_index}") from None
