"""Array-based trees (RFC 9420 appendix C): a full binary tree whose nodes are numbered from left to right.

Leaf number i is node 2i. A tree of n leaves, n a power of two, has 2n - 1 nodes. Nothing here looks at contents.
"""

from __future__ import annotations


def level(node: int) -> int:
    """0 for a leaf, else the number of trailing ones of the node's number."""
    return (~node & (node + 1)).bit_length() - 1


def node_width(leaves: int) -> int:
    """How many nodes a tree of that many leaves has."""
    return 2 * leaves - 1 if leaves else 0


def root(leaves: int) -> int:
    """The root of a tree of that many leaves, a power of two."""
    return leaves - 1


def left(node: int) -> int:
    """The left child of a parent node."""
    return node ^ (1 << (level(node) - 1))


def right(node: int) -> int:
    """The right child of a parent node."""
    return node ^ (3 << (level(node) - 1))


def parent(node: int) -> int:
    """The parent of a node that is not the root."""
    height = level(node)
    return (node | (1 << height)) & ~(1 << (height + 1))


def sibling(node: int) -> int:
    """The other child of the node's parent."""
    above = parent(node)
    return right(above) if node < above else left(above)


def direct_path(node: int, leaves: int) -> list[int]:
    """The node's ancestors, from its parent to the root; empty for the root."""
    top = root(leaves)
    path = []
    while node != top:
        node = parent(node)
        path.append(node)
    return path


def is_below(node: int, ancestor: int) -> bool:
    """True if `ancestor` is the node itself or one of its ancestors."""
    reach = (1 << level(ancestor)) - 1
    return ancestor - reach <= node <= ancestor + reach


def common_ancestor(leaf_a: int, leaf_b: int) -> int:
    """The lowest node above both leaf indices, which differ."""
    node = 2 * leaf_a
    while not is_below(2 * leaf_b, node):
        node = parent(node)
    return node


def leaves_below(node: int) -> range:
    """The leaf indices under a node."""
    reach = (1 << level(node)) - 1
    return range((node - reach) // 2, (node + reach) // 2 + 1)


def full_leaves(nodes: int) -> int:
    """The leaves of the smallest full tree that has at least that many nodes, 0 for none."""
    leaves = 1
    while node_width(leaves) < nodes:
        leaves *= 2
    return leaves if nodes else 0
