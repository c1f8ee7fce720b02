import pytest
from scripts.support.mls.members import GROUP_ID, NOW, Seeded, bundle, content, signer
from tests.mls.world import World, proposal, refused, staged

from waypost.mls.base.errors import MlsFault
from waypost.mls.base.suites import SUITES, CipherSuite
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit, propose_externally, propose_own_add
from waypost.mls.group import Group
from waypost.mls.objects.extensions import ExternalSender, external_senders_extension
from waypost.mls.objects.proposals import Add, ExternalInit, PreSharedKey, Remove
from waypost.mls.objects.psk import ExternalPskId, Psks
from waypost.mls.steps.committing import CommitOptions, TreeDelivery

SERVER = signer("server")
SENDERS = (external_senders_extension((ExternalSender(SERVER.public, content("server").credential),)),)


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_joining_by_an_external_commit(suite: CipherSuite) -> None:
    world = World("alice", "bob", "carol", suite=suite)
    info = world.groups["bob"].group_info()
    options = ExternalJoinOptions(content("dave"), signer("dave"))
    dave, message = join_by_external_commit(info, options, world.random, NOW)
    changes = staged(world.groups["alice"], message).changes
    assert changes.external
    assert (changes.committer.leaf_index, changes.committer.credential) == (3, content("dave").credential)
    for name in ("alice", "bob", "carol"):
        world.groups[name] = staged(world.groups[name], message).apply(NOW)
    world.groups["dave"] = Group.load(dave.state())
    world.check_agreement()
    world.say("dave", b"here I am")
    for name in ("carol", "dave", "alice"):
        world.commit(name)
        world.check_agreement()


def test_the_tree_may_come_apart() -> None:
    world = World("alice", "bob")
    info = world.groups["bob"].group_info(tree=TreeDelivery.APART)
    options = ExternalJoinOptions(content("dave"), signer("dave"))
    refused(lambda: join_by_external_commit(info, options, world.random, NOW), MlsFault.NO_TREE)
    options = ExternalJoinOptions(content("dave"), signer("dave"), tree=world.groups["alice"].ratchet_tree())
    dave, message = join_by_external_commit(info, options, world.random, NOW)
    alice = staged(world.groups["alice"], message).apply(NOW)
    assert alice.epoch_authenticator == dave.epoch_authenticator


def test_a_member_that_lost_its_state_comes_back_in_its_old_place() -> None:
    world = World("alice", "bob", "carol")
    info = world.groups["alice"].group_info()
    psk = ExternalPskId(b"psk", world.random(32))
    psks = Psks({b"psk": b"secret"})
    options = ExternalJoinOptions(content("bob"), signer("bob"), resync=1, psk_ids=(psk,), psks=psks)
    bob, message = join_by_external_commit(info, options, world.random, NOW)
    lost = staged(world.groups["bob"], message, psks)
    assert lost.changes.removes_self
    heard = staged(world.groups["alice"], message, psks)
    assert [member.leaf_index for member in heard.changes.removed] == [1]
    assert heard.changes.psks == (psk,)
    world.groups["alice"] = heard.apply(NOW)
    world.groups["carol"] = staged(world.groups["carol"], message, psks).apply(NOW)
    world.groups["bob"] = bob
    assert bob.own_leaf_index == 1
    world.check_agreement()
    world.say("bob", b"back")


def test_nobody_comes_back_as_someone_else() -> None:
    world = World("alice", "bob")
    info = world.groups["alice"].group_info()
    options = ExternalJoinOptions(content("mallory"), signer("mallory"), resync=1)
    refused(lambda: join_by_external_commit(info, options, world.random, NOW), MlsFault.RESYNC_OF_OTHER)


def test_a_client_with_a_members_signature_key_does_not_join_twice() -> None:
    world = World("alice", "bob")
    info = world.groups["alice"].group_info()
    options = ExternalJoinOptions(content("bob"), signer("bob"))
    refused(lambda: join_by_external_commit(info, options, world.random, NOW), MlsFault.SIGNATURE_KEY_TWICE)


def test_an_external_server_proposes() -> None:
    world = World("alice", "bob", "carol", extensions=SENDERS)
    group = world.groups["alice"]
    newcomer = bundle("dave", world.random)
    for wanted in (Remove(2), Add(newcomer.key_package)):
        world.hear(propose_externally(GROUP_ID, group.epoch, 0, wanted, SERVER))
    (welcome,) = world.commit("bob")
    del world.groups["carol"]
    world.groups["dave"] = Group.join(welcome, newcomer)
    world.check_agreement()
    assert {member.leaf_index for member in world.groups["dave"].members()} == {0, 1, 2}


def test_a_client_asks_to_be_added() -> None:
    world = World("alice", "bob")
    dave = bundle("dave", world.random)
    world.hear(propose_own_add(GROUP_ID, 1, dave))
    (asked,) = world.groups["alice"].proposals
    (welcome,) = world.commit("alice", CommitOptions(references=(asked.reference,)))
    world.groups["dave"] = Group.join(welcome, dave)
    world.check_agreement()


def test_external_proposals_that_may_not_be() -> None:
    world = World("alice", "bob", extensions=SENDERS)
    bob = world.groups["bob"]
    kept = propose_externally(GROUP_ID, 1, 0, Remove(0), SERVER)
    refused(lambda: propose_externally(GROUP_ID, 1, 0, ExternalInit(b""), SERVER), MlsFault.EXTERNAL_PROPOSAL_TYPE)
    refused(lambda: bob.process(propose_externally(GROUP_ID, 1, 1, Remove(0), SERVER), NOW), MlsFault.SENDER_UNKNOWN)
    other = signer("mallory")
    refused(lambda: bob.process(propose_externally(GROUP_ID, 1, 0, Remove(0), other), NOW), MlsFault.MESSAGE_SIGNATURE)
    refused(lambda: bob.process(propose_externally(GROUP_ID, 2, 0, Remove(0), SERVER), NOW), MlsFault.EPOCH_AHEAD)
    refused(lambda: bob.process(propose_externally(GROUP_ID, 0, 0, Remove(0), SERVER), NOW), MlsFault.WRONG_EPOCH)
    refused(lambda: bob.process(propose_externally(b"other", 1, 0, Remove(0), SERVER), NOW), MlsFault.WRONG_GROUP)
    refused(lambda: bob.process(propose_externally(GROUP_ID, 1, 0, Remove(5), SERVER), NOW), MlsFault.REMOVE_OF_BLANK)
    after = proposal(bob, kept).group
    refused(lambda: after.process(kept, NOW), MlsFault.PROPOSAL_REPLAYED)


def test_without_external_senders_there_are_none() -> None:
    world = World("alice", "bob")
    message = propose_externally(GROUP_ID, 1, 0, Remove(0), SERVER)
    refused(lambda: world.groups["bob"].process(message, NOW), MlsFault.SENDER_UNKNOWN)


def test_group_infos_that_do_not_do() -> None:
    world = World("alice", "bob")
    info = world.groups["alice"].group_info()

    def join(data: bytes, **more: object) -> None:
        options = ExternalJoinOptions(content("dave"), signer("dave"), **more)  # type: ignore[arg-type]
        join_by_external_commit(data, options, Seeded(), NOW)

    refused(lambda: join(info[:-1] + bytes([info[-1] ^ 1])), MlsFault.GROUP_INFO_SIGNATURE)
    refused(lambda: join(info, groups={GROUP_ID}), MlsFault.GROUP_EXISTS)
    refused(lambda: join(bundle("dave", world.random).key_package.message()), MlsFault.WRONG_WIRE_FORMAT)
    # That of a Welcome has no external_pub; an external commit has no Add.
    psk = PreSharedKey(ExternalPskId(b"psk", bytes(32)))
    refused(lambda: join(info, psk_ids=(psk.psk,)), MlsFault.PSK_NOT_FOUND)
    refused(lambda: join(info, psk_ids=(ExternalPskId(b"psk", bytes(31)),)), MlsFault.PSK_NONCE_LENGTH)
    refused(lambda: join(info, resync=7), MlsFault.REMOVE_OF_BLANK)
    other = World("alice", "bob", seed=1).groups["alice"].ratchet_tree()
    apart = world.groups["alice"].group_info(tree=TreeDelivery.APART)
    # The signer's key is the same in both, the encryption keys are not.
    refused(lambda: join(apart, tree=other), MlsFault.TREE_HASH_MISMATCH)


def test_an_external_commit_for_an_epoch_that_has_passed_is_refused() -> None:
    world = World("alice", "bob")
    info = world.groups["alice"].group_info()
    world.commit("bob", CommitOptions())
    _, message = join_by_external_commit(info, ExternalJoinOptions(content("dave"), signer("dave")), world.random, NOW)
    refused(lambda: world.groups["alice"].process(message, NOW), MlsFault.WRONG_EPOCH)
