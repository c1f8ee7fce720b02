"""Trees that lie (RFC 9420 §7.9, §12.4.3.1), shown to joiners, and external commits that steal (§12.4.3.2)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, NOW, Seeded, bundle, content, signer
from tests.mls.world import PUBLIC, World, forge, refused, staged

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import SenderType, WireFormat
from waypost.mls.base.suites import X25519_AES128
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.keys.protection import sign_content
from waypost.mls.objects.commit import Commit, UpdatePath
from waypost.mls.objects.framing import (
    FramedContent,
    FramedContentAuthData,
    PublicMessage,
    Sender,
    decode_message,
    encode_message,
)
from waypost.mls.objects.leaf_node import LeafNodePlace, sign_for_commit
from waypost.mls.objects.parent_node import ParentNode
from waypost.mls.objects.proposals import Add, ExternalInit, PreSharedKey, Remove
from waypost.mls.objects.psk import ExternalPskId
from waypost.mls.steps.committing import CommitOptions, TreeDelivery
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.tree.ratchet_tree import RatchetTree

NAMES = tuple(f"member {number}" for number in range(6))


def grown(seed: int = 0) -> World:
    """Six members, all parents set, and a seventh that is unmerged on its path."""
    world = World(*NAMES, seed=seed)
    for name in NAMES[::2]:
        world.commit(name)
    world.add(NAMES[1], "late")
    world.commit(NAMES[0])
    return world


GROWN = grown()
TREE = GROWN.groups[NAMES[0]].snapshot.epoch.tree


def with_tree(tree: RatchetTree) -> bytes:
    """A GroupInfo for that tree, its hash right and signed by a member: only the tree itself can be wrong."""
    state = GROWN.groups[NAMES[0]].snapshot
    context = replace(state.epoch.context, tree_hash=tree.root_hash())
    liar = Group(replace(state, epoch=replace(state.epoch, context=context, tree=tree)), Rules())
    return liar.group_info()


def join(info: bytes, tree: bytes | None = None) -> tuple[Group, bytes]:
    options = ExternalJoinOptions(content("eve"), signer("eve"), tree=tree)
    return join_by_external_commit(info, options, Seeded(1), NOW)


def changed(node: int, change: Callable[[ParentNode], ParentNode | None]) -> RatchetTree:
    tree = TREE.copy()
    parent = tree.parent_node(node)
    assert parent is not None
    tree.set(node, change(parent))
    return tree


PARENTS = [node for node, _ in TREE.parents()]


def test_the_tree_is_good_where_nothing_is_changed() -> None:
    assert len(PARENTS) >= 4
    assert len(join(with_tree(TREE))[0].members()) == 8


@pytest.mark.parametrize("node", PARENTS)
def test_parents_that_nobody_vouches_for(node: int) -> None:
    key = X25519_AES128.derive_key_pair(b"mallory").public
    for change in (
        lambda parent: replace(parent, encryption_key=key),
        lambda parent: replace(parent, parent_hash=bytes(32)),
        lambda parent: replace(parent, parent_hash=b"x" if not parent.parent_hash else b""),
    ):
        refused(partial(join, with_tree(changed(node, change))), MlsFault.PARENT_HASH_INVALID)


def test_a_parent_that_has_been_put_into_a_blank_place() -> None:
    blank = [node for node in range(1, 2 * TREE.root, 2) if TREE.parent_node(node) is None]
    key = X25519_AES128.derive_key_pair(b"mallory").public
    for node in blank:
        tree = TREE.copy()
        tree.set(node, ParentNode(key))
        refused(partial(join, with_tree(tree)), MlsFault.PARENT_HASH_INVALID)


def test_subtrees_of_another_group_or_another_time() -> None:
    other = grown(seed=3).groups[NAMES[0]].snapshot.epoch.tree
    for nodes in ((0, 1, 2), (4, 5, 6), (8, 9, 10), range(7), range(8, 13)):
        tree = TREE.copy()
        for node in nodes:
            tree.set(node, other.node(node))
        with pytest.raises(MlsError) as caught:
            join(with_tree(tree))
        assert caught.value.fault is MlsFault.PARENT_HASH_INVALID, nodes
    before = GROWN.groups[NAMES[0]].snapshot.epoch.tree
    GROWN_LATER.commit(NAMES[3])
    later = GROWN_LATER.groups[NAMES[0]].snapshot.epoch.tree
    mixed = later.copy()
    mixed.set(before.root, before.node(before.root))
    refused(partial(join, with_tree(mixed)), MlsFault.PARENT_HASH_INVALID)


GROWN_LATER = grown()


def test_a_leaf_of_one_time_among_parents_of_another() -> None:
    """A member's own older leaf is signed rightly and still does not fit."""
    world = grown()
    old = world.groups[NAMES[0]].snapshot.epoch.tree.node(0)
    world.commit(NAMES[0])
    tree = world.groups[NAMES[0]].snapshot.epoch.tree.copy()
    tree.set(0, old)
    refused(lambda: join(with_tree(tree)), MlsFault.PARENT_HASH_INVALID)


@pytest.mark.parametrize("node", PARENTS)
def test_lies_about_unmerged_leaves(node: int) -> None:
    parent = TREE.parent_node(node)
    assert parent is not None
    lies = {
        "a leaf that is merged": tuple(sorted({*parent.unmerged_leaves, node // 2})),
        "a leaf from elsewhere": tuple(sorted({*parent.unmerged_leaves, 7 if node < 7 else 0})),
        "a blank leaf": tuple(sorted({*parent.unmerged_leaves, 7})),
        "a leaf beyond the tree": (*parent.unmerged_leaves, 2**20),
    }
    if parent.unmerged_leaves:
        lies["none although there are"] = ()
    for name, leaves in lies.items():
        if leaves == parent.unmerged_leaves:
            continue
        lying = changed(node, partial(_listing, leaves))
        with pytest.raises(MlsError) as caught:
            join(with_tree(lying))
        assert caught.value.fault in (
            MlsFault.UNMERGED_NOT_BELOW,
            MlsFault.UNMERGED_NOT_CARRIED,
            MlsFault.PARENT_HASH_INVALID,
        ), name


def _listing(leaves: tuple[int, ...], parent: ParentNode) -> ParentNode:
    return replace(parent, unmerged_leaves=leaves)


def test_one_leaf_in_two_places() -> None:
    tree = TREE.copy()
    tree.add(tree.member(1))
    refused(lambda: join(with_tree(tree)), MlsFault.ENCRYPTION_KEY_TWICE)


@pytest.mark.parametrize("leaf", range(7))
def test_leaves_that_have_changed_places(leaf: int) -> None:
    tree = TREE.copy()
    other = (leaf + 1) % 7
    tree.set(2 * leaf, TREE.node(2 * other))
    tree.set(2 * other, TREE.node(2 * leaf))
    with pytest.raises(MlsError) as caught:
        join(with_tree(tree))
    assert caught.value.fault in (MlsFault.GROUP_INFO_SIGNATURE, MlsFault.PARENT_HASH_INVALID, MlsFault.LEAF_SIGNATURE)


def test_another_tree_than_the_group_infos() -> None:
    apart = GROWN.groups[NAMES[0]].group_info(tree=TreeDelivery.APART)
    for tree in (
        grown(seed=3).groups[NAMES[0]].ratchet_tree(),
        changed(TREE.root, lambda _: None).encode(),
        GROWN_LATER.groups[NAMES[0]].ratchet_tree()[:-1] + b"\0",
    ):
        with pytest.raises(MlsError) as caught:
            join(apart, tree)
        assert caught.value.fault in (MlsFault.TREE_HASH_MISMATCH, MlsFault.TRUNCATED, MlsFault.GROUP_INFO_SIGNATURE)


def test_a_welcome_is_for_one_key_package() -> None:
    world = World("alice")
    dave, eve, twin = bundle("dave", Seeded(1)), bundle("eve", Seeded(2)), bundle("dave", Seeded(3))
    (welcome,) = world.commit("alice", CommitOptions((Add(dave.key_package),)))
    for other in (eve, twin):
        refused(partial(Group.join, welcome, other), MlsFault.NO_KEY_PACKAGE)
    mixed = replace(dave, init_private=eve.init_private)
    refused(lambda: Group.join(welcome, mixed), MlsFault.PRIVATE_KEY_MISMATCH)
    assert Group.join(welcome, dave).epoch == 1
    refused(lambda: Group.join(welcome, dave, JoinOptions(groups={GROUP_ID})), MlsFault.GROUP_EXISTS)


# ── external commits ─────────────────────────────────────────────────────────────────────────────────────────────


def external_commit(world: World, name: str, resync: int | None = None) -> Commit:
    info = world.groups["alice"].group_info()
    options = ExternalJoinOptions(content(name), signer(name), resync)
    body = decode_message(join_by_external_commit(info, options, world.random, NOW)[1])
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    return body.content.content


def sent(world: World, commit: Commit, by: str, as_: SenderType = SenderType.NEW_MEMBER_COMMIT) -> bytes:
    """The commit, signed for the epoch by that key; its confirmation tag is wrong."""
    framed = FramedContent.make(GROUP_ID, 1, Sender(as_), b"", commit)
    context = world.groups["alice"].snapshot.epoch.context.encoded
    signature = sign_content(WireFormat.PUBLIC_MESSAGE, framed, context, signer(by))
    body = PublicMessage(framed, FramedContentAuthData(signature, bytes(32)))
    return encode_message(WireFormat.PUBLIC_MESSAGE, body.encode())


def with_leaf_key(path: UpdatePath | None, key: bytes, name: str, leaf_index: int) -> UpdatePath:
    assert path is not None
    place = LeafNodePlace(GROUP_ID, leaf_index)
    leaf = sign_for_commit(content(name), key, path.leaf_node.parent_hash, place, signer(name))
    return replace(path, leaf_node=leaf)


def test_keys_that_are_anothers() -> None:
    world = World("alice", "bob", "carol")
    bob, commit = world.groups["bob"], external_commit(world, "dave")
    for taken in bob.snapshot.epoch.tree.encryption_keys():
        stolen = replace(commit, path=with_leaf_key(commit.path, taken, "dave", 3))
        refused(partial(bob.process, sent(world, stolen, "dave"), NOW), MlsFault.PATH_KEY_IN_TREE)
        assert commit.path is not None
        nodes = (replace(commit.path.nodes[0], encryption_key=taken), *commit.path.nodes[1:])
        stolen = replace(commit, path=replace(commit.path, nodes=nodes))
        refused(partial(bob.process, sent(world, stolen, "dave"), NOW), MlsFault.PATH_KEY_IN_TREE)


def test_signature_keys_that_are_anothers() -> None:
    world = World("alice", "bob", "carol")
    commit = external_commit(world, "dave")
    assert commit.path is not None
    place = LeafNodePlace(GROUP_ID, 3)
    leaf = commit.path.leaf_node
    twin = sign_for_commit(content("dave"), leaf.encryption_key, leaf.parent_hash, place, signer("carol"))
    twice = replace(commit, path=replace(commit.path, leaf_node=twin))
    refused(lambda: world.groups["bob"].process(sent(world, twice, "carol"), NOW), MlsFault.SIGNATURE_KEY_TWICE)
    # And the commit is signed by the key of its own leaf, nobody else's.
    for name in ("alice", "bob", "mallory"):
        refused(partial(world.groups["bob"].process, sent(world, commit, name), NOW), MlsFault.MESSAGE_SIGNATURE)


def test_a_leaf_for_another_place() -> None:
    world = World("alice", "bob", "carol")
    commit = external_commit(world, "dave")
    assert commit.path is not None
    for index in (0, 2, 4):
        moved = replace(commit, path=with_leaf_key(commit.path, commit.path.leaf_node.encryption_key, "dave", index))
        refused(partial(world.groups["bob"].process, sent(world, moved, "dave"), NOW), MlsFault.LEAF_SIGNATURE)


def test_who_comes_back_takes_no_other_place_and_no_other_name() -> None:
    world = World("alice", "bob", "carol")
    commit = external_commit(world, "carol", resync=2)
    assert commit.path is not None
    key = commit.path.leaf_node.encryption_key
    renamed = replace(commit, path=with_leaf_key(commit.path, key, "mallory", 2))
    refused(lambda: world.groups["bob"].process(sent(world, renamed, "mallory"), NOW), MlsFault.RESYNC_OF_OTHER)
    init = next(each for each in commit.proposals if isinstance(each, ExternalInit))
    other = replace(commit, proposals=(init, Remove(0)))
    refused(lambda: world.groups["bob"].process(sent(world, other, "carol"), NOW), MlsFault.RESYNC_OF_OTHER)


def test_a_member_does_not_pose_as_a_newcomer_nor_the_reverse() -> None:
    world = World("alice", "bob", "carol")
    commit = external_commit(world, "dave")
    refused(
        lambda: world.groups["bob"].process(forge(world.groups["alice"], commit), NOW), MlsFault.EXTERNAL_INIT_BY_MEMBER
    )
    _, pending = Group.load(world.groups["alice"].state()).commit(world.random, NOW, CommitOptions(framing=PUBLIC))
    body = decode_message(pending.message)
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    members = sent(world, body.content.content, "alice")
    refused(lambda: world.groups["bob"].process(members, NOW), MlsFault.EXTERNAL_COMMIT_INIT)


def test_psks_of_external_commits() -> None:
    world = World("alice", "bob", "carol")
    commit = external_commit(world, "dave")
    for proposals, fault in (
        ([PreSharedKey(ExternalPskId(b"psk", bytes(32)))], MlsFault.PSK_NOT_FOUND),
        ([PreSharedKey(ExternalPskId(b"psk", bytes(31)))], MlsFault.PSK_NONCE_LENGTH),
        ([PreSharedKey(ExternalPskId(b"psk", bytes(32)))] * 2, MlsFault.PSK_TWICE),
    ):
        more = replace(commit, proposals=(*commit.proposals, *proposals))
        refused(partial(world.groups["bob"].process, sent(world, more, "dave"), NOW), fault)


def test_a_kem_output_that_is_none() -> None:
    world = World("alice", "bob", "carol")
    commit = external_commit(world, "dave")
    for output in (b"", bytes(31), bytes(32), b"\1" + bytes(31), bytes(33), bytes(1_120)):
        spoilt = replace(commit, proposals=(ExternalInit(output),))
        refused(partial(world.groups["bob"].process, sent(world, spoilt, "dave"), NOW), MlsFault.HPKE_OPEN_FAILED)


def test_two_external_commits_for_one_epoch() -> None:
    world = World("alice", "bob")
    info = world.groups["alice"].group_info()
    joined = [
        join_by_external_commit(info, ExternalJoinOptions(content(name), signer(name)), world.random, NOW)
        for name in ("dave", "eve")
    ]
    bob = staged(world.groups["bob"], joined[0][1]).apply(NOW)
    assert bob.epoch_authenticator == joined[0][0].epoch_authenticator
    refused(lambda: bob.process(joined[1][1], NOW), MlsFault.WRONG_EPOCH)
    refused(lambda: joined[1][0].process(joined[0][1], NOW), MlsFault.WRONG_EPOCH)
