"""Proposals that are right in themselves and in the way: none may stop commits or talk, or keep anyone its place."""

from collections.abc import Callable
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, Seeded, bundle, content, signer
from tests.mls.world import PUBLIC, World, commit_in, forge, proposal, refused

from waypost.mls.base import signing
from waypost.mls.base.bounds import NEW_MEMBER_PROPOSALS_MAX, NEW_MEMBER_PROPOSALS_MAX_BYTES, PROPOSALS_MAX_BYTES
from waypost.mls.base.codec import Reader, opaque, u16
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import GREASE
from waypost.mls.base.suites import X25519_AES128
from waypost.mls.external import propose_own_add
from waypost.mls.group import Group
from waypost.mls.objects.commit import ProposalRef
from waypost.mls.objects.extensions import Extension, RequiredCapabilities, encode_extensions
from waypost.mls.objects.key_package import KeyPackage, KeyPackageBundle, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNodePlace, sign_for_key_package, sign_for_update
from waypost.mls.objects.proposals import Add, GroupContextExtensions, PreSharedKey, Proposal, Remove, Update
from waypost.mls.objects.psk import ExternalPskId
from waypost.mls.steps.committing import CommitOptions


def stolen_encryption_key(world: World) -> Add:
    """Eve's key package with Carol's encryption key: right in itself, but it cannot be in the tree."""
    taken = world.groups["bob"].member(2).leaf_node.encryption_key
    leaf = sign_for_key_package(content("eve"), taken, LIFETIME, signer("eve"))
    init = world.suite.derive_key_pair(world.random(32))
    tbs = b"".join((u16(1), u16(world.suite.value), opaque(init.public), leaf.encoded, encode_extensions(())))
    signature = signer("eve").sign_with_label(signing.KEY_PACKAGE, tbs)
    return Add(KeyPackage.read(Reader(tbs + opaque(signature))))


def updated(name: str, key: bytes) -> Update:
    return Update(sign_for_update(content(name), key, LeafNodePlace(GROUP_ID, 0), signer(name)))


def fresh(world: World) -> bytes:
    return world.suite.derive_key_pair(world.random(32)).public


IN_THE_WAY: dict[str, Callable[[World], Proposal]] = {
    "an Add with another's encryption key": stolen_encryption_key,
    "an Update with another's encryption key": lambda world: updated(
        "alice", world.groups["bob"].member(2).leaf_node.encryption_key
    ),
    "an Update with another's signature key": lambda world: updated("carol", fresh(world)),
    "extensions that require too much": lambda _: GroupContextExtensions(
        (RequiredCapabilities(proposals=(0xF00D,)).extension(),)
    ),
    "extensions that nobody knows": lambda _: GroupContextExtensions((Extension(0xF123, b""),)),
    "a PSK that nobody has": lambda _: PreSharedKey(ExternalPskId(b"unknown", bytes(32))),
}


@pytest.mark.parametrize("name", IN_THE_WAY)
def test_no_proposal_can_stop_everyones_commits(name: str) -> None:
    world = World("alice", "bob", "carol")
    bad = proposal(world.groups["bob"], forge(world.groups["alice"], IN_THE_WAY[name](world)))
    good = proposal(bad.group, forge(world.groups["carol"], Add(bundle("dave", world.random).key_package)))
    bob, pending = Group.load(good.group.state()).commit(world.random, NOW, CommitOptions(framing=PUBLIC))
    assert commit_in(pending.message).proposals == (ProposalRef(good.reference),)
    assert len(bob.merge_pending(NOW).members()) == 4
    # Who asks for it by name is told what is wrong with it.
    with pytest.raises(MlsError):
        good.group.commit(world.random, NOW, CommitOptions(references=(bad.reference,)))


def test_of_proposals_that_exclude_each_other_the_first_is_committed() -> None:
    world = World("alice", "bob")
    bob = world.groups["bob"]
    references: list[bytes] = []
    same = stolen_from(world, fresh(world))
    for adding in (*same, Add(bundle("frank", world.random).key_package)):
        heard = proposal(bob, forge(world.groups["alice"], adding))
        bob, references = heard.group, [*references, heard.reference]
    _, pending = bob.commit(world.random, NOW, CommitOptions(framing=PUBLIC))
    assert commit_in(pending.message).proposals == (ProposalRef(references[0]), ProposalRef(references[2]))


def test_nobody_keeps_its_place_by_what_it_proposes() -> None:
    world = World("alice", "bob", "carol")
    bob = world.groups["bob"]
    by_mallory = (updated("alice", fresh(world)), *stolen_from(world, fresh(world)))
    for each in by_mallory:
        bob = proposal(bob, forge(world.groups["alice"], each)).group
    removal = proposal(bob, forge(world.groups["carol"], Remove(0)))
    _, pending = removal.group.commit(world.random, NOW, CommitOptions(framing=PUBLIC))
    assert ProposalRef(removal.reference) in commit_in(pending.message).proposals


def stolen_from(world: World, key: bytes) -> tuple[Add, Add]:
    """Two clients with one encryption key: each may come, but not both."""
    made = []
    for name in ("dave", "eve"):
        leaf = sign_for_key_package(content(name), key, LIFETIME, signer(name))
        tbs = b"".join((u16(1), u16(world.suite.value), opaque(fresh(world)), leaf.encoded, encode_extensions(())))
        package = tbs + opaque(signer(name).sign_with_label(signing.KEY_PACKAGE, tbs))
        made.append(Add(KeyPackage.read(Reader(package))))
    return made[0], made[1]


def test_outsiders_neither_add_themselves_nor_hold_up_the_talk() -> None:
    world = World("alice", "bob")
    bob = world.groups["bob"]
    mallory = bundle("mallory", world.random)
    heard = proposal(bob, propose_own_add(GROUP_ID, 1, mallory))
    bob, _ = heard.group.encrypt(b"not held up", world.random)
    stored = bob.state()
    assert len(bob.commit(world.random, NOW)[0].merge_pending(NOW).members()) == 2
    named = CommitOptions(references=(heard.reference,))
    assert len(Group.load(stored).commit(world.random, NOW, named)[0].merge_pending(NOW).members()) == 3


def test_outsiders_do_not_crowd_out_members() -> None:
    world = World("alice", "bob")
    bob = world.groups["bob"]
    for number in range(NEW_MEMBER_PROPOSALS_MAX):
        bob = proposal(bob, propose_own_add(GROUP_ID, 1, bundle(f"mallory {number}", world.random))).group
    one_more = propose_own_add(GROUP_ID, 1, bundle("mallory", world.random))
    refused(lambda: bob.process(one_more, NOW), MlsFault.TOO_MANY_PROPOSALS)
    assert proposal(bob, forge(world.groups["alice"], updated("alice", fresh(world)))).group.proposals


def big_add(name: str, size: int) -> KeyPackageBundle:
    """A key package with that many bytes of an extension that means nothing."""
    spec = KeyPackageSpec(X25519_AES128, content(name), LIFETIME, (Extension(GREASE[0], bytes(size)),))
    return make_key_package(spec, signer(name), Seeded())


def test_what_waits_for_a_commit_has_an_upper_size() -> None:
    world = World("alice", "bob")
    bob = world.groups["bob"]
    too_big = propose_own_add(GROUP_ID, 1, big_add("mallory", NEW_MEMBER_PROPOSALS_MAX_BYTES))
    refused(lambda: bob.process(too_big, NOW), MlsFault.TOO_MANY_PROPOSALS)
    for name in ("dave", "eve", "frank"):
        half = forge(world.groups["alice"], Add(big_add(name, PROPOSALS_MAX_BYTES // 2 - 1_000).key_package))
        if name == "frank":
            refused(partial(bob.process, half, NOW), MlsFault.TOO_MANY_PROPOSALS)
        else:
            bob = proposal(bob, half).group
    assert len(bob.proposals) == 2
