"""Validation of whole trees (RFC 9420 §7.9.2, §12.4.3.1): what a joiner checks, and what holds after each commit."""

from __future__ import annotations

from waypost.mls.base import tree_math
from waypost.mls.base.codec import opaque
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import hash_
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.parent_node import ParentNode
from waypost.mls.tree.leaf_validation import GroupParameters, check_leaf
from waypost.mls.tree.ratchet_tree import RatchetTree


def parent_hash(parent: ParentNode, sibling_tree_hash: bytes) -> bytes:
    """The parent hash of a node, given the original tree hash of the child that is not on the path (§7.9)."""
    return hash_(opaque(parent.encryption_key) + opaque(parent.parent_hash) + opaque(sibling_tree_hash))


def check_tree(tree: RatchetTree, group: GroupParameters) -> None:
    """All that a joiner checks of a tree whose hash is right. Raises the MlsError of the first check that fails."""
    check_uniqueness(tree)
    check_unmerged_leaves(tree)
    check_parent_hashes(tree)
    for node, parent in tree.parents():
        try:
            group.suite.kem.public_key(parent.encryption_key)
        except MlsError as error:
            raise MlsError(error.fault, f"node {node}") from None
    for leaf_index, leaf in tree.members():
        check_leaf(leaf, leaf_index, group)


def check_uniqueness(tree: RatchetTree) -> None:
    """§7.3 and §12.4.3.1: no key twice, and every credential type in use is understood by all members."""
    encryption_keys = tree.encryption_keys()
    if len(set(encryption_keys)) != len(encryption_keys):
        raise MlsError(MlsFault.ENCRYPTION_KEY_TWICE)
    leaves = [leaf for _, leaf in tree.members()]
    if len({leaf.signature_key for leaf in leaves}) != len(leaves):
        raise MlsError(MlsFault.SIGNATURE_KEY_TWICE)
    in_use = {leaf.credential.type for leaf in leaves}
    if any(not in_use.issubset(leaf.capabilities.credentials) for leaf in leaves):
        raise MlsError(MlsFault.CREDENTIAL_NOT_SHARED)


def check_unmerged_leaves(tree: RatchetTree) -> None:
    """§12.4.3.1: each is a member below its node, and all nodes in between agree."""
    listed = {node: frozenset(parent.unmerged_leaves) for node, parent in tree.parents()}
    for node, leaves in listed.items():
        for leaf_index in leaves:
            if not tree_math.is_below(2 * leaf_index, node) or tree.leaf(leaf_index) is None:
                raise MlsError(MlsFault.UNMERGED_NOT_BELOW, f"leaf {leaf_index}, node {node}")
            between = tree_math.parent(2 * leaf_index)
            while between != node:
                found = listed.get(between)
                if found is not None and leaf_index not in found:
                    raise MlsError(MlsFault.UNMERGED_NOT_CARRIED, f"leaf {leaf_index}, node {between}")
                between = tree_math.parent(between)


def check_parent_hashes(tree: RatchetTree) -> None:
    """§7.9.2, from the top down: exactly one descendant vouches for each parent node."""
    for node, parent in tree.parents():
        left, right = tree_math.left(node), tree_math.right(node)
        vouching = _vouches(tree, parent, left, right) + _vouches(tree, parent, right, left)
        if vouching != 1:
            raise MlsError(MlsFault.PARENT_HASH_INVALID, f"node {node}")


def _vouches(tree: RatchetTree, parent: ParentNode, child: int, sibling: int) -> int:
    """1 if a node D below `child` has the parent hash of `parent` with copath child `sibling`, else 0.

    The resolution of the child must be D and the parent's unmerged leaves below the child, so D is what is left when
    these are taken away: there is at most one candidate.
    """
    unmerged = frozenset(parent.unmerged_leaves)
    below = {2 * leaf for leaf in unmerged if tree_math.is_below(2 * leaf, child)}
    resolution = tree.resolution(child)
    candidates = [node for node in resolution if node not in below]
    if len(candidates) != 1 or len(resolution) != len(below) + 1:
        return 0
    found = tree.node(candidates[0])
    claimed = found.parent_hash if isinstance(found, LeafNode | ParentNode) else b""
    return int(claimed == parent_hash(parent, tree.tree_hash_without(sibling, unmerged)))
