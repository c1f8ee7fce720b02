"""What a malicious member, hub or outsider could try that no single clause of the RFC names."""

from dataclasses import replace
from functools import partial

import pytest
from tests.mls.test_joining_refusals import Forged
from tests.mls.world import GROUP_ID, LIFETIME, NOW, World, content, forge, refused, signer

from waypost.mls.bounds import COMMIT_PROPOSALS_MAX, Rules
from waypost.mls.commit import Commit
from waypost.mls.committing import CommitOptions
from waypost.mls.errors import Fault
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.joining import JoinOptions
from waypost.mls.proposals import PreSharedKey, ReInit
from waypost.mls.psk import ExternalPskId, Psks, ResumptionPskId
from waypost.mls.registry import ResumptionPskUsage
from waypost.mls.reinit import SuccessorOptions, reinitialise

# ── numbers at their ends ────────────────────────────────────────────────────────────────────────────────────────

LAST_EPOCH = 2**64 - 1


def test_the_last_epoch_has_no_next() -> None:
    joined = Forged(epoch=LAST_EPOCH).join()
    refused(lambda: joined.commit(World("alice").random, NOW), Fault.EPOCH_EXHAUSTED)
    state = joined.snapshot
    as_alice = Group(replace(state, epoch=replace(state.epoch, leaf_index=0, signature_key=signer("alice"))), Rules())
    psk = PreSharedKey(ExternalPskId(b"psk", bytes(32)))
    message = forge(as_alice, Commit((psk,), None))
    refused(lambda: joined.process(message, NOW, Psks({b"psk": b"secret"})), Fault.EPOCH_EXHAUSTED)


def test_nobody_joins_the_last_epoch_from_outside() -> None:
    world = World("alice", "bob")
    state = world.groups["alice"].snapshot
    context = replace(state.epoch.context, epoch=LAST_EPOCH)
    info = Group(replace(state, epoch=replace(state.epoch, context=context)), Rules()).group_info()
    options = ExternalJoinOptions(content("dave"), signer("dave"))
    refused(lambda: join_by_external_commit(info, options, world.random, NOW), Fault.EPOCH_EXHAUSTED)


def test_a_welcome_has_no_more_psks_than_a_commit_can_have() -> None:
    psks = Psks({b"psk": b"secret"})
    ids = tuple(ExternalPskId(b"psk", number.to_bytes(32, "big")) for number in range(COMMIT_PROPOSALS_MAX + 1))
    some = Forged(psk_ids=ids[:8], psks=psks)
    assert some.join(JoinOptions(psks)).epoch == 1
    # Only the joiner counts them: the forger has no such scruples.
    many = replace(some, psk_ids=ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waypost.mls.psk.PSKS_MAX", 2**16)
        message = many.message()
    refused(lambda: Group.join(message, many.bob, JoinOptions(psks)), Fault.TOO_MANY_PROPOSALS)


@pytest.mark.parametrize("length", [-1, 255 * 32 + 1, 2**16, 2**20])
def test_exporters_have_a_longest_output(length: int) -> None:
    group = World("alice").groups["alice"]
    assert len(group.export_secret(b"label", b"", 255 * 32)) == 255 * 32
    refused(lambda: group.export_secret(b"label", b"", length), Fault.BAD_ARGUMENT)


# ── successors that are none ─────────────────────────────────────────────────────────────────────────────────────


def test_a_successor_has_the_version_that_was_asked_for() -> None:
    world = World("alice", "bob")
    world.commit("alice", CommitOptions((ReInit(GROUP_ID, 2, 1),)))
    bob = world.groups["bob"].snapshot
    psk = ResumptionPskId(ResumptionPskUsage.REINIT, GROUP_ID, 2, bytes(32))
    forged = Forged(psk_ids=(psk,), psks=bob.own_psks())
    refused(lambda: forged.join(JoinOptions(predecessor=bob)), Fault.REINIT_MISMATCH)
    options = SuccessorOptions((), content("alice"), LIFETIME, signer("alice"))
    make = partial(reinitialise, world.groups["alice"], options, world.random, NOW)
    refused(make, Fault.REINIT_MISMATCH)


def test_a_group_without_a_link_to_the_old_one_is_no_successor_of_it() -> None:
    world = World("alice", "bob")
    refused(lambda: Forged().join(JoinOptions(predecessor=world.groups["bob"].snapshot)), Fault.NOT_A_SUCCESSOR)
