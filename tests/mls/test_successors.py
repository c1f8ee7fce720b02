from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, bundle, content, signer
from tests.mls.world import World, refused

from waypost.mls.base.errors import MlsFault
from waypost.mls.base.registry import ResumptionPskUsage
from waypost.mls.base.suites import SUITES, X25519_AES128, XWING_AES128, CipherSuite
from waypost.mls.group import Group
from waypost.mls.objects.key_package import KeyPackageBundle
from waypost.mls.objects.proposals import PreSharedKey, ReInit
from waypost.mls.objects.psk import ResumptionPskId
from waypost.mls.reinit import SuccessorOptions, branch, reinitialise
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.epoch import GroupStatus, PendingCommit
from waypost.mls.steps.joining import JoinOptions

NEW_ID = b"the new group"


def closed_world(suite: CipherSuite) -> World:
    world = World("alice", "bob", "carol")
    world.commit("alice", CommitOptions((ReInit(NEW_ID, 1, suite.value),)))
    return world


def options(world: World, suite: CipherSuite, *names: str) -> tuple[SuccessorOptions, list[KeyPackageBundle]]:
    bundles = [bundle(name, world.random, suite) for name in names]
    packages = [each.key_package for each in bundles]
    return SuccessorOptions(packages, content("bob"), LIFETIME, signer("bob")), bundles


def join(pending: PendingCommit, made: KeyPackageBundle, predecessor: Group | None) -> Group:
    snapshot = None if predecessor is None else predecessor.snapshot
    return Group.join(pending.welcomes[0].message, made, JoinOptions(predecessor=snapshot))


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_a_group_moves_to_another_suite(suite: CipherSuite) -> None:
    world = closed_world(suite)
    for group in world.groups.values():
        assert group.status is GroupStatus.REINITIALISED
        refused(partial(group.encrypt, b"x", world.random), MlsFault.GROUP_REINITIALISED)
        refused(partial(group.commit, world.random, NOW), MlsFault.GROUP_REINITIALISED)
    bob = Group.load(world.groups["bob"].state())
    chosen, bundles = options(world, suite, "alice", "carol")
    new, pending = reinitialise(bob, chosen, world.random, NOW)
    new = new.merge_pending(NOW)
    assert (new.group_id, new.epoch, new.suite) == (NEW_ID, 1, suite)
    for made, name in zip(bundles, ("alice", "carol"), strict=True):
        joined = join(pending, made, world.groups[name])
        assert joined.epoch_authenticator == new.epoch_authenticator
    refused(lambda: join(pending, bundles[0], None), MlsFault.PSK_NOT_FOUND)


def test_reinitialisation_needs_a_reinit_and_everyone() -> None:
    world = World("alice", "bob", "carol")
    chosen, _ = options(world, X25519_AES128, "alice", "carol")
    refused(lambda: reinitialise(world.groups["bob"], chosen, world.random, NOW), MlsFault.NO_PREDECESSOR)
    world = closed_world(X25519_AES128)
    chosen, _ = options(world, X25519_AES128, "alice")
    refused(lambda: reinitialise(world.groups["bob"], chosen, world.random, NOW), MlsFault.REINIT_MEMBERS)


def test_a_group_that_is_not_the_one_asked_for_is_not_joined() -> None:
    world = closed_world(XWING_AES128)
    bob = world.groups["bob"]
    # Branching takes any id and the old suite; with the reinit usage it claims to be the successor.
    chosen, bundles = options(world, X25519_AES128, "alice")
    new, pending = branch(bob, b"another", chosen, world.random, NOW)
    assert new.merge_pending(NOW).epoch == 1
    assert join(pending, bundles[0], world.groups["alice"]).group_id == b"another"


def test_some_members_branch_off() -> None:
    world = World("alice", "bob", "carol")
    chosen, bundles = options(world, X25519_AES128, "carol")
    new, pending = branch(world.groups["bob"], NEW_ID, chosen, world.random, NOW)
    carol = join(pending, bundles[0], world.groups["carol"])
    assert carol.epoch_authenticator == new.merge_pending(NOW).epoch_authenticator
    assert len(carol.members()) == 2
    world.say("alice", b"the old group goes on")


def test_strangers_do_not_branch_off() -> None:
    world = World("alice", "bob", "carol")
    chosen, _ = options(world, X25519_AES128, "mallory")
    refused(lambda: branch(world.groups["bob"], NEW_ID, chosen, world.random, NOW), MlsFault.BRANCH_MEMBERS)
    # Carol checks for herself what Bob does not check.
    smaller = World("bob", "carol", seed=0)
    smaller.add("bob", "mallory")
    chosen, bundles = options(world, X25519_AES128, "mallory", "carol")
    _, pending = branch(smaller.groups["bob"], NEW_ID, chosen, world.random, NOW)
    refused(lambda: join(pending, bundles[1], world.groups["carol"]), MlsFault.PSK_NOT_FOUND)


@pytest.mark.parametrize("usage", [ResumptionPskUsage.REINIT, ResumptionPskUsage.BRANCH])
def test_a_running_group_takes_no_psk_for_successors(usage: ResumptionPskUsage) -> None:
    world = World("alice", "bob")
    psk = PreSharedKey(ResumptionPskId(usage, GROUP_ID, 1, world.random(32)))
    refused(lambda: world.groups["alice"].commit(world.random, NOW, CommitOptions((psk,))), MlsFault.PSK_USAGE)
