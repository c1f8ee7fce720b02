from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts.support.mls.members import GROUP_ID, bundle
from tests.mls.world import World, refused

from waypost.mls.base import bounds, tree_math
from waypost.mls.base.codec import decode, vector
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.suites import X25519_AES128
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.parent_node import ParentNode
from waypost.mls.objects.proposals import Add
from waypost.mls.steps.committing import CommitOptions, PathChoice
from waypost.mls.tree.leaf_validation import GroupParameters
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.tree_validation import check_parent_hashes, check_tree, check_uniqueness, check_unmerged_leaves


def grown() -> RatchetTree:
    """Seven members with commits from several of them, and an eighth that is unmerged."""
    world = World(*(f"member {number}" for number in range(7)))
    for number in (0, 2, 5):
        world.commit(f"member {number}")
    last = bundle("last", world.random)
    world.commit("member 3", CommitOptions((Add(last.key_package),), path=PathChoice.WHEN_REQUIRED))
    return world.groups["member 0"].snapshot.epoch.tree


TREE = grown()
PARAMETERS = GroupParameters.of(X25519_AES128, GROUP_ID, ())
LEAVES = [leaf for _, leaf in TREE.members()]


def test_a_tree_that_grew_by_commits_is_valid() -> None:
    check_tree(RatchetTree.decode(TREE.encode()), PARAMETERS)
    assert any(parent.unmerged_leaves for _, parent in TREE.parents())


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(0, 7)),
        st.tuples(st.just("remove"), st.integers(0, 15)),
        st.tuples(st.just("update"), st.integers(0, 15)),
        st.tuples(st.just("parent"), st.integers(0, 15)),
    ),
    max_size=25,
)


@settings(max_examples=100)
@given(OPERATIONS)
def test_what_is_kept_is_what_would_be_computed_anew(operations: list[tuple[str, int]]) -> None:
    tree = RatchetTree([LEAVES[0]])
    for operation, number in operations:
        before, hash_before = tree.copy(), tree.root_hash()
        _operate(tree, operation, number)
        assert before.root_hash() == hash_before
        if any(True for _ in tree.members()):
            fresh = RatchetTree.decode(tree.encode())
            assert fresh.root_hash() == tree.root_hash()
            places = range(tree_math.node_width(tree.leaf_count))
            assert [fresh.resolution(node) for node in places] == [tree.resolution(node) for node in places]


def _operate(tree: RatchetTree, operation: str, number: int) -> None:
    members = [index for index, _ in tree.members()]
    if operation == "add":
        tree.add(LEAVES[number])
    elif operation == "remove" and len(members) > 1:
        tree.remove(members[number % len(members)])
        tree.truncate()
    elif operation == "update":
        tree.update(members[number % len(members)], LEAVES[number % 8])
    elif operation == "parent" and tree.leaf_count > 1:
        inner = 2 * (number % (tree.leaf_count - 1)) + 1
        tree.set(inner, ParentNode(bytes([number])))


def changed(node: int, value: LeafNode | ParentNode | None) -> RatchetTree:
    tree = TREE.copy()
    tree.set(node, value)
    return tree


def parent(node: int) -> ParentNode:
    found = TREE.parent_node(node)
    assert found is not None
    return found


def test_keys_are_there_once() -> None:
    twin = replace(parent(TREE.root), encryption_key=LEAVES[0].encryption_key)
    refused(lambda: check_uniqueness(changed(TREE.root, twin)), MlsFault.ENCRYPTION_KEY_TWICE)
    refused(lambda: check_uniqueness(changed(2, LEAVES[0])), MlsFault.ENCRYPTION_KEY_TWICE)
    twin_leaf = replace(LEAVES[0], encryption_key=b"another")
    refused(lambda: check_uniqueness(changed(2, twin_leaf)), MlsFault.SIGNATURE_KEY_TWICE)


def test_credential_types_are_understood_by_all() -> None:
    capabilities = replace(LEAVES[1].capabilities, credentials=(2,))
    deaf = replace(LEAVES[1], capabilities=capabilities)
    refused(lambda: check_uniqueness(changed(2, deaf)), MlsFault.CREDENTIAL_NOT_SHARED)


@pytest.mark.parametrize(
    ("node", "unmerged", "fault"),
    [
        (3, (7,), MlsFault.UNMERGED_NOT_BELOW),
        (7, (99,), MlsFault.UNMERGED_NOT_BELOW),
        (7, (2**32 - 1,), MlsFault.UNMERGED_NOT_BELOW),
        (7, (0, 7), MlsFault.UNMERGED_NOT_CARRIED),
    ],
)
def test_lies_about_unmerged_leaves(node: int, unmerged: tuple[int, ...], fault: MlsFault) -> None:
    lie = replace(parent(node), unmerged_leaves=unmerged)
    refused(lambda: check_unmerged_leaves(changed(node, lie)), fault)


def test_unmerged_leaves_are_sorted_and_there_once() -> None:
    for leaves in ((2, 1), (1, 1)):
        encoded = ParentNode(b"key", b"", leaves).encode()
        refused(partial(decode, encoded, ParentNode.read), MlsFault.UNMERGED_NOT_SORTED)


def test_parent_hashes_hold_together() -> None:
    places = [node for node, _ in TREE.parents()]
    assert len(places) > 3
    for node in places:
        spoilt = replace(parent(node), encryption_key=bytes(32))
        refused(partial(check_parent_hashes, changed(node, spoilt)), MlsFault.PARENT_HASH_INVALID)
        # Hiding the unmerged leaf, or claiming another, breaks the chain too.
        if parent(node).unmerged_leaves:
            hidden = replace(parent(node), unmerged_leaves=())
            refused(partial(check_parent_hashes, changed(node, hidden)), MlsFault.PARENT_HASH_INVALID)


def test_a_subtree_from_elsewhere_does_not_fit() -> None:
    other = grown_elsewhere()
    spliced = TREE.copy()
    for node in (0, 1, 2):
        spliced.set(node, other.node(node))
    refused(lambda: check_parent_hashes(spliced), MlsFault.PARENT_HASH_INVALID)


def grown_elsewhere() -> RatchetTree:
    world = World(*(f"member {number}" for number in range(7)), seed=5)
    world.commit("member 0")
    return world.groups["member 0"].snapshot.epoch.tree


def test_leaves_are_checked() -> None:
    spoilt = replace(LEAVES[1], signature=bytes(64))
    refused(lambda: check_tree(changed(2, spoilt), PARAMETERS), MlsFault.LEAF_SIGNATURE)
    elsewhere = GroupParameters.of(X25519_AES128, b"another group", ())
    refused(lambda: check_tree(TREE, elsewhere), MlsFault.LEAF_SIGNATURE)


def test_shapes_that_are_no_tree() -> None:
    leaf, blank = b"\1\1" + LEAVES[0].encoded, b"\0"
    node = b"\1\2" + ParentNode(b"key").encode()
    for nodes, fault in (
        ((), MlsFault.TREE_EMPTY),
        ((leaf, blank), MlsFault.TREE_ENDS_BLANK),
        ((blank,), MlsFault.TREE_ENDS_BLANK),
        ((node,), MlsFault.TREE_NODE_TYPE),
        ((leaf, leaf, leaf), MlsFault.TREE_NODE_TYPE),
        ((b"\1\3",), MlsFault.UNKNOWN_ENUM),
        ((b"\2",), MlsFault.OPTIONAL_INVALID),
        ((*(blank,) * (2 * bounds.LEAVES_MAX), leaf), MlsFault.TREE_TOO_LARGE),
    ):
        refused(partial(RatchetTree.decode, vector(nodes)), fault)


def test_a_full_tree_does_not_grow_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waypost.mls.tree.ratchet_tree.LEAVES_MAX", 8)
    refused(lambda: TREE.copy().free_leaf(), MlsFault.TREE_TOO_LARGE)
