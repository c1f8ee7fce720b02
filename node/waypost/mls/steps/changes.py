"""What a commit does to a group, told before it is applied, so that policy can refuse it (RFC 9420 §14)."""

from __future__ import annotations

from dataclasses import dataclass

from waypost.mls.base.registry import LeafNodeSource
from waypost.mls.objects.extensions import Extensions
from waypost.mls.objects.proposals import ReInit
from waypost.mls.objects.psk import PskId
from waypost.mls.steps.epoch import Epoch, Member, PendingCommit
from waypost.mls.steps.processing import CommitOutcome


@dataclass(frozen=True)
class Change:
    """A member before and after: another leaf node, perhaps with another credential or signature key."""

    before: Member
    after: Member


@dataclass(frozen=True)
class Changes:
    """What a commit does to the group. Leaf indices of `removed` are the old tree's, of `added` the new tree's."""

    #: The epoch that the commit ends.
    epoch: int
    #: As it was before; for an external commit, the one who joins by it.
    committer: Member
    external: bool
    added: tuple[Member, ...]
    removed: tuple[Member, ...]
    #: By Update proposals, and by the commit's path for the committer.
    updated: tuple[Change, ...]
    psks: tuple[PskId, ...]
    #: The group's new extensions, if the commit sets them.
    extensions: Extensions | None
    reinit: ReInit | None
    removes_self: bool


def describe(epoch: Epoch, outcome: CommitOutcome) -> Changes:
    """The changes that another's commit makes to that epoch."""
    applied, committer = outcome.applied, outcome.committer
    updated = [Change(Member.of(index, before), Member.of(index, after)) for index, before, after in applied.updated]
    if outcome.path_leaf is not None and not outcome.external:
        updated.append(Change(committer, Member.of(committer.leaf_index, outcome.path_leaf)))
    changed = applied.extensions != epoch.context.extensions
    return Changes(
        epoch=epoch.context.epoch,
        committer=committer,
        external=outcome.external,
        added=tuple(Member.of(index, package.leaf_node) for index, package in applied.added),
        removed=tuple(Member.of(index, leaf) for index, leaf in applied.removed),
        updated=tuple(updated),
        psks=applied.psks,
        extensions=applied.extensions if changed else None,
        reinit=applied.reinit,
        removes_self=outcome.step is None,
    )


def describe_own(epoch: Epoch, pending: PendingCommit) -> Changes:
    """The same of this member's own commit, from the trees before and after it."""
    before, after = dict(epoch.tree.members()), dict(pending.step.epoch.tree.members())
    gone, come, changed = set(before.keys() - after.keys()), set(after.keys() - before.keys()), set()
    for index in before.keys() & after.keys():
        if before[index].encoded != after[index].encoded:
            # A leaf node from a key package is a new client in a place that has become free.
            if after[index].source is LeafNodeSource.KEY_PACKAGE:
                gone.add(index)
                come.add(index)
            else:
                changed.add(index)
    extensions = pending.step.epoch.context.extensions
    return Changes(
        epoch=epoch.context.epoch,
        committer=Member.of(epoch.leaf_index, epoch.own_leaf),
        external=False,
        added=tuple(Member.of(index, after[index]) for index in sorted(come)),
        removed=tuple(Member.of(index, before[index]) for index in sorted(gone)),
        updated=tuple(
            Change(Member.of(index, before[index]), Member.of(index, after[index])) for index in sorted(changed)
        ),
        psks=pending.psks,
        extensions=extensions if extensions != epoch.context.extensions else None,
        reinit=pending.step.reinit,
        removes_self=False,
    )
