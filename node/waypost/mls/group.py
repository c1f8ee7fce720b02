"""`Group`: what a client holds of a group, and everything that it can do with it.

A `Group` is a value. Whatever moves it on (sending, reading, committing) returns the next one and leaves the old one
**spent**: it can still be looked at, but refuses everything else with MlsError(STATE_SPENT). So no key is used twice,
provided that the caller stores `state()` of the returned group before it sends the message that came with it, or
acknowledges the one that it has read. After a crash, `load` goes on from what was stored. Where a call raises,
nothing has happened and the group is not spent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from waypost.mls.base.bounds import Rules
from waypost.mls.base.codec import opaque
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import Randomness
from waypost.mls.base.registry import ContentType, ExtensionType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.credentials import Credential
from waypost.mls.objects.extensions import Extension, Extensions
from waypost.mls.objects.framing import PrivateMessage, PublicMessage, Sender, decode_message, encode_message
from waypost.mls.objects.key_package import KeyPackageBundle
from waypost.mls.objects.proposals import Proposal
from waypost.mls.objects.psk import Psks
from waypost.mls.steps import committing, creating, joining, processing, sending, state_format
from waypost.mls.steps.changes import Changes, describe, describe_own
from waypost.mls.steps.committing import CommitInputs, CommitOptions, TreeDelivery
from waypost.mls.steps.creating import GroupSpec
from waypost.mls.steps.epoch import (
    CachedProposal,
    GroupState,
    GroupStatus,
    PastEpoch,
    PendingCommit,
    advance,
    removed,
    unexpired,
)
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.steps.processing import Reading, VerifiedMessage
from waypost.mls.steps.proposal_list import ProposalView
from waypost.mls.steps.sending import Framing, UpdateOptions
from waypost.mls.steps.state_format import StoredState
from waypost.mls.steps.view import GroupView

_DEFAULT_RULES: Final = Rules()
_DEFAULT_FRAMING: Final = Framing()
_NO_PSKS: Final = Psks()


class Group(GroupView):
    """A member's view of a group. See the module's text for how its values follow each other.

    Times are seconds since 1970; `random` is a source of secret random bytes.
    """

    __slots__ = ("_spent", "rules")

    def __init__(self, state: GroupState, rules: Rules) -> None:
        super().__init__(state)
        self._spent = False
        self.rules: Final = rules

    # ── beginning ────────────────────────────────────────────────────────────────────────────────────────────────

    @classmethod
    def create(
        cls, spec: GroupSpec, signature_key: SignatureKey, random: Randomness, rules: Rules = _DEFAULT_RULES
    ) -> Group:
        """A new group with one member, in epoch 0 (§11)."""
        return cls(creating.create(spec, signature_key, random), rules)

    @classmethod
    def join(
        cls,
        welcome: bytes,
        bundle: KeyPackageBundle,
        options: JoinOptions | None = None,
        rules: Rules = _DEFAULT_RULES,
    ) -> Group:
        """Join by an MLSMessage(Welcome) (§12.4.3.1). Look at `members()` before trusting the group.

        Delete the bundle once the group is stored: a key package is for one use.
        """
        return cls(joining.join_by_welcome(welcome, bundle, options or JoinOptions()), rules)

    @classmethod
    def load(cls, data: bytes, rules: Rules = _DEFAULT_RULES) -> Group:
        """The group whose `state()` that was. Raises MlsError: STATE_CORRUPT, STATE_VERSION."""
        return cls(state_format.load(state_format.split(data)), rules)

    @classmethod
    def load_parts(cls, stored: StoredState, rules: Rules = _DEFAULT_RULES) -> Group:
        """The same from `state_parts()`."""
        return cls(state_format.load(stored), rules)

    def state(self) -> bytes:
        """Everything, secrets included, as bytes. Raises MlsError(STATE_SPENT): a spent state must not be stored."""
        return state_format.join(self.state_parts())

    def state_parts(self) -> StoredState:
        """The same in two parts, of which the first need not be written again where it has not changed.

        In a large group that is most of it. Parts that change together must be written together.
        """
        self._check_unspent()
        return state_format.dump(self._state)

    # ── sending ──────────────────────────────────────────────────────────────────────────────────────────────────

    def encrypt(self, data: bytes, random: Randomness, framing: Framing = _DEFAULT_FRAMING) -> tuple[Group, bytes]:
        """An application message. Raises MlsError(PROPOSALS_FIRST) while proposals, but new members', wait (§12.4)."""
        self._check_sending()
        left, message = sending.encrypt(self._state, data, framing, random)
        return self._next(replace(self._state, secret_tree=left)), message

    def propose(
        self, proposal: Proposal, random: Randomness, now: int, framing: Framing = _DEFAULT_FRAMING
    ) -> tuple[Group, bytes]:
        """A proposal by this member, to be committed by anyone (§12.1). For an Update, see `propose_update`."""
        self._check_sending()
        left, proposals, message = sending.propose(self._state, proposal, self._view(now), framing, random)
        return self._next(replace(self._state, secret_tree=left, proposals=proposals)), message

    def propose_update(
        self, random: Randomness, now: int, options: UpdateOptions | None = None, framing: Framing = _DEFAULT_FRAMING
    ) -> tuple[Group, bytes]:
        """An Update of this member's leaf (§12.1.2): a new encryption key, and what the options say."""
        self._check_sending()
        chosen, view = options or UpdateOptions(), self._view(now)
        left, proposals, message = sending.propose_update(self._state, chosen, view, framing, random)
        return self._next(replace(self._state, secret_tree=left, proposals=proposals)), message

    def discard_proposal(self, reference: bytes) -> Group:
        """Forget a proposal that policy refuses. A commit that refers to it will be refused too."""
        self._check_unspent()
        kept = {key: value for key, value in self._state.proposals.items() if key != reference}
        return self._next(replace(self._state, proposals=kept))

    # ── committing ───────────────────────────────────────────────────────────────────────────────────────────────

    def commit(
        self, random: Randomness, now: int, options: CommitOptions | None = None, psks: Psks = _NO_PSKS
    ) -> tuple[Group, PendingCommit]:
        """Make a commit (§12.4.1). The group stays in its epoch until `merge_pending` or another's commit.

        Raises MlsError(ALREADY_PENDING) while another commit is pending.
        """
        self._check_sending()
        if self._state.pending is not None:
            raise MlsError(MlsFault.ALREADY_PENDING)
        given = CommitInputs(random, now, psks, self.rules)
        left, pending = committing.make_commit(self._state, options or CommitOptions(), given)
        return self._next(replace(self._state, secret_tree=left, pending=pending)), pending

    def merge_pending(self, now: int) -> Group:
        """Go on to the epoch of this member's own commit, because it has been accepted."""
        self._check_unspent()
        pending = self._state.pending
        if pending is None:
            raise MlsError(MlsFault.NOTHING_PENDING)
        return self._next(advance(self._state, pending.step, now, self.rules))

    def drop_pending(self) -> Group:
        """Forget this member's own commit, because it has been refused."""
        self._check_unspent()
        if self._state.pending is None:
            raise MlsError(MlsFault.NOTHING_PENDING)
        return self._next(replace(self._state, pending=None))

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────

    def process(self, message: bytes, now: int, psks: Psks = _NO_PSKS) -> Processed:
        """Read an MLSMessage. Application messages and proposals come with the next `Group`.

        A commit comes staged: look at its changes, then `apply` it, or drop it and stay. This member's own pending
        commit is recognised when it comes back. Raises MlsError; nothing has changed then.

        `now` is when the message was accepted, as far as the caller knows: lifetimes of key packages are held
        against it, and a member that was away must not refuse by its own clock what the others have accepted.
        """
        self._check_unspent()
        state = self._state
        if state.status is GroupStatus.REMOVED:
            raise MlsError(MlsFault.GROUP_CLOSED)
        if state.pending is not None and message == state.pending.message:
            return self._own_commit(state.pending)
        body = decode_message(message)
        if not isinstance(body, PublicMessage | PrivateMessage):
            raise MlsError(MlsFault.WRONG_WIRE_FORMAT)
        if body.group_id != self.group_id:
            raise MlsError(MlsFault.WRONG_GROUP)
        if body.epoch != self.epoch:
            return self._read_past(body)
        if state.status is GroupStatus.REINITIALISED and _content_type(body) is not ContentType.APPLICATION:
            raise MlsError(MlsFault.GROUP_REINITIALISED)
        opened = processing.open_current(state.epoch, state.secret_tree, body)
        content = opened.message.content.content
        if isinstance(content, bytes):
            return self._application(opened, content, None)
        if isinstance(content, Commit):
            return self._commit(opened, content, Reading(now, psks, self.rules))
        return self._proposal(opened, content, self._view(now))

    def prune(self, now: int) -> Group:
        """Forget past epochs that are older than the rules allow. Call it now and then: nothing here has a clock."""
        self._check_unspent()
        return self._next(replace(self._state, past=unexpired(self._state.past, now, self.rules)))

    def forget_past(self) -> Group:
        """Forget all past epochs' message keys at once."""
        self._check_unspent()
        return self._next(replace(self._state, past=()))

    # ── for joiners ──────────────────────────────────────────────────────────────────────────────────────────────

    def group_info(self, extensions: Extensions = (), tree: TreeDelivery = TreeDelivery.IN_WELCOME) -> bytes:
        """An MLSMessage(GroupInfo) with `external_pub`, for joining by an external commit (§12.4.3.2)."""
        self._check_sending()
        epoch = self._state.epoch
        public = epoch.secrets.external_key_pair(epoch.suite).public
        external = Extension(ExtensionType.EXTERNAL_PUB, opaque(public))
        info = committing.sign_group_info(epoch, (*extensions, external), tree)
        return encode_message(WireFormat.GROUP_INFO, info.encode())

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────

    def _next(self, state: GroupState) -> Group:
        self._spent = True
        return Group(state, self.rules)

    def _check_unspent(self) -> None:
        if self._spent:
            raise MlsError(MlsFault.STATE_SPENT)

    def _check_sending(self) -> None:
        self._check_unspent()
        if self._state.status is GroupStatus.REMOVED:
            raise MlsError(MlsFault.GROUP_CLOSED)
        if self._state.status is GroupStatus.REINITIALISED:
            raise MlsError(MlsFault.GROUP_REINITIALISED)

    def _view(self, now: int) -> ProposalView:
        epoch = self._state.epoch
        return ProposalView(epoch.tree, epoch.parameters, now, self.rules)

    def _read_past(self, body: PublicMessage | PrivateMessage) -> ApplicationMessage:
        if body.epoch > self.epoch:
            raise MlsError(MlsFault.EPOCH_AHEAD, f"epoch {body.epoch}")
        if isinstance(body, PublicMessage) or body.content_type is not ContentType.APPLICATION:
            raise MlsError(MlsFault.WRONG_EPOCH, f"epoch {body.epoch}")
        past = next((past for past in self._state.past if past.number == body.epoch), None)
        if past is None:
            raise MlsError(MlsFault.EPOCH_FORGOTTEN, f"epoch {body.epoch}")
        opened = processing.open_past(past, body)
        data = opened.message.content.content
        if not isinstance(data, bytes):
            raise MlsError(MlsFault.WRONG_EPOCH)
        return self._application(opened, data, past)

    def _application(self, opened: VerifiedMessage, data: bytes, past: PastEpoch | None) -> ApplicationMessage:
        content = opened.message.content
        state, index = self._state, content.sender.index
        if past is None:
            after = replace(state, secret_tree=opened.secret_tree)
            credential = state.epoch.tree.member(index).credential
        else:
            left = replace(past, secret_tree=opened.secret_tree)
            after = replace(state, past=tuple(left if each is past else each for each in state.past))
            credential = past.senders[index][1]
        return ApplicationMessage(
            self._next(after), data, content.authenticated_data, content.epoch, index, credential, opened.generation
        )

    def _proposal(self, opened: VerifiedMessage, proposal: Proposal, view: ProposalView) -> ProposalMessage:
        sent = processing.read_proposal_message(opened, proposal, view)
        cached = processing.cache(self._state, CachedProposal(sent))
        after = self._next(replace(self._state, secret_tree=opened.secret_tree, proposals=cached))
        return ProposalMessage(after, sent.reference, sent.proposal, sent.sender)

    def _own_commit(self, pending: PendingCommit) -> StagedCommit:
        def apply(at: int) -> Group:
            self._check_base()
            return self.merge_pending(at)

        return StagedCommit(describe_own(self._state.epoch, pending), own=True, apply=apply)

    def _commit(self, opened: VerifiedMessage, commit: Commit, given: Reading) -> StagedCommit:
        outcome = processing.process_commit(self._state, opened, commit, given)

        def apply(at: int) -> Group:
            self._check_base()
            if outcome.step is None:
                return self._next(removed(self._state))
            state = replace(self._state, secret_tree=opened.secret_tree)
            return self._next(advance(state, outcome.step, at, self.rules))

        return StagedCommit(describe(self._state.epoch, outcome), own=False, apply=apply)

    def _check_base(self) -> None:
        if self._spent:
            raise MlsError(MlsFault.COMMIT_CHANGED_UNDER)


def _content_type(body: PublicMessage | PrivateMessage) -> ContentType:
    return body.content.content_type if isinstance(body, PublicMessage) else body.content_type


@dataclass(frozen=True)
class ApplicationMessage:
    """Application data. Store `group` before the data is acknowledged, else it can be read twice."""

    group: Group = field(repr=False)
    data: bytes = field(repr=False)
    authenticated_data: bytes = field(repr=False)
    epoch: int
    sender: int
    credential: Credential
    generation: int


@dataclass(frozen=True)
class ProposalMessage:
    """A valid proposal that now waits for a commit. `Group.discard_proposal(reference)` forgets it."""

    group: Group = field(repr=False)
    reference: bytes
    proposal: Proposal
    sender: Sender


@dataclass(frozen=True)
class StagedCommit:
    """A valid commit that has not been applied. Drop it to refuse it; the group is as it was.

    `apply(now)` makes the next `Group`; it raises MlsError(COMMIT_CHANGED_UNDER) if the group has moved on since.
    """

    changes: Changes
    own: bool
    apply: Callable[[int], Group] = field(repr=False)


#: What a message turns out to be.
Processed = ApplicationMessage | ProposalMessage | StagedCommit
