from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, Seeded, bundle, content, signer
from tests.mls.world import PUBLIC, World, application, proposal, refused, staged

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.registry import ResumptionPskUsage
from waypost.mls.base.suites import SUITES, CipherSuite
from waypost.mls.group import Group
from waypost.mls.objects.extensions import Extension, RequiredCapabilities
from waypost.mls.objects.grease import grease_extension, greased
from waypost.mls.objects.key_package import KeyPackageBundle, KeyPackageSpec, make_key_package
from waypost.mls.objects.proposals import Add, GroupContextExtensions, PreSharedKey, Remove
from waypost.mls.objects.psk import ExternalPskId, Psks, ResumptionPskId
from waypost.mls.steps.committing import CommitOptions, PathChoice, TreeDelivery, WelcomeSplit
from waypost.mls.steps.epoch import GroupStatus
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.steps.sending import Framing, UpdateOptions

NAMES = [f"member {number}" for number in range(9)]


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_members_talk_and_commit(suite: CipherSuite) -> None:
    world = World("alice", "bob", "carol", suite=suite)
    for name in ("alice", "bob", "carol", "alice"):
        world.say(name, f"from {name}".encode())
        world.commit(name)
        world.check_agreement()
    assert {group.epoch for group in world.groups.values()} == {5}
    assert [member.credential.encode()[3:] for member in world.groups["bob"].members()] == [b"alice", b"bob", b"carol"]
    assert len({group.export_secret(b"label", b"context", 16) for group in world.groups.values()}) == 1


def test_groups_grow_and_shrink() -> None:
    world = World(*NAMES[:5])
    world.add(NAMES[3], *NAMES[5:])
    for name in (NAMES[8], NAMES[2], NAMES[7], NAMES[6], NAMES[5]):
        world.commit(NAMES[0])
        index = world.groups[name].own_leaf_index
        gone = world.groups[name]
        world.commit(NAMES[1], CommitOptions((Remove(index),)))
        assert world.groups[name].status is GroupStatus.REMOVED
        assert gone.members() != world.groups[NAMES[1]].members()
        del world.groups[name]
        world.check_agreement()
        world.say(NAMES[0], b"still here")
    assert world.groups[NAMES[0]].snapshot.epoch.tree.leaf_count == 8
    world.add(NAMES[4], "newcomer")
    assert world.groups["newcomer"].own_leaf_index == 2


def test_one_who_is_removed_can_neither_read_nor_send() -> None:
    world = World("alice", "bob")
    world.commit("alice", CommitOptions((Remove(1),)))
    bob = world.groups["bob"]
    world.groups["alice"], message = world.groups["alice"].encrypt(b"alone", world.random)
    refused(lambda: bob.process(message, NOW), MlsFault.GROUP_CLOSED)
    refused(lambda: bob.encrypt(b"x", world.random), MlsFault.GROUP_CLOSED)
    refused(lambda: bob.commit(world.random, NOW), MlsFault.GROUP_CLOSED)
    assert Group.load(bob.state()).status is GroupStatus.REMOVED


def test_a_commit_is_described_before_it_is_applied() -> None:
    world = World("alice", "bob", "carol")
    newcomer = bundle("dave", world.random)
    extensions = (RequiredCapabilities(credentials=(1,)).extension(),)
    options = CommitOptions((Add(newcomer.key_package), Remove(2), GroupContextExtensions(extensions)))
    world.groups["alice"], pending = world.groups["alice"].commit(world.random, NOW, options)
    changes = staged(world.groups["bob"], pending.message).changes
    assert changes.committer.credential == content("alice").credential
    assert [member.credential for member in changes.added] == [content("dave").credential]
    assert [(member.leaf_index, member.credential) for member in changes.removed] == [(2, content("carol").credential)]
    assert [(change.before.leaf_index, change.after.leaf_index) for change in changes.updated] == [(0, 0)]
    assert changes.extensions == extensions
    assert not changes.external
    assert not changes.removes_self
    assert staged(world.groups["carol"], pending.message).changes.removes_self
    own = staged(world.groups["alice"], pending.message)
    assert own.own
    assert own.changes == changes
    # Refusing is doing nothing: the group is as it was, and the commit can still be applied.
    assert world.groups["bob"].epoch == 1
    bob = staged(world.groups["bob"], pending.message).apply(NOW)
    assert own.apply(NOW).epoch_authenticator == bob.epoch_authenticator


def test_the_loser_of_a_race_goes_on_from_the_winner() -> None:
    world = World("alice", "bob", "carol")
    alice, bob, carol = world.groups.values()
    newcomer = bundle("dave", world.random)
    bob, lost = bob.commit(world.random, NOW, CommitOptions((Add(newcomer.key_package),)))
    alice, won = alice.commit(world.random, NOW)
    alice = alice.merge_pending(NOW)
    stale = staged(bob, won.message)
    bob, carol = stale.apply(NOW), staged(carol, won.message).apply(NOW)
    assert bob.pending is None
    refused(lambda: carol.process(lost.message, NOW), MlsFault.WRONG_EPOCH)
    refused(lambda: stale.apply(NOW), MlsFault.COMMIT_CHANGED_UNDER)
    bob, again = bob.commit(world.random, NOW, CommitOptions(lost.proposals))
    carol = staged(carol, again.message).apply(NOW)
    assert carol.epoch_authenticator == bob.merge_pending(NOW).epoch_authenticator


def test_dropping_a_commit_leaves_the_group_as_it_was_but_for_the_used_key() -> None:
    world = World("alice", "bob")
    alice, bob = world.groups.values()
    refused(lambda: alice.merge_pending(NOW), MlsFault.NOTHING_PENDING)
    refused(alice.drop_pending, MlsFault.NOTHING_PENDING)
    alice, first = alice.commit(world.random, NOW)
    refused(lambda: alice.commit(world.random, NOW), MlsFault.ALREADY_PENDING)
    alice = alice.drop_pending()
    alice, second = alice.commit(world.random, NOW)
    # Both took a key of the handshake ratchet, so both can be read, in any order; only one can be applied.
    later, earlier = staged(bob, second.message), staged(bob, first.message)
    assert earlier.changes.epoch == later.changes.epoch == 1
    bob = later.apply(NOW)
    refused(lambda: earlier.apply(NOW), MlsFault.COMMIT_CHANGED_UNDER)
    assert alice.merge_pending(NOW).epoch_authenticator == bob.epoch_authenticator


def test_a_spent_group_does_nothing_more() -> None:
    world = World("alice", "bob")
    alice = world.groups["alice"]
    after, message = alice.encrypt(b"once", world.random)
    for call in (
        lambda: alice.encrypt(b"twice", world.random),
        lambda: alice.commit(world.random, NOW),
        lambda: alice.process(message, NOW),
        lambda: alice.propose_update(world.random, NOW),
        lambda: alice.propose(Remove(1), world.random, NOW),
        alice.group_info,
        lambda: alice.prune(NOW),
        alice.state,
    ):
        refused(call, MlsFault.STATE_SPENT)
    assert after.state()


def test_a_refused_message_spends_nothing() -> None:
    world = World("alice", "bob")
    world.groups["alice"], message = world.groups["alice"].encrypt(b"data", world.random)
    bob = world.groups["bob"]
    before = bob.state()
    for position in (5, len(message) // 2, len(message) - 1):
        spoilt = bytearray(message)
        spoilt[position] ^= 1
        with pytest.raises(Exception, match="MLS"):
            bob.process(bytes(spoilt), NOW)
    assert bob.state() == before
    assert application(bob, message).data == b"data"


@pytest.mark.parametrize("framing", [Framing(), PUBLIC, Framing(padding=500, authenticated_data=b"seen by the hub")])
def test_proposals_wait_for_a_commit(framing: Framing) -> None:
    world = World("alice", "bob", "carol")
    world.groups["bob"], message = world.groups["bob"].propose_update(world.random, NOW, framing=framing)
    world.hear(message, but="bob")
    world.groups["alice"], message = world.groups["alice"].propose(Remove(2), world.random, NOW, framing)
    world.hear(message, but="alice")
    refused(lambda: world.groups["carol"].encrypt(b"x", world.random), MlsFault.PROPOSALS_FIRST)
    refused(lambda: world.groups["alice"].encrypt(b"x", world.random), MlsFault.PROPOSALS_FIRST)
    before = world.groups["bob"].member(1)
    world.commit("alice", CommitOptions(framing=framing))
    assert world.groups["carol"].status is GroupStatus.REMOVED
    del world.groups["carol"]
    world.check_agreement()
    assert world.groups["bob"].member(1).leaf_node.encryption_key != before.leaf_node.encryption_key
    world.say("bob", b"with my new key")
    world.commit("bob")
    world.check_agreement()


def test_a_discarded_proposal_is_not_committed() -> None:
    world = World("alice", "bob")
    world.groups["bob"], message = world.groups["bob"].propose_update(world.random, NOW)
    heard = proposal(world.groups["alice"], message)
    assert [sent.reference for sent in heard.group.proposals] == [heard.reference]
    world.groups["alice"] = heard.group.discard_proposal(heard.reference)
    world.commit("alice")
    world.check_agreement()
    assert not world.groups["bob"].proposals


def test_identity_and_signature_key_can_change() -> None:
    world = World("alice", "bob", "carol")
    options = UpdateOptions(content("robert"), signer("robert"))
    world.groups["bob"], message = world.groups["bob"].propose_update(world.random, NOW, options)
    world.hear(message, but="bob")
    world.groups["alice"], pending = world.groups["alice"].commit(world.random, NOW)
    changed = staged(world.groups["carol"], pending.message).changes.updated[0]
    assert (changed.before.credential, changed.after.credential) == (
        content("bob").credential,
        content("robert").credential,
    )
    for name in ("bob", "carol"):
        world.groups[name] = staged(world.groups[name], pending.message).apply(NOW)
    world.groups["alice"] = world.groups["alice"].merge_pending(NOW)
    world.groups["robert"] = world.groups.pop("bob")
    world.say("robert", b"signed by another key")
    world.commit("alice", CommitOptions(leaf=content("alicia"), signature_key=signer("alicia")))
    world.groups["alicia"] = world.groups.pop("alice")
    world.say("alicia", b"so is this")
    world.commit("alicia")
    world.check_agreement()


def test_a_commit_without_a_path() -> None:
    world = World("alice", "bob")
    newcomer = bundle("carol", world.random)
    options = CommitOptions((Add(newcomer.key_package),), path=PathChoice.WHEN_REQUIRED)
    (welcome,) = world.commit("alice", options)
    world.groups["carol"] = Group.join(welcome, newcomer)
    assert world.groups["alice"].member(0).leaf_node.source.name == "COMMIT"
    world.check_agreement()
    for name in ("carol", "alice", "bob"):
        world.commit(name)
        world.check_agreement()


@pytest.mark.parametrize("split", WelcomeSplit)
@pytest.mark.parametrize("tree", TreeDelivery)
def test_welcomes_come_together_or_apart(split: WelcomeSplit, tree: TreeDelivery) -> None:
    world = World("alice")
    bundles = [bundle(name, world.random) for name in ("bob", "carol")]
    options = CommitOptions(tuple(Add(each.key_package) for each in bundles), tree=tree, split=split)
    alice, pending = world.groups["alice"].commit(world.random, NOW, options)
    assert len(pending.welcomes) == (1 if split is WelcomeSplit.ONE_FOR_ALL else 2)
    for each in bundles:
        ref = each.key_package.ref
        (welcome,) = [welcome.message for welcome in pending.welcomes if ref in welcome.new_members]
        if tree is TreeDelivery.APART:
            refused(partial(Group.join, welcome, each), MlsFault.NO_TREE)
        joined = Group.join(welcome, each, JoinOptions(tree=pending.tree))
        assert joined.epoch_authenticator == pending.step.epoch.secrets.epoch_authenticator
    if split is WelcomeSplit.ONE_EACH:
        refused(lambda: Group.join(pending.welcomes[0].message, bundles[1]), MlsFault.NO_KEY_PACKAGE)
    assert alice.merge_pending(NOW).ratchet_tree() == pending.tree


def test_pre_shared_keys_are_injected() -> None:
    world = World("alice", "bob")
    psks = Psks({b"psk": b"secret"})
    external = PreSharedKey(ExternalPskId(b"psk", world.random(32)))
    resumption = ResumptionPskId(ResumptionPskUsage.APPLICATION, GROUP_ID, 1, world.random(32))
    newcomer = bundle("carol", world.random)
    options = CommitOptions((Add(newcomer.key_package), external, PreSharedKey(resumption)))
    refused(lambda: world.groups["alice"].commit(world.random, NOW, options), MlsFault.PSK_NOT_FOUND)
    psk_of_epoch_1 = world.groups["alice"].resumption_psk()
    (welcome,) = world.commit("alice", options, psks)
    refused(lambda: Group.join(welcome, newcomer, JoinOptions(psks)), MlsFault.PSK_NOT_FOUND)
    both = Psks({b"psk": b"secret"}, {(GROUP_ID, 1): psk_of_epoch_1})
    world.groups["carol"] = Group.join(welcome, newcomer, JoinOptions(both))
    world.check_agreement()
    assert world.groups["bob"].resumption_psk(1) == psk_of_epoch_1


def test_another_secret_under_the_same_psk_id_is_noticed() -> None:
    world = World("alice", "bob")
    options = CommitOptions((PreSharedKey(ExternalPskId(b"psk", world.random(32))),))
    _, pending = world.groups["alice"].commit(world.random, NOW, options, Psks({b"psk": b"secret"}))
    bob = world.groups["bob"]
    refused(lambda: bob.process(pending.message, NOW), MlsFault.PSK_NOT_FOUND)
    refused(lambda: bob.process(pending.message, NOW, Psks({b"psk": b"other"})), MlsFault.CONFIRMATION_TAG)


def test_late_messages_are_read_for_as_long_as_the_rules_say() -> None:
    world = World("alice", "bob", rules=Rules(past_epochs=2, past_epoch_s=100))
    late = []
    for _ in range(3):
        world.groups["alice"], message = world.groups["alice"].encrypt(b"late", world.random)
        late.append(message)
        world.commit("bob")
    bob = world.groups["bob"]
    assert bob.past_epochs == (3, 2)
    refused(lambda: bob.process(late[0], NOW), MlsFault.EPOCH_FORGOTTEN)
    read = application(Group.load(bob.state(), world.rules), late[1])
    assert (read.data, read.epoch, read.credential) == (b"late", 2, content("alice").credential)
    refused(lambda: read.group.process(late[1], NOW), MlsFault.GENERATION_CONSUMED)
    stored = bob.state()
    assert bob.prune(NOW + 100).past_epochs == (3, 2)
    assert Group.load(stored, world.rules).prune(NOW + 101).past_epochs == ()
    assert Group.load(stored, world.rules).forget_past().past_epochs == ()


def test_grease_is_ignored() -> None:
    world = World("alice")
    greasy = greased(content("bob"), world.random)
    spec = KeyPackageSpec(world.suite, greasy, LIFETIME, (grease_extension(world.random),))
    bob = make_key_package(spec, signer("bob"), world.random)
    info = (grease_extension(world.random),)
    (welcome,) = world.commit("alice", CommitOptions((Add(bob.key_package),), group_info_extensions=info))
    world.groups["bob"] = Group.join(welcome, bob)
    world.check_agreement()
    world.commit("bob")
    world.check_agreement()


def test_padding_hides_the_length() -> None:
    world = World("alice", "bob")
    alice, short = world.groups["alice"].encrypt(b"x", world.random, Framing(padding=100))
    alice, long = alice.encrypt(b"x" * 51, world.random, Framing(padding=50))
    assert len(short) == len(long)
    read = application(world.groups["bob"], short)
    assert read.data == b"x"
    assert application(read.group, long).data == b"x" * 51


def test_key_package_bundles_are_stored() -> None:
    made = bundle("bob", Seeded(7))
    restored = KeyPackageBundle.restore(made.serialize())
    assert restored.key_package == made.key_package
    assert restored.serialize() == made.serialize()
    refused(lambda: KeyPackageBundle.restore(b"\0\2" + made.serialize()[2:]), MlsFault.STATE_VERSION)
    other = bundle("bob", Seeded(8))
    mixed = KeyPackageBundle(made.key_package, other.init_private, made.encryption_private, made.signature_key)
    refused(mixed.check, MlsFault.PRIVATE_KEY_MISMATCH)


def test_unknown_group_extensions_need_everyones_support() -> None:
    world = World("alice", "bob")
    options = CommitOptions((GroupContextExtensions((Extension(0xF123, b""),)),))
    refused(lambda: world.groups["alice"].commit(world.random, NOW, options), MlsFault.CONTEXT_EXTENSION_NOT_SUPPORTED)
