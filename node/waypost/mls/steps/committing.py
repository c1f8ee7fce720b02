"""Making a commit and its Welcomes (RFC 9420 §12.4.1, §12.4.3.1). Nothing of the group's state changes by it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum

from waypost.mls.base.bounds import COMMIT_PROPOSALS_MAX, Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import Randomness
from waypost.mls.base.kdf import ZERO
from waypost.mls.base.registry import ExtensionType, ResumptionPskUsage, SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.keys.key_schedule import Schedule
from waypost.mls.keys.secret_tree import SecretTree
from waypost.mls.objects.commit import Commit, ProposalOrRef, ProposalRef, UpdatePath
from waypost.mls.objects.extensions import Extension, Extensions
from waypost.mls.objects.framing import Sender, encode_message
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.leaf_node import LeafNodeContent, LeafNodePlace
from waypost.mls.objects.proposals import Proposal, Remove
from waypost.mls.objects.psk import Psks, psk_secret
from waypost.mls.objects.welcome import GroupSecrets, Welcome, seal_group_info, seal_secrets
from waypost.mls.steps.applying import Applied, apply_list, new_parameters
from waypost.mls.steps.epoch import (
    Epoch,
    GroupState,
    MemberKeys,
    NextEpoch,
    PendingCommit,
    StepSecrets,
    Welcomed,
    begin_epoch,
    next_schedule,
    provisional_context,
)
from waypost.mls.steps.proposal_list import ProposalView, SentProposal, check_list, check_shape, choose
from waypost.mls.steps.sending import Framing, protect, sign
from waypost.mls.tree.leaf_validation import GroupParameters, check_leaf
from waypost.mls.tree.tree_validation import check_uniqueness
from waypost.mls.tree.treekem import Committer, NewPath, current_keys, encrypt_path, make_path


class PathChoice(Enum):
    """Whether a commit has an update path where the RFC leaves the choice (§12.4)."""

    ALWAYS = "always"
    WHEN_REQUIRED = "when required"


class TreeDelivery(Enum):
    """How new members get the ratchet tree."""

    IN_WELCOME = "in welcome"
    #: `PendingCommit.tree` reaches them in another way.
    APART = "apart"


class WelcomeSplit(Enum):
    ONE_FOR_ALL = "one for all"
    ONE_EACH = "one each"


@dataclass(frozen=True)
class CommitOptions:
    """What a commit does and how.

    `references` are proposals sent before. None takes all that go together, but not what new members propose
    themselves: whether these may come is for the application to say.
    """

    proposals: tuple[Proposal, ...] = ()
    references: tuple[bytes, ...] | None = None
    framing: Framing = field(default_factory=Framing)
    path: PathChoice = PathChoice.ALWAYS
    tree: TreeDelivery = TreeDelivery.IN_WELCOME
    split: WelcomeSplit = WelcomeSplit.ONE_FOR_ALL
    #: New contents and a new signature key for the committer's leaf node; they need a path.
    leaf: LeafNodeContent | None = None
    signature_key: SignatureKey | None = None
    #: Beside `ratchet_tree`, in the Welcome's GroupInfo.
    group_info_extensions: Extensions = ()
    #: For the first commit of a group made by reinit or branch (§11.2, §11.3).
    usage: ResumptionPskUsage = ResumptionPskUsage.APPLICATION


@dataclass(frozen=True)
class CommitInputs:
    """What a commit needs from outside: randomness, the time in seconds since 1970, PSKs, the application's rules."""

    random: Randomness
    now: int
    psks: Psks
    rules: Rules


def make_commit(state: GroupState, options: CommitOptions, given: CommitInputs) -> tuple[SecretTree, PendingCommit]:
    """A commit, and the secret tree that is left after a PrivateMessage has taken a key of the handshake ratchet.

    Raises MlsError if the list of proposals is not valid, or a PSK is missing.
    """
    proposals = _proposals(state, options, given)
    try:
        return _make(state, options, given, proposals)
    except MlsError:
        if options.references is not None:
            raise
        fitting = _fitting(state, proposals, given)
        if len(fitting) == len(proposals):
            raise
    # What one member proposed must not keep all others from committing.
    return _make(state, options, given, fitting)


def sign_group_info(epoch: Epoch, extensions: Extensions, tree: TreeDelivery) -> GroupInfo:
    """The GroupInfo of an epoch, signed by this member, with those extensions and perhaps the tree (§12.4.3)."""
    if tree is TreeDelivery.IN_WELCOME:
        extensions = (*extensions, Extension(ExtensionType.RATCHET_TREE, epoch.encoded_tree))
    return GroupInfo.sign(epoch.context, extensions, epoch.confirmation_tag(), epoch.leaf_index, epoch.signature_key)


def _make(
    state: GroupState, options: CommitOptions, given: CommitInputs, proposals: tuple[SentProposal, ...]
) -> tuple[SecretTree, PendingCommit]:
    epoch = state.epoch
    parameters = new_parameters(proposals, epoch.parameters)
    check_list(proposals, epoch.leaf_index, ProposalView(epoch.tree, parameters, given.now, given.rules, options.usage))
    applied = apply_list(proposals, epoch.tree, parameters)
    path = _path(epoch, applied, parameters, options, given.random)
    check_uniqueness(applied.tree)
    commit = Commit(tuple(map(_by_value_or_reference, proposals)), path.update_path)
    signed = sign(epoch, commit, options.framing)
    psks = state.psks(given.psks)
    secrets = StepSecrets.of(epoch.secrets.init_secret, path.commit_secret, applied, psks)
    context, begun = next_schedule(epoch.context, epoch.interim_transcript_hash, applied, signed, secrets)
    after, secret_tree = begin_epoch(epoch.suite, context, applied.tree, begun, path.own)
    left, message, _ = protect(state, signed, after.confirmation_tag(), options.framing, given.random)
    welcomes = _welcomes(after, begun, _Newcomers(applied, path.made), options)
    step = NextEpoch(after, secret_tree, applied.reinit)
    return left, PendingCommit(message, welcomes, options.proposals, applied.psks, step)


@dataclass(frozen=True)
class _Path:
    """The path of a commit, if it has one, and what its maker has afterwards."""

    own: MemberKeys
    commit_secret: bytes = field(default=ZERO, repr=False)
    made: NewPath | None = None
    update_path: UpdatePath | None = None


def _path(
    epoch: Epoch, applied: Applied, parameters: GroupParameters, options: CommitOptions, random: Randomness
) -> _Path:
    index, signer = epoch.leaf_index, options.signature_key or epoch.signature_key
    changed = options.leaf is not None or options.signature_key is not None
    if not applied.path_required and options.path is PathChoice.WHEN_REQUIRED and not changed:
        return _Path(MemberKeys(index, current_keys(applied.tree, epoch.private_keys), signer))
    place = LeafNodePlace(epoch.context.group_id, index)
    committer = Committer(place, options.leaf or epoch.own_leaf.content, signer)
    made = make_path(applied.tree, epoch.suite, committer, random)
    check_leaf(made.leaf_node, index, parameters)
    context = provisional_context(epoch.context, applied).encoded
    update_path = encrypt_path(applied.tree, epoch.suite, made, context, applied.new_leaves)
    private_keys = current_keys(applied.tree, {**epoch.private_keys, **made.secrets.private_keys})
    return _Path(MemberKeys(index, private_keys, signer), made.secrets.commit_secret, made, update_path)


def _proposals(state: GroupState, options: CommitOptions, given: CommitInputs) -> tuple[SentProposal, ...]:
    """References first, in the order in which they came, then what is committed by value."""
    if len(options.proposals) > COMMIT_PROPOSALS_MAX:
        raise MlsError(MlsFault.TOO_MANY_PROPOSALS, f"{len(options.proposals)} in a commit")
    epoch = state.epoch
    own = Sender(SenderType.MEMBER, epoch.leaf_index)
    by_value = [SentProposal(proposal, own) for proposal in options.proposals]
    if options.references is None:
        view = ProposalView(epoch.tree, new_parameters(by_value, epoch.parameters), given.now, given.rules)
        cached = (cached.sent for cached in state.proposals.values())
        return (*choose(cached, by_value, epoch.leaf_index, view), *by_value)
    by_reference = []
    for reference in options.references:
        found = state.proposals.get(reference)
        if found is None:
            raise MlsError(MlsFault.PROPOSAL_NOT_FOUND, reference.hex())
        by_reference.append(found.sent)
    return (*by_reference, *by_value)


def _fitting(state: GroupState, proposals: tuple[SentProposal, ...], given: CommitInputs) -> tuple[SentProposal, ...]:
    """The same without those references that cannot be committed, be it alone or after the ones before them.

    Removes come first, so that nobody keeps its place by what else it proposes.
    """
    by_value = tuple(sent for sent in proposals if not sent.reference)
    epoch = state.epoch

    def fits(*references: SentProposal) -> bool:
        together = (*references, *by_value)
        try:
            check_shape(together, epoch.leaf_index, epoch.tree)
            applied = apply_list(together, epoch.tree, new_parameters(together, epoch.parameters))
            check_uniqueness(applied.tree)
            psk_secret(applied.psks, state.psks(given.psks))
        except MlsError:
            return False
        return True

    def add(kept: tuple[SentProposal, ...], more: Sequence[SentProposal]) -> tuple[SentProposal, ...]:
        if fits(*kept, *more):
            return (*kept, *more)
        if len(more) < 2:
            return kept
        middle = len(more) // 2
        return add(add(kept, more[:middle]), more[middle:])

    alone = [sent for sent in proposals if sent.reference and fits(sent)]
    alone.sort(key=lambda sent: not isinstance(sent.proposal, Remove))
    return (*add((), alone), *by_value)


def _by_value_or_reference(sent: SentProposal) -> ProposalOrRef:
    return ProposalRef(sent.reference) if sent.reference else sent.proposal


@dataclass(frozen=True)
class _Newcomers:
    applied: Applied
    path: NewPath | None


def _welcomes(epoch: Epoch, begun: Schedule, newcomers: _Newcomers, options: CommitOptions) -> tuple[Welcomed, ...]:
    applied = newcomers.applied
    if not applied.added:
        return ()
    info = sign_group_info(epoch, options.group_info_extensions, options.tree)
    encrypted_info = seal_group_info(epoch.suite, begun.welcome_secret, info)
    sealed = []
    for leaf_index, package in applied.added:
        path = newcomers.path
        path_secret = None if path is None else path.path_secret_for(leaf_index)
        secrets = GroupSecrets(begun.joiner_secret, path_secret, applied.psks)
        sealed.append(seal_secrets(epoch.suite, package, encrypted_info, secrets))
    groups = [sealed] if options.split is WelcomeSplit.ONE_FOR_ALL else [[one] for one in sealed]
    return tuple(
        Welcomed(
            encode_message(WireFormat.WELCOME, Welcome(epoch.suite.value, tuple(group), encrypted_info).encode()),
            tuple(one.new_member for one in group),
        )
        for group in groups
    )
