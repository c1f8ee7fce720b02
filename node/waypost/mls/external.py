"""From outside the group: joining by an external commit (RFC 9420 §12.4.3.2), and external proposals (§12.1.8)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import Randomness
from waypost.mls.base.registry import SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.group import Group
from waypost.mls.keys.protection import sign_content
from waypost.mls.keys.transcript import interim_transcript_hash
from waypost.mls.objects.commit import Commit, UpdatePath
from waypost.mls.objects.extensions import external_pub
from waypost.mls.objects.framing import (
    AuthenticatedContent,
    FramedContent,
    FramedContentAuthData,
    PublicMessage,
    Sender,
    encode_message,
)
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.key_package import KeyPackageBundle
from waypost.mls.objects.leaf_node import LeafNodeContent, LeafNodePlace
from waypost.mls.objects.proposals import Add, ExternalInit, PreSharedKey, Proposal, Remove
from waypost.mls.objects.psk import PskId, Psks
from waypost.mls.steps.applying import Applied, apply_list
from waypost.mls.steps.epoch import (
    MemberKeys,
    SignedContent,
    StepSecrets,
    begin_epoch,
    first_state,
    next_schedule,
    provisional_context,
)
from waypost.mls.steps.joining import check_group_info, check_own_support, read_group_info, tree_of
from waypost.mls.steps.proposal_list import ProposalView, SentProposal, check_external_list, check_sender
from waypost.mls.tree.leaf_validation import GroupParameters, check_leaf
from waypost.mls.tree.tree_validation import check_tree, check_uniqueness
from waypost.mls.tree.treekem import Committer, NewPath, encrypt_path, make_path

_JOINER = Sender(SenderType.NEW_MEMBER_COMMIT)


@dataclass(frozen=True)
class ExternalJoinOptions:
    """Who joins and how. `resync` is the leaf index of this client's old appearance, which the commit removes."""

    content: LeafNodeContent
    signature_key: SignatureKey
    resync: int | None = None
    #: PSKs to inject, and where their secrets are.
    psk_ids: tuple[PskId, ...] = ()
    psks: Psks = field(default_factory=Psks)
    #: The encoded ratchet tree, if it came apart from the GroupInfo.
    tree: bytes | None = None
    groups: Collection[bytes] = ()
    authenticated_data: bytes = b""


def join_by_external_commit(
    group_info: bytes, options: ExternalJoinOptions, random: Randomness, now: int, rules: Rules | None = None
) -> tuple[Group, bytes]:
    """The group as it is once the commit has been accepted, and the commit: an MLSMessage(PublicMessage).

    Store the group, send the commit, and throw the group away if another commit has won. Raises MlsError.
    """
    rules = rules or Rules()
    info = read_group_info(group_info)
    tree = tree_of(info, options.tree)
    parameters = check_group_info(info, tree, options.groups)
    check_tree(tree, parameters)
    public = external_pub(info.extensions)
    if public is None:
        raise MlsError(MlsFault.NO_EXTERNAL_PUB)
    init_secret, kem_output = parameters.suite.external_init_send(public, random)
    proposals = tuple(SentProposal(proposal, _JOINER) for proposal in _proposals(options, kem_output))
    check_external_list(proposals, ProposalView(tree, parameters, now, rules))
    applied = apply_list(proposals, tree, parameters)
    path, update_path = _path(applied, info.group_context, parameters, options, random)
    commit = Commit(tuple(sent.proposal for sent in proposals), update_path)
    signed = _sign(info.group_context, commit, options)
    interim = interim_transcript_hash(info.group_context.confirmed_transcript_hash, info.confirmation_tag)
    secrets = StepSecrets.of(init_secret, path.secrets.commit_secret, applied, options.psks)
    context, begun = next_schedule(info.group_context, interim, applied, signed, secrets)
    own = MemberKeys(path.leaf_index, path.secrets.private_keys, options.signature_key)
    state = first_state(*begin_epoch(parameters.suite, context, applied.tree, begun, own))
    auth = FramedContentAuthData(signed.signature, state.epoch.confirmation_tag())
    message = PublicMessage(signed.content, auth).encode()
    return Group(state, rules), encode_message(WireFormat.PUBLIC_MESSAGE, message)


def _proposals(options: ExternalJoinOptions, kem_output: bytes) -> list[Proposal]:
    proposals: list[Proposal] = [ExternalInit(kem_output)]
    if options.resync is not None:
        proposals.append(Remove(options.resync))
    proposals += (PreSharedKey(psk) for psk in options.psk_ids)
    return proposals


def _path(
    applied: Applied,
    before: GroupContext,
    parameters: GroupParameters,
    options: ExternalJoinOptions,
    random: Randomness,
) -> tuple[NewPath, UpdatePath]:
    for _, replaced in applied.removed:
        if replaced.credential != options.content.credential:
            raise MlsError(MlsFault.RESYNC_OF_OTHER)
    place = LeafNodePlace(before.group_id, applied.tree.free_leaf())
    committer = Committer(place, options.content, options.signature_key)
    path = make_path(applied.tree, parameters.suite, committer, random)
    check_own_support(path.leaf_node, parameters.extensions)
    check_leaf(path.leaf_node, place.leaf_index, parameters)
    check_uniqueness(applied.tree)
    context = provisional_context(before, applied).encoded
    return path, encrypt_path(applied.tree, parameters.suite, path, context, ())


def _sign(context: GroupContext, commit: Commit, options: ExternalJoinOptions) -> SignedContent:
    content = FramedContent.make(context.group_id, context.epoch, _JOINER, options.authenticated_data, commit)
    signature = sign_content(WireFormat.PUBLIC_MESSAGE, content, context.encoded, options.signature_key)
    return SignedContent(WireFormat.PUBLIC_MESSAGE, content, signature)


# ── proposals ────────────────────────────────────────────────────────────────────────────────────────────────────


def propose_externally(group_id: bytes, epoch: int, sender_index: int, proposal: Proposal, key: SignatureKey) -> bytes:
    """An MLSMessage by the sender of that place in the group's `external_senders`.

    Raises MlsError(EXTERNAL_PROPOSAL_TYPE) for a proposal that such a sender may not send.
    """
    return _propose(group_id, epoch, Sender(SenderType.EXTERNAL, sender_index), proposal, key)


def propose_own_add(group_id: bytes, epoch: int, bundle: KeyPackageBundle) -> bytes:
    """An MLSMessage by which a client asks to be added (sender type new_member_proposal)."""
    sender = Sender(SenderType.NEW_MEMBER_PROPOSAL)
    return _propose(group_id, epoch, sender, Add(bundle.key_package), bundle.signature_key)


def _propose(group_id: bytes, epoch: int, sender: Sender, proposal: Proposal, key: SignatureKey) -> bytes:
    check_sender(proposal, sender)
    content = FramedContent.make(group_id, epoch, sender, b"", proposal)
    signature = sign_content(WireFormat.PUBLIC_MESSAGE, content, b"", key)
    message = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, FramedContentAuthData(signature))
    return encode_message(WireFormat.PUBLIC_MESSAGE, PublicMessage(message.content, message.auth).encode())
