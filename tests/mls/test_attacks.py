"""What a malicious member, hub, outsider or thief of state could try that no single clause of the RFC names."""

from dataclasses import replace
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, bundle, content, signer
from tests.mls.test_joining_refusals import Forged
from tests.mls.world import PUBLIC, World, commit_in, forge, refused

from waypost.mls.base.bounds import COMMIT_PROPOSALS_MAX, Rules
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.registry import ResumptionPskUsage
from waypost.mls.base.suites import X25519_AES128, CipherSuite
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.objects.commit import Commit, UpdatePath
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import LeafNodePlace, sign_for_commit, sign_for_update
from waypost.mls.objects.parent_node import ParentNode
from waypost.mls.objects.proposals import Add, PreSharedKey, ReInit, Remove, Update
from waypost.mls.objects.psk import ExternalPskId, Psks, ResumptionPskId
from waypost.mls.objects.welcome import EncryptedGroupSecrets, GroupSecrets, seal_secrets
from waypost.mls.reinit import SuccessorOptions, reinitialise
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.tree_validation import parent_hash
from waypost.mls.tree.treekem import merge_path

# ── numbers at their ends ────────────────────────────────────────────────────────────────────────────────────────

LAST_EPOCH = 2**64 - 1


def test_the_last_epoch_has_no_next() -> None:
    joined = Forged(epoch=LAST_EPOCH).join()
    refused(lambda: joined.commit(World("alice").random, NOW), MlsFault.EPOCH_EXHAUSTED)
    state = joined.snapshot
    as_alice = Group(replace(state, epoch=replace(state.epoch, leaf_index=0, signature_key=signer("alice"))), Rules())
    psk = PreSharedKey(ExternalPskId(b"psk", bytes(32)))
    message = forge(as_alice, Commit((psk,), None))
    refused(lambda: joined.process(message, NOW, Psks({b"psk": b"secret"})), MlsFault.EPOCH_EXHAUSTED)


def test_nobody_joins_the_last_epoch_from_outside() -> None:
    world = World("alice", "bob")
    state = world.groups["alice"].snapshot
    context = replace(state.epoch.context, epoch=LAST_EPOCH)
    info = Group(replace(state, epoch=replace(state.epoch, context=context)), Rules()).group_info()
    options = ExternalJoinOptions(content("dave"), signer("dave"))
    refused(lambda: join_by_external_commit(info, options, world.random, NOW), MlsFault.EPOCH_EXHAUSTED)


def test_a_welcome_has_no_more_psks_than_a_commit_can_have() -> None:
    psks = Psks({b"psk": b"secret"})
    ids = tuple(ExternalPskId(b"psk", number.to_bytes(32, "big")) for number in range(COMMIT_PROPOSALS_MAX + 1))
    some = Forged(psk_ids=ids[:8], psks=psks)
    assert some.join(JoinOptions(psks)).epoch == 1
    # Only the joiner counts them: the forger has no such scruples.
    many = replace(some, psk_ids=ids)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waypost.mls.objects.psk.PSKS_MAX", 2**16)
        message = many.message()
    refused(lambda: Group.join(message, many.bob, JoinOptions(psks)), MlsFault.TOO_MANY_PROPOSALS)


@pytest.mark.parametrize("length", [-1, 255 * 32 + 1, 2**16, 2**20])
def test_exporters_have_a_longest_output(length: int) -> None:
    group = World("alice").groups["alice"]
    assert len(group.export_secret(b"label", b"", 255 * 32)) == 255 * 32
    refused(lambda: group.export_secret(b"label", b"", length), MlsFault.BAD_ARGUMENT)


# ── successors that are none ─────────────────────────────────────────────────────────────────────────────────────


def test_a_successor_has_the_version_that_was_asked_for() -> None:
    world = World("alice", "bob")
    world.commit("alice", CommitOptions((ReInit(GROUP_ID, 2, 1),)))
    bob = world.groups["bob"].snapshot
    psk = ResumptionPskId(ResumptionPskUsage.REINIT, GROUP_ID, 2, bytes(32))
    forged = Forged(psk_ids=(psk,), psks=bob.own_psks())
    refused(lambda: forged.join(JoinOptions(predecessor=bob)), MlsFault.REINIT_MISMATCH)
    options = SuccessorOptions((), content("alice"), LIFETIME, signer("alice"))
    make = partial(reinitialise, world.groups["alice"], options, world.random, NOW)
    refused(make, MlsFault.REINIT_MISMATCH)


def test_a_group_without_a_link_to_the_old_one_is_no_successor_of_it() -> None:
    world = World("alice", "bob")
    refused(lambda: Forged().join(JoinOptions(predecessor=world.groups["bob"].snapshot)), MlsFault.NOT_A_SUCCESSOR)


# ── keys that nobody could use ───────────────────────────────────────────────────────────────────────────────────

#: Points of order 1, 2, 4 and 8; encodings above the prime and with the top bit set; wrong lengths.
BAD_KEYS = [
    *(bytes([first]) + bytes(31) for first in (0, 1)),
    bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
    (2**255 - 20).to_bytes(32, "little"),
    (2**255 - 19).to_bytes(32, "little"),
    (2**255 - 10).to_bytes(32, "little"),
    bytes([9]) + bytes(30) + b"\x80",
    b"\xff" * 32,
    b"",
    bytes([9]) + bytes(30),
    bytes([9]) + bytes(32),
]


@pytest.mark.parametrize("key", BAD_KEYS, ids=bytes.hex)
def test_a_path_has_no_keys_that_nobody_can_encrypt_to(key: bytes) -> None:
    # The key of Alice's and Bob's parent, of which Carol and Dave are told nothing but the public half.
    world = World("alice", "bob", "carol", "dave")
    alice = world.groups["alice"]
    made = Group.load(alice.state()).commit(world.random, NOW, CommitOptions(framing=PUBLIC))[1]
    path = commit_in(made.message).path
    assert path is not None
    spoilt = replace(path, nodes=(replace(path.nodes[0], encryption_key=key), *path.nodes[1:]))
    message = forge(alice, Commit((), with_parent_hash(world, spoilt)), tag=bytes(32))
    refused(lambda: world.groups["carol"].process(message, NOW), MlsFault.BAD_HPKE_KEY)


@pytest.mark.parametrize("key", BAD_KEYS, ids=bytes.hex)
def test_leaf_nodes_have_usable_keys(key: bytes) -> None:
    world = World("alice", "bob")
    leaf = sign_for_update(content("alice"), key, LeafNodePlace(GROUP_ID, 0), signer("alice"))
    refused(lambda: world.groups["bob"].process(forge(world.groups["alice"], Update(leaf)), NOW), MlsFault.BAD_HPKE_KEY)


@pytest.mark.parametrize("key", BAD_KEYS, ids=bytes.hex)
def test_a_tree_that_is_joined_has_usable_keys(key: bytes) -> None:
    parent, bob = ParentNode(key), Forged().bob.key_package.leaf_node
    above = parent_hash(parent, RatchetTree([None, None, bob]).tree_hash(2))
    own = X25519_AES128.derive_key_pair(b"alice").public
    alice = sign_for_commit(content("alice"), own, above, LeafNodePlace(GROUP_ID, 0), signer("alice"))
    refused(Forged(alice=alice, tree=RatchetTree([alice, parent, bob])).join, MlsFault.BAD_HPKE_KEY)


def test_a_key_in_another_disguise_is_the_same_key() -> None:
    """X25519 ignores the top bit, so with it a used key would look like a new one."""
    world = World("alice", "bob", "carol")
    taken = bytearray(world.groups["bob"].member(2).leaf_node.encryption_key)
    taken[31] |= 0x80
    leaf = sign_for_update(content("alice"), bytes(taken), LeafNodePlace(GROUP_ID, 0), signer("alice"))
    refused(lambda: world.groups["bob"].process(forge(world.groups["alice"], Update(leaf)), NOW), MlsFault.BAD_HPKE_KEY)


def with_parent_hash(world: World, path: UpdatePath) -> UpdatePath:
    """The path with its leaf node signed again, for the parent hash that its keys give."""
    tree = world.groups["alice"].snapshot.epoch.tree.copy()
    refused(lambda: merge_path(tree, 0, path), MlsFault.PATH_PARENT_HASH)
    above = tree.parent_node(1)
    assert above is not None
    key, place = path.leaf_node.encryption_key, LeafNodePlace(GROUP_ID, 0)
    leaf = sign_for_commit(content("alice"), key, parent_hash(above, tree.tree_hash(2)), place, signer("alice"))
    return replace(path, leaf_node=leaf)


def test_one_who_is_removed_checks_the_path_as_far_as_it_can() -> None:
    world = World("alice", "bob", "carol")
    alice = world.groups["alice"]
    options = CommitOptions((Remove(1),), framing=PUBLIC)
    commit = commit_in(Group.load(alice.state()).commit(world.random, NOW, options)[1].message)
    assert commit.path is not None
    for path, fault in (
        (replace(commit.path, nodes=()), MlsFault.PATH_LENGTH),
        (replace(commit.path, nodes=(replace(commit.path.nodes[0], encryption_key=bytes(32)),)), MlsFault.BAD_HPKE_KEY),
        (None, MlsFault.PATH_REQUIRED),
    ):
        message = forge(alice, Commit((Remove(1),), path), tag=bytes(32))
        refused(partial(world.groups["bob"].process, message, NOW), fault)


# ── what is left to steal ────────────────────────────────────────────────────────────────────────────────────────


def test_one_who_is_removed_keeps_nothing_that_was_secret() -> None:
    world = World("alice", "bob", "carol")
    world.say("alice", b"before")
    world.commit("carol")
    before = world.groups["bob"].snapshot
    secrets = [value for name, value in vars(before.epoch.secrets).items() if name != "epoch_authenticator"]
    keys = [key.data for key in before.epoch.private_keys.values()]
    nodes = [*before.secret_tree.nodes.values(), *before.resumption_psks.values()]
    assert all(secret in world.groups["bob"].state() for secret in (*secrets, *keys, *nodes))
    world.commit("alice", CommitOptions((Remove(1),)))
    bob = Group.load(world.groups["bob"].state())
    assert bob.epoch_authenticator == before.epoch.secrets.epoch_authenticator
    assert not any(secret in bob.state() for secret in (*secrets, *keys, *nodes))
    refused(lambda: bob.export_secret(b"label", b"", 32), MlsFault.GROUP_CLOSED)
    refused(lambda: bob.resumption_psk(2), MlsFault.PSK_NOT_FOUND)


def test_a_state_has_only_keys_that_are_still_in_use() -> None:
    world = World("alice", "bob", "carol", "dave")
    old = [key.data for key in world.groups["bob"].snapshot.epoch.private_keys.values()]
    for name in ("alice", "carol", "bob", "dave"):
        world.commit(name)
        in_use = set(world.groups["bob"].snapshot.epoch.tree.encryption_keys())
        assert {key.public for key in world.groups["bob"].snapshot.epoch.private_keys.values()} <= in_use
    stored = world.groups["bob"].forget_past().state()
    assert not any(key in stored for key in old)


def test_a_joiner_is_told_the_secrets_of_its_path() -> None:
    """Withheld, they would be missing when the next path is encrypted to them: the joiner would be shut out."""
    world = World("alice", "bob", "carol")
    dave = bundle("dave", world.random)

    def sealed(suite: CipherSuite, package: KeyPackage, info: bytes, secrets: GroupSecrets) -> EncryptedGroupSecrets:
        return seal_secrets(suite, package, info, replace(secrets, path_secret=None))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("waypost.mls.steps.committing.seal_secrets", sealed)
        (welcome,) = world.commit("alice", CommitOptions((Add(dave.key_package),)))
    refused(lambda: Group.join(welcome, dave), MlsFault.PATH_SECRET_MISMATCH)


def test_secrets_are_not_shown() -> None:
    world = World("alice", "bob", "carol")
    world.say("alice", b"data")
    world.groups["bob"], update = world.groups["bob"].propose_update(world.random, NOW)
    world.hear(update, but="bob")
    group, pending = world.groups["bob"].commit(world.random, NOW, CommitOptions(references=()))
    state = group.snapshot
    secrets = [
        *(value for name, value in vars(state.epoch.secrets).items() if name != "epoch_authenticator"),
        *(key.data for key in state.epoch.private_keys.values()),
        *(cached.update_key.data for cached in state.proposals.values() if cached.update_key is not None),
        *(ratchet.secret for ratchet in state.secret_tree.ratchets.values()),
        *state.secret_tree.nodes.values(),
        *state.resumption_psks.values(),
        state.epoch.signature_key.seed,
    ]
    shown = " ".join(
        map(repr, (group, state, state.epoch, state.secret_tree, pending, pending.step, state.psks(Psks())))
    )
    assert len(secrets) > 12
    assert not [secret for secret in secrets if repr(secret)[2:-1] in shown or secret.hex() in shown]
