"""Sending application messages and proposals (RFC 9420 §6, §12.1, §15)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import Randomness
from waypost.mls.base.kdf import NH, make_proposal_ref
from waypost.mls.base.registry import SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.keys.protection import PrivateMessageChoices, protect_private, protect_public, sign_content
from waypost.mls.keys.secret_tree import SecretTree
from waypost.mls.objects.framing import (
    AuthenticatedContent,
    Content,
    FramedContent,
    FramedContentAuthData,
    Sender,
    encode_message,
)
from waypost.mls.objects.leaf_node import LeafNodeContent, LeafNodePlace, sign_for_update
from waypost.mls.objects.proposals import Proposal, Update
from waypost.mls.steps.epoch import CachedProposal, Epoch, GroupState, SignedContent
from waypost.mls.steps.processing import cache
from waypost.mls.steps.proposal_list import ProposalView, SentProposal, check_proposal


@dataclass(frozen=True)
class Framing:
    """How a message is sent. `padding` is bytes that are added to a PrivateMessage's plaintext."""

    wire_format: WireFormat = WireFormat.PRIVATE_MESSAGE
    authenticated_data: bytes = b""
    padding: int = 0


def sign(epoch: Epoch, content: Content, framing: Framing) -> SignedContent:
    """A member's content, framed and signed for its epoch."""
    sender = Sender(SenderType.MEMBER, epoch.leaf_index)
    context = epoch.context
    framed = FramedContent.make(context.group_id, context.epoch, sender, framing.authenticated_data, content)
    signature = sign_content(framing.wire_format, framed, context.encoded, epoch.signature_key)
    return SignedContent(framing.wire_format, framed, signature)


def protect(
    state: GroupState, signed: SignedContent, tag: bytes | None, framing: Framing, random: Randomness
) -> tuple[SecretTree, bytes, AuthenticatedContent]:
    """The secret tree that is left, the MLSMessage, and what it carries; `tag` is a commit's confirmation tag."""
    auth = FramedContentAuthData(signed.signature, tag)
    content = AuthenticatedContent(signed.wire_format, signed.content, auth)
    keys = state.epoch.keys
    if signed.wire_format is WireFormat.PUBLIC_MESSAGE:
        body = protect_public(content, keys).encode()
        return state.secret_tree, encode_message(WireFormat.PUBLIC_MESSAGE, body), content
    if signed.wire_format is not WireFormat.PRIVATE_MESSAGE:
        raise MlsError(MlsFault.BAD_ARGUMENT, f"wire format {signed.wire_format.name}")
    left, private = protect_private(content, keys, state.secret_tree, PrivateMessageChoices(framing.padding, random(4)))
    return left, encode_message(WireFormat.PRIVATE_MESSAGE, private.encode()), content


def encrypt(state: GroupState, data: bytes, framing: Framing, random: Randomness) -> tuple[SecretTree, bytes]:
    """An application message. Raises MlsError: PROPOSALS_FIRST, APPLICATION_NOT_PRIVATE, AEAD_LIMIT."""
    if not all(cached.sent.by_new_member for cached in state.proposals.values()):
        raise MlsError(MlsFault.PROPOSALS_FIRST)
    if framing.wire_format is not WireFormat.PRIVATE_MESSAGE:
        raise MlsError(MlsFault.APPLICATION_NOT_PRIVATE)
    left, message, _ = protect(state, sign(state.epoch, data, framing), None, framing, random)
    return left, message


@dataclass(frozen=True)
class UpdateOptions:
    """What an Update changes beside the encryption key: the leaf node's contents, the signature key."""

    leaf: LeafNodeContent | None = None
    signature_key: SignatureKey | None = None


def propose(
    state: GroupState, proposal: Proposal, view: ProposalView, framing: Framing, random: Randomness
) -> tuple[SecretTree, dict[bytes, CachedProposal], bytes]:
    """A proposal: the secret tree that is left, the cached proposals with it, and the message."""
    return _send(state, CachedProposal(_unsent(state, proposal)), view, framing, random)


def propose_update(
    state: GroupState, options: UpdateOptions, view: ProposalView, framing: Framing, random: Randomness
) -> tuple[SecretTree, dict[bytes, CachedProposal], bytes]:
    """The same for an Update of this member, whose new private key waits in the cache with it."""
    epoch = state.epoch
    encryption_key = epoch.suite.derive_key_pair(random(NH))
    signer = options.signature_key or epoch.signature_key
    place = LeafNodePlace(epoch.context.group_id, epoch.leaf_index)
    leaf = sign_for_update(options.leaf or epoch.own_leaf.content, encryption_key.public, place, signer)
    cached = CachedProposal(_unsent(state, Update(leaf)), encryption_key, signer)
    return _send(state, cached, view, framing, random)


def _unsent(state: GroupState, proposal: Proposal) -> SentProposal:
    return SentProposal(proposal, Sender(SenderType.MEMBER, state.epoch.leaf_index))


def _send(
    state: GroupState, proposal: CachedProposal, view: ProposalView, framing: Framing, random: Randomness
) -> tuple[SecretTree, dict[bytes, CachedProposal], bytes]:
    check_proposal(proposal.sent, view)
    signed = sign(state.epoch, proposal.sent.proposal, framing)
    left, message, content = protect(state, signed, None, framing, random)
    sent = replace(proposal.sent, reference=make_proposal_ref(content.encode()))
    return left, cache(state, replace(proposal, sent=sent)), message
