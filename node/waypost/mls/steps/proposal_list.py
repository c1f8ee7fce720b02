"""Which proposals are valid, and in which lists (RFC 9420 §12.1, §12.2). How a list is applied is in `applying`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import EXTERNAL_ALLOWED, MLS10, LeafNodeSource, ResumptionPskUsage, SenderType
from waypost.mls.base.signing import check_signature_key
from waypost.mls.objects.extensions import Extensions, external_senders
from waypost.mls.objects.framing import Sender
from waypost.mls.objects.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
)
from waypost.mls.objects.psk import ResumptionPskId, check_nonce
from waypost.mls.tree.leaf_validation import GroupParameters, check_key_package, check_leaf, check_source
from waypost.mls.tree.ratchet_tree import RatchetTree


@dataclass(frozen=True)
class SentProposal:
    """A proposal with who proposed it; `reference` is empty for one that a commit carries by value."""

    proposal: Proposal
    sender: Sender
    reference: bytes = b""

    @property
    def by_new_member(self) -> bool:
        """True for one that anybody can have sent: only the application knows whether it is wanted (§12.1.8)."""
        return self.sender.type is SenderType.NEW_MEMBER_PROPOSAL


@dataclass(frozen=True)
class ProposalView:
    """What proposals are judged against. `usage` is the resumption PSK usage allowed now, beside application."""

    tree: RatchetTree
    parameters: GroupParameters
    now: int
    rules: Rules
    usage: ResumptionPskUsage = ResumptionPskUsage.APPLICATION


# ── one proposal ─────────────────────────────────────────────────────────────────────────────────────────────────


def check_sender(proposal: Proposal, sender: Sender) -> None:
    """§6.1, §12.1.8: who may send what. Raises MlsError."""
    if sender.type is SenderType.EXTERNAL and proposal.type not in EXTERNAL_ALLOWED:
        raise MlsError(MlsFault.EXTERNAL_PROPOSAL_TYPE, proposal.type.name)
    if sender.type is SenderType.NEW_MEMBER_PROPOSAL and not isinstance(proposal, Add):
        raise MlsError(MlsFault.NEW_MEMBER_PROPOSAL_TYPE, proposal.type.name)


def check_proposal(sent: SentProposal, view: ProposalView) -> None:
    """§12.1: what makes this proposal invalid by itself. Raises the MlsError of the first check that fails."""
    proposal = sent.proposal
    check_sender(proposal, sent.sender)
    match proposal:
        case Add():
            check_key_package(proposal.key_package, view.parameters, view.now, view.rules)
        case Update():
            _check_update(proposal, sent.sender.index, view)
        case Remove():
            if view.tree.leaf(proposal.removed) is None:
                raise MlsError(MlsFault.REMOVE_OF_BLANK, f"leaf {proposal.removed}")
        case PreSharedKey():
            _check_psk(proposal, view.usage)
        case ReInit():
            if proposal.version < MLS10:
                raise MlsError(MlsFault.REINIT_DOWNGRADE, f"version {proposal.version}")
        case GroupContextExtensions():
            check_context_extensions(proposal.extensions)
        case ExternalInit():
            if sent.sender.type is not SenderType.NEW_MEMBER_COMMIT:
                raise MlsError(MlsFault.EXTERNAL_INIT_BY_MEMBER)


def check_context_extensions(extensions: Extensions) -> None:
    """The group's extensions can be read, and its external senders have usable keys."""
    for sender in external_senders(extensions):
        check_signature_key(sender.signature_key)


def _check_update(proposal: Update, leaf_index: int, view: ProposalView) -> None:
    leaf = proposal.leaf_node
    check_source(leaf, LeafNodeSource.UPDATE)
    if leaf.encryption_key == view.tree.member(leaf_index).encryption_key:
        raise MlsError(MlsFault.ENCRYPTION_KEY_UNCHANGED)
    check_leaf(leaf, leaf_index, view.parameters)


def _check_psk(proposal: PreSharedKey, allowed: ResumptionPskUsage) -> None:
    check_nonce(proposal.psk)
    if isinstance(proposal.psk, ResumptionPskId):
        usage = proposal.psk.usage
        if usage not in (ResumptionPskUsage.APPLICATION, allowed):
            raise MlsError(MlsFault.PSK_USAGE, usage.name)


# ── the list of a commit ─────────────────────────────────────────────────────────────────────────────────────────


def check_list(proposals: Iterable[SentProposal], committer: int, view: ProposalView) -> None:
    """§12.2 for a member's commit. Raises the MlsError of the first rule that is broken."""
    proposals = tuple(proposals)
    check_shape(proposals, committer, view.tree)
    for sent in proposals:
        check_proposal(sent, view)


def check_shape(proposals: tuple[SentProposal, ...], committer: int, tree: RatchetTree) -> None:
    """The same for what proposals are together, each being valid by itself."""
    kinds = Counter(type(sent.proposal) for sent in proposals)
    if kinds[ReInit] and len(proposals) > 1:
        raise MlsError(MlsFault.REINIT_NOT_ALONE)
    if kinds[ExternalInit]:
        raise MlsError(MlsFault.EXTERNAL_INIT_BY_MEMBER)
    if kinds[GroupContextExtensions] > 1:
        raise MlsError(MlsFault.CONTEXT_EXTENSIONS_TWICE)
    _check_changed_leaves(proposals, committer)
    _check_psks_differ(proposals)
    _check_adds(proposals, tree)


def _check_changed_leaves(proposals: tuple[SentProposal, ...], committer: int) -> None:
    changed: set[int] = set()
    for sent in proposals:
        if isinstance(sent.proposal, Update):
            leaf = sent.sender.index
            if leaf == committer:
                raise MlsError(MlsFault.UPDATE_BY_COMMITTER)
        elif isinstance(sent.proposal, Remove):
            leaf = sent.proposal.removed
            if leaf == committer:
                raise MlsError(MlsFault.REMOVE_OF_COMMITTER)
        else:
            continue
        if leaf in changed:
            raise MlsError(MlsFault.LEAF_CHANGED_TWICE, f"leaf {leaf}")
        changed.add(leaf)


def _check_psks_differ(proposals: tuple[SentProposal, ...]) -> None:
    psks = [sent.proposal.psk for sent in proposals if isinstance(sent.proposal, PreSharedKey)]
    if len(set(psks)) != len(psks):
        raise MlsError(MlsFault.PSK_TWICE)


def _check_adds(proposals: tuple[SentProposal, ...], tree: RatchetTree) -> None:
    added = [sent.proposal.key_package.leaf_node.signature_key for sent in proposals if isinstance(sent.proposal, Add)]
    if not added:
        return
    if len(set(added)) != len(added):
        raise MlsError(MlsFault.ADD_TWICE)
    removed = {sent.proposal.removed for sent in proposals if isinstance(sent.proposal, Remove)}
    staying = {leaf.signature_key for index, leaf in tree.members() if index not in removed}
    if not staying.isdisjoint(added):
        raise MlsError(MlsFault.ADD_OF_MEMBER)


def check_external_list(proposals: Iterable[SentProposal], view: ProposalView) -> None:
    """§12.2 for an external commit. Raises the MlsError of the first rule that is broken."""
    proposals = tuple(proposals)
    if any(sent.reference for sent in proposals):
        raise MlsError(MlsFault.EXTERNAL_COMMIT_REFERENCE)
    kinds = Counter(type(sent.proposal) for sent in proposals)
    if kinds[ExternalInit] != 1:
        raise MlsError(MlsFault.EXTERNAL_COMMIT_INIT, f"{kinds[ExternalInit]} of them")
    if kinds[Remove] > 1:
        raise MlsError(MlsFault.EXTERNAL_COMMIT_REMOVES)
    if kinds.keys() - {ExternalInit, Remove, PreSharedKey}:
        raise MlsError(MlsFault.EXTERNAL_COMMIT_PROPOSAL)
    _check_psks_differ(proposals)
    for sent in proposals:
        check_proposal(sent, view)


def choose(
    cached: Iterable[SentProposal], by_value: Iterable[SentProposal], committer: int, view: ProposalView
) -> list[SentProposal]:
    """Of the cached proposals, those that go together with each other and with what is committed by value (§12.2).

    Removes win over Updates, later Updates over earlier ones, and anything over a ReInit. What has become invalid,
    what the committer may not commit itself (its own Update, its own removal), and what new members propose, is left
    out.
    """
    taken = {_subject(sent) for sent in by_value}
    if ReInit in taken:
        return []
    members = {leaf.signature_key for _, leaf in view.tree.members()}
    chosen: dict[object, SentProposal] = {}
    for sent in cached:
        if sent.by_new_member:
            continue
        subject = _subject(sent)
        if subject in taken or subject in members or subject == committer or not _is_valid(sent, view):
            continue
        earlier = chosen.get(subject)
        if earlier is None or isinstance(earlier.proposal, Update):
            chosen[subject] = sent
    reinit = chosen.pop(ReInit, None)
    return [reinit] if reinit is not None and not chosen and not taken else list(chosen.values())


def _subject(sent: SentProposal) -> object:
    """What a proposal is about: of two with the same subject a list can have only one."""
    match sent.proposal:
        case Update():
            return sent.sender.index
        case Remove(removed=leaf):
            return leaf
        case Add(key_package=package):
            return package.leaf_node.signature_key
        case PreSharedKey(psk=psk):
            return psk
        case other:
            return type(other)


def _is_valid(sent: SentProposal, view: ProposalView) -> bool:
    try:
        check_proposal(sent, view)
    except MlsError:
        return False
    return True
