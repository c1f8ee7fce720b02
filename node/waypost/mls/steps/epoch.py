"""What a member knows of an epoch, of past ones, and of a group; and the step from one epoch to the next.

All of it is values: a step makes new ones and leaves the old ones as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import cached_property
from typing import Final

from waypost.mls.base.bounds import RESUMPTION_PSKS_MAX, Rules
from waypost.mls.base.codec import opaque, u32, vector
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import PrivateKey
from waypost.mls.base.registry import WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import CipherSuite
from waypost.mls.keys.key_schedule import NO_SECRETS, EpochSecrets, Schedule, joiner_secret, schedule
from waypost.mls.keys.protection import EpochKeys
from waypost.mls.keys.secret_tree import SecretTree
from waypost.mls.keys.transcript import confirmed_transcript_hash, interim_transcript_hash
from waypost.mls.objects.credentials import Credential
from waypost.mls.objects.framing import FramedContent
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.proposals import Proposal, ReInit
from waypost.mls.objects.psk import PskId, Psks, psk_secret
from waypost.mls.steps.applying import Applied
from waypost.mls.steps.proposal_list import SentProposal
from waypost.mls.tree.leaf_validation import GroupParameters
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.treekem import PrivateKeys

_EPOCH_MAX: Final = 2**64 - 1


@dataclass(frozen=True)
class Member:
    """A member as an application sees it."""

    leaf_index: int
    credential: Credential
    signature_key: bytes
    leaf_node: LeafNode = field(repr=False, compare=False)

    @classmethod
    def of(cls, leaf_index: int, leaf: LeafNode) -> Member:
        return cls(leaf_index, leaf.credential, leaf.signature_key, leaf)


@dataclass(frozen=True)
class Epoch:
    """One epoch as one member has it, but for the secret tree, which changes with every message."""

    suite: CipherSuite
    context: GroupContext
    tree: RatchetTree = field(repr=False)
    secrets: EpochSecrets = field(repr=False)
    interim_transcript_hash: bytes
    leaf_index: int
    private_keys: PrivateKeys = field(repr=False)
    signature_key: SignatureKey

    @cached_property
    def keys(self) -> EpochKeys:
        secrets = self.secrets
        return EpochKeys(self.suite, self.context.encoded, secrets.sender_data_secret, secrets.membership_key)

    @cached_property
    def parameters(self) -> GroupParameters:
        return GroupParameters.of(self.suite, self.context.group_id, self.context.extensions)

    @cached_property
    def encoded_tree(self) -> bytes:
        return self.tree.encode()

    @property
    def own_leaf(self) -> LeafNode:
        return self.tree.member(self.leaf_index)

    def members(self) -> Iterator[Member]:
        for leaf_index, leaf in self.tree.members():
            yield Member.of(leaf_index, leaf)

    def confirmation_tag(self) -> bytes:
        """That of the commit which began this epoch (§12.4.3)."""
        return self.secrets.confirmation_tag(self.context.confirmed_transcript_hash)


@dataclass(frozen=True)
class PastEpoch:
    """What is kept to read late application messages. `senders` are by leaf index; `ended` is in seconds since 1970."""

    number: int
    keys: EpochKeys = field(repr=False)
    secret_tree: SecretTree = field(repr=False)
    senders: Mapping[int, tuple[bytes, Credential]] = field(repr=False)
    leaf_index: int
    ended: int

    @cached_property
    def encoded_senders(self) -> bytes:
        """For the stored state: written with every message, changed by none."""
        return vector(
            u32(index) + opaque(key) + credential.encode() for index, (key, credential) in self.senders.items()
        )

    @classmethod
    def of(cls, epoch: Epoch, secret_tree: SecretTree, ended: int) -> PastEpoch:
        senders = {index: (leaf.signature_key, leaf.credential) for index, leaf in epoch.tree.members()}
        keys = replace(epoch.keys, membership_key=b"")
        return cls(epoch.context.epoch, keys, secret_tree, senders, epoch.leaf_index, ended)


@dataclass(frozen=True)
class CachedProposal:
    """A proposal that waits for a commit. Of one's own Update the secrets are here too."""

    sent: SentProposal
    update_key: PrivateKey | None = field(default=None, repr=False)
    update_signature_key: SignatureKey | None = field(default=None, repr=False)


class GroupStatus(Enum):
    ACTIVE = 1
    #: A commit has removed this member.
    REMOVED = 2
    #: A commit had a ReInit: nothing may be sent, the successor is to be awaited or made (§11.2).
    REINITIALISED = 3


@dataclass(frozen=True)
class NextEpoch:
    """What a commit leads to."""

    epoch: Epoch
    secret_tree: SecretTree = field(repr=False)
    reinit: ReInit | None


@dataclass(frozen=True)
class Welcomed:
    """MLSMessage(Welcome) and the KeyPackageRefs of whom it is for."""

    message: bytes = field(repr=False)
    new_members: tuple[bytes, ...]


@dataclass(frozen=True)
class PendingCommit:
    """A commit that has been made and not yet been accepted or dropped.

    `message` goes to the group; `welcomes` go to the new members, and only after the commit has been accepted (§14).
    `proposals` were committed by value: after losing a race, commit them again.
    """

    message: bytes = field(repr=False)
    welcomes: tuple[Welcomed, ...]
    proposals: tuple[Proposal, ...]
    psks: tuple[PskId, ...]
    step: NextEpoch = field(repr=False)

    @property
    def tree(self) -> bytes:
        """The new ratchet tree, for those who get it apart from the welcome."""
        return self.step.epoch.encoded_tree


@dataclass(frozen=True)
class GroupState:
    """Everything that a member keeps of a group."""

    epoch: Epoch
    secret_tree: SecretTree
    past: tuple[PastEpoch, ...] = ()
    proposals: Mapping[bytes, CachedProposal] = field(default_factory=dict)
    pending: PendingCommit | None = None
    #: By epoch, the current one included.
    resumption_psks: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    status: GroupStatus = GroupStatus.ACTIVE
    #: That of the last commit, when the status is REINITIALISED.
    reinit: ReInit | None = None

    def own_psks(self) -> Psks:
        """The resumption PSKs of this group's epochs."""
        return self.psks(Psks())

    def psks(self, given: Psks) -> Psks:
        """The caller's and the group's own."""
        return given.with_resumption(self.epoch.context.group_id, self.resumption_psks)


@dataclass(frozen=True)
class SignedContent:
    """Framed content and its signature. Of a commit, the next epoch's transcript covers it."""

    wire_format: WireFormat
    content: FramedContent
    signature: bytes


@dataclass(frozen=True)
class StepSecrets:
    """What goes into the key schedule."""

    init_secret: bytes = field(repr=False)
    commit_secret: bytes = field(repr=False)
    psk_secret: bytes = field(repr=False)

    @classmethod
    def of(cls, init_secret: bytes, commit_secret: bytes, applied: Applied, psks: Psks) -> StepSecrets:
        """Raises MlsError(PSK_NOT_FOUND)."""
        return cls(init_secret, commit_secret, psk_secret(applied.psks, psks))


def provisional_context(before: GroupContext, applied: Applied) -> GroupContext:
    """What an update path is encrypted under (§12.4.1): the new tree, the old transcript.

    Raises MlsError(EPOCH_EXHAUSTED): who creates a group chooses where it begins.
    """
    if before.epoch >= _EPOCH_MAX:
        raise MlsError(MlsFault.EPOCH_EXHAUSTED)
    return replace(before, epoch=before.epoch + 1, tree_hash=applied.tree.root_hash(), extensions=applied.extensions)


def next_schedule(
    before: GroupContext, interim: bytes, applied: Applied, signed: SignedContent, secrets: StepSecrets
) -> tuple[GroupContext, Schedule]:
    """The next epoch's context and key schedule (§8)."""
    confirmed = confirmed_transcript_hash(interim, signed.wire_format, signed.content, signed.signature)
    context = replace(provisional_context(before, applied), confirmed_transcript_hash=confirmed)
    joiner = joiner_secret(secrets.init_secret, secrets.commit_secret, context.encoded)
    return context, schedule(joiner, secrets.psk_secret, context.encoded)


@dataclass(frozen=True)
class MemberKeys:
    """A member's own place and keys."""

    leaf_index: int
    private_keys: PrivateKeys = field(repr=False)
    signature_key: SignatureKey


def begin_epoch(
    suite: CipherSuite, context: GroupContext, tree: RatchetTree, begun: Schedule, own: MemberKeys
) -> tuple[Epoch, SecretTree]:
    """An epoch from its key schedule, and its secret tree."""
    tag = begun.secrets.confirmation_tag(context.confirmed_transcript_hash)
    interim = interim_transcript_hash(context.confirmed_transcript_hash, tag)
    epoch = Epoch(suite, context, tree, begun.secrets, interim, own.leaf_index, own.private_keys, own.signature_key)
    return epoch, SecretTree.start(begun.encryption_secret, tree.leaf_count, suite.key_bytes)


def first_state(epoch: Epoch, secret_tree: SecretTree) -> GroupState:
    """The state of one who has just created or joined a group."""
    return GroupState(epoch, secret_tree, resumption_psks={epoch.context.epoch: epoch.secrets.resumption_psk})


def advance(state: GroupState, step: NextEpoch, now: int, rules: Rules) -> GroupState:
    """The group's state after a commit: cached proposals and a pending commit are for the old epoch, so they go."""
    epoch = step.epoch
    ended = PastEpoch.of(state.epoch, state.secret_tree, now)
    past = unexpired((ended, *state.past), now, rules)
    resumption = {**state.resumption_psks, epoch.context.epoch: epoch.secrets.resumption_psk}
    kept = sorted(resumption)[-RESUMPTION_PSKS_MAX:]
    status = GroupStatus.ACTIVE if step.reinit is None else GroupStatus.REINITIALISED
    psks = {number: resumption[number] for number in kept}
    return GroupState(epoch, step.secret_tree, past, {}, None, psks, status, step.reinit)


def unexpired(past: tuple[PastEpoch, ...], now: int, rules: Rules) -> tuple[PastEpoch, ...]:
    """Those past epochs that are still kept, the latest first."""
    fresh = (epoch for epoch in past if now - epoch.ended <= rules.past_epoch_s)
    return tuple(fresh)[: rules.past_epochs]


def removed(state: GroupState) -> GroupState:
    """The group's state after this member has been removed: of all secrets but the signature key nothing is left.

    The signature key is the client's, not the group's, and the epoch authenticator is for comparing.
    """
    authenticator = state.epoch.secrets.epoch_authenticator
    epoch = replace(state.epoch, secrets=replace(NO_SECRETS, epoch_authenticator=authenticator), private_keys={})
    tree = replace(state.secret_tree, nodes={}, ratchets={})
    return GroupState(epoch, tree, status=GroupStatus.REMOVED)
