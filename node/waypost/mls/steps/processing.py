"""Reading what others send: application messages, proposals, commits (RFC 9420 §6, §12.1, §12.4.2).

Nothing here changes a state: each function returns what the state would become.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace

from waypost.mls.base.bounds import (
    COMMIT_PROPOSALS_MAX,
    NEW_MEMBER_PROPOSALS_MAX,
    NEW_MEMBER_PROPOSALS_MAX_BYTES,
    PROPOSALS_MAX,
    PROPOSALS_MAX_BYTES,
    Rules,
)
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import ZERO, make_proposal_ref
from waypost.mls.base.registry import ContentType, LeafNodeSource, SenderType
from waypost.mls.keys.protection import check_signature, unprotect_private, unprotect_public
from waypost.mls.keys.secret_tree import SecretTree
from waypost.mls.objects.commit import Commit, ProposalRef, UpdatePath
from waypost.mls.objects.extensions import external_senders
from waypost.mls.objects.framing import AuthenticatedContent, PrivateMessage, PublicMessage, Sender
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.proposals import Add, Proposal
from waypost.mls.objects.psk import Psks
from waypost.mls.steps.applying import Applied, apply_list, new_parameters
from waypost.mls.steps.epoch import (
    CachedProposal,
    Epoch,
    GroupState,
    Member,
    MemberKeys,
    NextEpoch,
    PastEpoch,
    SignedContent,
    StepSecrets,
    begin_epoch,
    next_schedule,
    provisional_context,
)
from waypost.mls.steps.proposal_list import ProposalView, SentProposal, check_external_list, check_list, check_proposal
from waypost.mls.tree.leaf_validation import GroupParameters, check_leaf, check_source
from waypost.mls.tree.tree_validation import check_uniqueness
from waypost.mls.tree.treekem import MergedPath, PathRecipient, current_keys, decrypt_path, merge_path


@dataclass(frozen=True)
class VerifiedMessage:
    """A message whose protection and signature hold. `secret_tree` is what is left of the epoch's."""

    message: AuthenticatedContent
    secret_tree: SecretTree = field(repr=False)
    generation: int = 0


def open_current(epoch: Epoch, secret_tree: SecretTree, message: PublicMessage | PrivateMessage) -> VerifiedMessage:
    """A message of the current epoch. Raises MlsError."""
    if isinstance(message, PrivateMessage):
        opened = unprotect_private(message, epoch.keys, secret_tree, lambda leaf: _check_member(epoch, leaf))
        check_signature(
            opened.message, epoch.context.encoded, epoch.tree.member(opened.message.content.sender.index).signature_key
        )
        return VerifiedMessage(opened.message, opened.secret_tree, opened.generation)
    content = unprotect_public(message, epoch.keys)
    check_signature(content, epoch.context.encoded, _signature_key(epoch, content))
    return VerifiedMessage(content, secret_tree)


def open_past(past: PastEpoch, message: PrivateMessage) -> VerifiedMessage:
    """A late application message. Raises MlsError."""
    opened = unprotect_private(message, past.keys, past.secret_tree, lambda leaf: _check_past_member(past, leaf))
    signature_key, _ = past.senders[opened.message.content.sender.index]
    check_signature(opened.message, past.keys.context, signature_key)
    return VerifiedMessage(opened.message, opened.secret_tree, opened.generation)


def _check_member(epoch: Epoch, leaf_index: int) -> None:
    if epoch.tree.leaf(leaf_index) is None:
        raise MlsError(MlsFault.SENDER_BLANK, f"leaf {leaf_index}")
    if leaf_index == epoch.leaf_index:
        raise MlsError(MlsFault.SENDER_SELF)


def _check_past_member(past: PastEpoch, leaf_index: int) -> None:
    if leaf_index not in past.senders:
        raise MlsError(MlsFault.SENDER_BLANK, f"leaf {leaf_index}")
    if leaf_index == past.leaf_index:
        raise MlsError(MlsFault.SENDER_SELF)


def _signature_key(epoch: Epoch, message: AuthenticatedContent) -> bytes:
    """§6.1: whose key a PublicMessage must verify with, and what such a sender may send."""
    sender, content = message.content.sender, message.content.content
    match sender.type:
        case SenderType.MEMBER:
            _check_member(epoch, sender.index)
            return epoch.tree.member(sender.index).signature_key
        case SenderType.EXTERNAL:
            senders = external_senders(epoch.context.extensions)
            if message.content.content_type is not ContentType.PROPOSAL:
                raise MlsError(MlsFault.SENDER_TYPE)
            if sender.index >= len(senders):
                raise MlsError(MlsFault.SENDER_UNKNOWN, f"sender {sender.index} of {len(senders)}")
            return senders[sender.index].signature_key
        case SenderType.NEW_MEMBER_PROPOSAL:
            if message.content.content_type is not ContentType.PROPOSAL:
                raise MlsError(MlsFault.SENDER_TYPE)
            if not isinstance(content, Add):
                raise MlsError(MlsFault.NEW_MEMBER_PROPOSAL_TYPE)
            return content.key_package.leaf_node.signature_key
        case SenderType.NEW_MEMBER_COMMIT:
            if not isinstance(content, Commit):
                raise MlsError(MlsFault.SENDER_TYPE)
            if content.path is None:
                raise MlsError(MlsFault.PATH_REQUIRED)
            return content.path.leaf_node.signature_key


# ── proposals ────────────────────────────────────────────────────────────────────────────────────────────────────


def read_proposal_message(opened: VerifiedMessage, proposal: Proposal, view: ProposalView) -> SentProposal:
    """A proposal that is valid by itself, ready to be cached. Raises MlsError."""
    sender = opened.message.content.sender
    sent = SentProposal(proposal, sender, make_proposal_ref(opened.message.encode()))
    check_proposal(sent, view)
    return sent


def cache(state: GroupState, proposal: CachedProposal) -> dict[bytes, CachedProposal]:
    """The cached proposals with one more. Raises MlsError: PROPOSAL_REPLAYED, TOO_MANY_PROPOSALS."""
    if proposal.sent.reference in state.proposals:
        raise MlsError(MlsFault.PROPOSAL_REPLAYED)
    waiting = [cached.sent for cached in state.proposals.values()]
    _check_room([*waiting, proposal.sent], PROPOSALS_MAX, PROPOSALS_MAX_BYTES)
    if proposal.sent.by_new_member:
        asking = [sent for sent in waiting if sent.by_new_member]
        _check_room([*asking, proposal.sent], NEW_MEMBER_PROPOSALS_MAX, NEW_MEMBER_PROPOSALS_MAX_BYTES)
    return {**state.proposals, proposal.sent.reference: proposal}


def _check_room(proposals: list[SentProposal], most: int, most_bytes: int) -> None:
    size = sum(len(sent.proposal.body()) for sent in proposals)
    if len(proposals) > most or size > most_bytes:
        raise MlsError(MlsFault.TOO_MANY_PROPOSALS, f"{len(proposals)} of {size} bytes")


# ── commits ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class CommitOutcome:
    """What a commit would do. `committer` is as it was before, or who joins; `step` is None if we are removed."""

    committer: Member
    external: bool
    applied: Applied
    path_leaf: LeafNode | None
    step: NextEpoch | None


@dataclass(frozen=True)
class Reading:
    """What reading a commit needs from outside: the time in seconds since 1970, PSKs, the application's rules."""

    now: int
    psks: Psks
    rules: Rules


def process_commit(state: GroupState, opened: VerifiedMessage, commit: Commit, given: Reading) -> CommitOutcome:
    """Everything of §12.4.2 but for making it the state. Raises MlsError."""
    epoch, content = state.epoch, opened.message.content
    proposals = _resolve(state, commit, content.sender)
    parameters = new_parameters(proposals, epoch.parameters)
    applied, leaf_index = _apply(
        proposals, content.sender, ProposalView(epoch.tree, parameters, given.now, given.rules)
    )
    merged = None
    if commit.path is not None:
        _check_path_leaf(epoch, applied, commit.path.leaf_node, leaf_index, parameters)
        merged = _merge(epoch, applied, commit.path, leaf_index)
    elif applied.path_required:
        raise MlsError(MlsFault.PATH_REQUIRED)
    check_uniqueness(applied.tree)
    outcome = _outcome(epoch, content.sender, leaf_index, applied, commit.path)
    if any(index == epoch.leaf_index for index, _ in applied.removed):
        return outcome
    own, commit_secret = _own(state, applied), ZERO
    if merged is not None:
        own, commit_secret = _receive_path(epoch, merged, applied.new_leaves, own)
    secrets = StepSecrets.of(_init_secret(epoch, applied), commit_secret, applied, state.psks(given.psks))
    signed = SignedContent(opened.message.wire_format, content, opened.message.auth.signature)
    context, begun = next_schedule(epoch.context, epoch.interim_transcript_hash, applied, signed, secrets)
    own = replace(own, private_keys=current_keys(applied.tree, own.private_keys))
    after, secret_tree = begin_epoch(epoch.suite, context, applied.tree, begun, own)
    if not hmac.compare_digest(after.confirmation_tag(), opened.message.auth.confirmation_tag or b""):
        raise MlsError(MlsFault.CONFIRMATION_TAG)
    return replace(outcome, step=NextEpoch(after, secret_tree, applied.reinit))


def _apply(proposals: tuple[SentProposal, ...], sender: Sender, view: ProposalView) -> tuple[Applied, int]:
    """The proposals, checked as a list and applied, and the leaf index of the committer in the new tree."""
    if sender.type is SenderType.NEW_MEMBER_COMMIT:
        check_external_list(proposals, view)
        applied = apply_list(proposals, view.tree, view.parameters)
        return applied, applied.tree.free_leaf()
    check_list(proposals, sender.index, view)
    return apply_list(proposals, view.tree, view.parameters), sender.index


def _outcome(epoch: Epoch, sender: Sender, leaf_index: int, applied: Applied, path: UpdatePath | None) -> CommitOutcome:
    external = sender.type is SenderType.NEW_MEMBER_COMMIT
    leaf = None if path is None else path.leaf_node
    before = leaf if external and leaf is not None else epoch.tree.member(leaf_index)
    return CommitOutcome(Member.of(leaf_index, before), external, applied, leaf, None)


def _init_secret(epoch: Epoch, applied: Applied) -> bytes:
    """The epoch's own, or the one of an external commit (§8.3)."""
    if applied.kem_output is None:
        return epoch.secrets.init_secret
    external_priv = epoch.secrets.external_key_pair(epoch.suite)
    return epoch.suite.external_init_receive(external_priv, applied.kem_output)


def _resolve(state: GroupState, commit: Commit, sender: Sender) -> tuple[SentProposal, ...]:
    if len(commit.proposals) > COMMIT_PROPOSALS_MAX:
        raise MlsError(MlsFault.TOO_MANY_PROPOSALS, f"{len(commit.proposals)} in a commit")
    proposals = []
    for proposal in commit.proposals:
        if not isinstance(proposal, ProposalRef):
            proposals.append(SentProposal(proposal, sender))
            continue
        if sender.type is SenderType.NEW_MEMBER_COMMIT:
            raise MlsError(MlsFault.EXTERNAL_COMMIT_REFERENCE)
        found = state.proposals.get(proposal.reference)
        if found is None:
            raise MlsError(MlsFault.PROPOSAL_NOT_FOUND, proposal.reference.hex())
        proposals.append(found.sent)
    return tuple(proposals)


def _check_path_leaf(
    epoch: Epoch, applied: Applied, leaf: LeafNode, leaf_index: int, parameters: GroupParameters
) -> None:
    """§12.4.2: the committer's new leaf node. Of an external commit, it is also the next one of the leaf it removes."""
    check_source(leaf, LeafNodeSource.COMMIT)
    if applied.kem_output is None:
        if leaf.encryption_key == epoch.tree.member(leaf_index).encryption_key:
            raise MlsError(MlsFault.ENCRYPTION_KEY_UNCHANGED)
    else:
        for _, replaced in applied.removed:
            if leaf.credential != replaced.credential:
                raise MlsError(MlsFault.RESYNC_OF_OTHER)
            if leaf.encryption_key == replaced.encryption_key:
                raise MlsError(MlsFault.RESYNC_KEY_UNCHANGED)
    check_leaf(leaf, leaf_index, parameters)


def _own(state: GroupState, applied: Applied) -> MemberKeys:
    """This member's keys, with those of its own Update if the commit has it."""
    epoch = state.epoch
    own = MemberKeys(epoch.leaf_index, epoch.private_keys, epoch.signature_key)
    leaf = next((after for index, _, after in applied.updated if index == epoch.leaf_index), None)
    for cached in state.proposals.values():
        key = cached.update_key
        if leaf is not None and key is not None and key.public == leaf.encryption_key:
            private_keys = {**epoch.private_keys, 2 * epoch.leaf_index: key}
            return MemberKeys(epoch.leaf_index, private_keys, cached.update_signature_key or epoch.signature_key)
    return own


def _merge(epoch: Epoch, applied: Applied, path: UpdatePath, committer_leaf: int) -> MergedPath:
    """Put the path into the tree."""
    # Not even those whose private half this member is told nothing of: it will have to encrypt to them.
    for node in path.nodes:
        epoch.suite.kem.public_key(node.encryption_key)
    filtered = merge_path(applied.tree, committer_leaf, path)
    return MergedPath(applied.tree, path, filtered, provisional_context(epoch.context, applied).encoded)


def _receive_path(
    epoch: Epoch, merged: MergedPath, new_leaves: frozenset[int], own: MemberKeys
) -> tuple[MemberKeys, bytes]:
    """Decrypt the path: this member's keys after it, and the commit secret."""
    receiver = PathRecipient(own.leaf_index, own.private_keys, new_leaves)
    _, secrets = decrypt_path(merged, epoch.suite, receiver)
    return replace(own, private_keys={**own.private_keys, **secrets.private_keys}), secrets.commit_secret
