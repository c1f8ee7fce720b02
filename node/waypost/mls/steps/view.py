"""What can be seen of a group: its id, epoch, members, and what waits for a commit."""

from __future__ import annotations

from collections.abc import Sequence

from waypost.mls.base.bounds import EXPORT_MAX_BYTES
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.suites import CipherSuite
from waypost.mls.objects.extensions import Extensions
from waypost.mls.steps.epoch import GroupState, GroupStatus, Member, PendingCommit
from waypost.mls.steps.proposal_list import SentProposal


class GroupView:
    """The part of a `Group` that only looks. It works on one that is spent, too."""

    __slots__ = ("_state",)

    def __init__(self, state: GroupState) -> None:
        self._state = state

    @property
    def group_id(self) -> bytes:
        return self._state.epoch.context.group_id

    @property
    def epoch(self) -> int:
        return self._state.epoch.context.epoch

    @property
    def suite(self) -> CipherSuite:
        return self._state.epoch.suite

    @property
    def extensions(self) -> Extensions:
        """Those of the group context."""
        return self._state.epoch.context.extensions

    @property
    def status(self) -> GroupStatus:
        return self._state.status

    @property
    def own_leaf_index(self) -> int:
        return self._state.epoch.leaf_index

    def members(self) -> Sequence[Member]:
        """All members, by leaf index."""
        return tuple(self._state.epoch.members())

    def member(self, leaf_index: int) -> Member:
        """Raises MlsError(LEAF_BLANK)."""
        return Member.of(leaf_index, self._state.epoch.tree.member(leaf_index))

    @property
    def epoch_authenticator(self) -> bytes:
        """Equal for all members that agree on the group's state; compare it out of band to find a fork (§8.7)."""
        return self._state.epoch.secrets.epoch_authenticator

    def export_secret(self, label: bytes, context: bytes, length: int) -> bytes:
        """MLS-Exporter (§8.5), up to `EXPORT_MAX_BYTES` long. Raises MlsError: BAD_ARGUMENT, GROUP_CLOSED."""
        if self._state.status is GroupStatus.REMOVED:
            raise MlsError(MlsFault.GROUP_CLOSED)
        if not 0 <= length <= EXPORT_MAX_BYTES:
            raise MlsError(MlsFault.BAD_ARGUMENT, f"{length} bytes of an exporter")
        return self._state.epoch.secrets.export(label, context, length)

    def resumption_psk(self, epoch: int | None = None) -> bytes:
        """That of the current or a kept past epoch (§8.6). Raises MlsError(PSK_NOT_FOUND)."""
        found = self._state.resumption_psks.get(self.epoch if epoch is None else epoch)
        if found is None:
            raise MlsError(MlsFault.PSK_NOT_FOUND)
        return found

    def ratchet_tree(self) -> bytes:
        """The encoded tree, for those who get it apart from a Welcome or GroupInfo."""
        return self._state.epoch.tree.encode()

    @property
    def proposals(self) -> Sequence[SentProposal]:
        """Those that wait for a commit, in the order in which they came."""
        return tuple(cached.sent for cached in self._state.proposals.values())

    @property
    def pending(self) -> PendingCommit | None:
        """This member's commit that has been neither merged nor dropped."""
        return self._state.pending

    @property
    def snapshot(self) -> GroupState:
        """The state itself, to be looked at: as `JoinOptions.predecessor`, for instance."""
        return self._state

    @property
    def past_epochs(self) -> Sequence[int]:
        """Those whose late application messages can still be read."""
        return tuple(past.number for past in self._state.past)

    def __repr__(self) -> str:
        number = sum(1 for _ in self._state.epoch.members())
        name = self.group_id.hex()[:8]
        return f"<Group {name}… epoch {self.epoch}, leaf {self.own_leaf_index} of {number}>"
