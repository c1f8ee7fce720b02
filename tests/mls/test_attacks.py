"""What a malicious member, hub or outsider could try that no single clause of the RFC names."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from tests.mls.test_joining_refusals import Forged
from tests.mls.world import GROUP_ID, NOW, World, content, forge, refused, signer

from waypost.mls.bounds import COMMIT_PROPOSALS_MAX, Rules
from waypost.mls.commit import Commit
from waypost.mls.errors import Fault
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.joining import JoinOptions
from waypost.mls.proposals import PreSharedKey
from waypost.mls.psk import ExternalPskId, Psks

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
