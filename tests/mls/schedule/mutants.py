"""Mistakes that one could make in the library, in a client or in a hub. Random schedules must find each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pytest
from tests.mls.schedule.client import Client, Disk
from tests.mls.schedule.hub import Hub, Letter
from tests.mls.schedule.steps import Crash

from waypost.mls import group
from waypost.mls.base.bounds import Rules
from waypost.mls.base.kdf import ZERO
from waypost.mls.base.registry import PATH_REQUIRED, ProposalType
from waypost.mls.keys.secret_tree import MessageKey, RatchetKind, SecretTree
from waypost.mls.objects.framing import PrivateMessage
from waypost.mls.objects.psk import Psks
from waypost.mls.steps import applying, epoch, processing, state_format
from waypost.mls.steps.epoch import CachedProposal, GroupState, NextEpoch, PastEpoch, StepSecrets
from waypost.mls.steps.processing import VerifiedMessage
from waypost.mls.steps.state_format import StoredState
from waypost.mls.tree.ratchet_tree import RatchetTree

Mutate = Callable[[pytest.MonkeyPatch], None]


def sends_before_it_stores(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Client, "sends_first", True)


def goes_on_from_an_older_state(patch: pytest.MonkeyPatch) -> None:
    right = Client.keep

    def keep(self: Client, disk: Disk, crash: Crash, *letters: Letter) -> bool:
        stale = disk.group is not None and self.disk.group is not None and len(disk.read) % 2 == 0
        return right(self, replace(disk, group=self.disk.group) if stale else disk, crash, *letters)

    patch.setattr(Client, "keep", keep)


def does_not_count_generations(patch: pytest.MonkeyPatch) -> None:
    right = SecretTree.next_key

    def next_key(self: SecretTree, leaf_index: int, kind: RatchetKind) -> tuple[SecretTree, int, MessageKey]:
        return self, *right(self, leaf_index, kind)[1:]

    patch.setattr(SecretTree, "next_key", next_key)


def stores_message_keys_only_with_the_tree(patch: pytest.MonkeyPatch) -> None:
    right, first = state_format.dump, dict[bytes, StoredState]()

    def dump(state: GroupState) -> StoredState:
        stored = right(state)
        return first.setdefault(stored.standing, stored)

    patch.setattr(state_format, "dump", dump)


def reads_again(patch: pytest.MonkeyPatch) -> None:
    right = SecretTree.take_key

    def take_key(
        self: SecretTree, leaf_index: int, kind: RatchetKind, generation: int
    ) -> tuple[SecretTree, MessageKey]:
        return self, right(self, leaf_index, kind, generation)[1]

    patch.setattr(SecretTree, "take_key", take_key)


def reads_late_messages_again(patch: pytest.MonkeyPatch) -> None:
    right = processing.open_past

    def open_past(past: PastEpoch, message: PrivateMessage) -> VerifiedMessage:
        return replace(right(past, message), secret_tree=past.secret_tree)

    patch.setattr(processing, "open_past", open_past)


def keeps_the_path_of_one_who_is_removed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(RatchetTree, "remove", lambda self, leaf_index: self.set(2 * leaf_index, None))


def removes_without_a_path(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(applying, "PATH_REQUIRED", PATH_REQUIRED - {ProposalType.REMOVE})


def leaves_out_the_commit_secret(patch: pytest.MonkeyPatch) -> None:
    right = StepSecrets.of.__func__  # type: ignore[attr-defined]  # of a class method

    def of(cls: type[StepSecrets], init: bytes, commit: bytes, applied: applying.Applied, psks: Psks) -> StepSecrets:
        made = right(cls, init, ZERO, applied, psks)
        assert isinstance(made, StepSecrets)
        return made

    patch.setattr(StepSecrets, "of", classmethod(of))


def keeps_a_pending_commit_that_has_lost(patch: pytest.MonkeyPatch) -> None:
    def advance(state: GroupState, step: NextEpoch, now: int, rules: Rules) -> GroupState:
        return replace(epoch.advance(state, step, now, rules), pending=state.pending)

    patch.setattr(group, "advance", advance)


def keeps_proposals_for_the_next_epoch(patch: pytest.MonkeyPatch) -> None:
    def advance(state: GroupState, step: NextEpoch, now: int, rules: Rules) -> GroupState:
        return replace(epoch.advance(state, step, now, rules), proposals=state.proposals)

    patch.setattr(group, "advance", advance)


def forgets_the_key_of_its_update(patch: pytest.MonkeyPatch) -> None:
    right = state_format._proposal

    def proposal(cached: CachedProposal) -> bytes:
        return right(replace(cached, update_key=None))

    patch.setattr(state_format, "_proposal", proposal)


def takes_the_last_commit_instead_of_the_first(patch: pytest.MonkeyPatch) -> None:
    right = Hub.submit

    def submit(self: Hub, commit: bytes) -> bool:
        if not right(self, commit):
            self.commits[self.epoch - 1] = commit
        return True

    patch.setattr(Hub, "submit", submit)


#: What each is found by.
MUTANTS: Final[dict[Mutate, str]] = {
    sends_before_it_stores: "uses generation . twice",
    goes_on_from_an_older_state: "cannot follow|uses generation . twice",
    does_not_count_generations: "uses generation . twice",
    stores_message_keys_only_with_the_tree: "uses generation . twice",
    reads_again: "reads twice",
    reads_late_messages_again: "reads twice",
    keeps_the_path_of_one_who_is_removed: "was removed can compute|cannot (read|follow)",
    removes_without_a_path: "was removed can compute",
    leaves_out_the_commit_secret: "was removed can compute",
    keeps_a_pending_commit_that_has_lost: "sent in another epoch",
    keeps_proposals_for_the_next_epoch: "cannot (follow|commit|speak)|at rest",
    forgets_the_key_of_its_update: "cannot follow",
    takes_the_last_commit_instead_of_the_first: "members disagree|cannot follow",
}
