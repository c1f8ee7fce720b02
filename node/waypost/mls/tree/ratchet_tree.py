"""The ratchet tree (RFC 9420 §4, §7): its nodes, its shape, resolutions and tree hashes.

A tree is worked on while a commit is being made or processed, and left alone afterwards: whoever wants to change one
copies it first. A copy shares all nodes, hashes and resolutions, so it costs a few microseconds, and only what a
commit touches is computed again.
"""

from __future__ import annotations

from collections.abc import Iterator

from waypost.mls.base import tree_math
from waypost.mls.base.bounds import LEAVES_MAX
from waypost.mls.base.codec import Reader, decode, opaque, optional, u8, u32, vector
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import hash_
from waypost.mls.base.registry import NodeType, known
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.parent_node import ParentNode

Node = LeafNode | ParentNode

_LEAF = u8(NodeType.LEAF)
_PARENT = u8(NodeType.PARENT)


class RatchetTree:
    """A full binary tree in array form (appendix C). Even places hold leaf nodes, odd ones parent nodes."""

    __slots__ = ("_hashes", "_nodes", "_resolutions")

    def __init__(
        self,
        nodes: list[Node | None],
        hashes: list[bytes | None] | None = None,
        resolutions: list[tuple[int, ...] | None] | None = None,
    ) -> None:
        self._nodes = nodes
        # What has been computed already of a tree with the same nodes, by node; None where it has not.
        self._hashes = hashes or [None] * len(nodes)
        self._resolutions = resolutions or [None] * len(nodes)

    def copy(self) -> RatchetTree:
        return RatchetTree(self._nodes.copy(), self._hashes.copy(), self._resolutions.copy())

    # ── shape and contents ───────────────────────────────────────────────────────────────────────────────────────

    @property
    def leaf_count(self) -> int:
        """Leaves of the full tree, blank ones included: a power of two."""
        return (len(self._nodes) + 1) // 2

    @property
    def root(self) -> int:
        return len(self._nodes) // 2

    def node(self, node: int) -> Node | None:
        return self._nodes[node]

    def parent_node(self, node: int) -> ParentNode | None:
        """What is at an odd place."""
        found = self._nodes[node]
        return found if isinstance(found, ParentNode) else None

    def leaf(self, leaf_index: int) -> LeafNode | None:
        """The leaf node of that index; None where it is blank or beyond the tree."""
        place = 2 * leaf_index
        found = self._nodes[place] if place < len(self._nodes) else None
        return found if isinstance(found, LeafNode) else None

    def member(self, leaf_index: int) -> LeafNode:
        """The same. Raises MlsError(LEAF_BLANK)."""
        leaf = self.leaf(leaf_index)
        if leaf is None:
            raise MlsError(MlsFault.LEAF_BLANK, f"leaf {leaf_index}")
        return leaf

    def members(self) -> Iterator[tuple[int, LeafNode]]:
        """Every leaf index that is not blank, with its leaf node, from left to right."""
        for index, node in enumerate(self._nodes[::2]):
            if isinstance(node, LeafNode):
                yield index, node

    def parents(self) -> Iterator[tuple[int, ParentNode]]:
        """Every parent node that is not blank, with its place."""
        for index, node in enumerate(self._nodes[1::2]):
            if isinstance(node, ParentNode):
                yield 2 * index + 1, node

    def encryption_keys(self) -> list[bytes]:
        """Those of all nodes, leaves and parents."""
        return [node.encryption_key for node in self._nodes if node is not None]

    # ── changes ──────────────────────────────────────────────────────────────────────────────────────────────────

    def set(self, node: int, value: Node | None) -> None:
        """Put a node in its place."""
        self._nodes[node] = value
        hashes, resolutions, top = self._hashes, self._resolutions, self.root
        hashes[node] = resolutions[node] = None
        while node != top:
            node = tree_math.parent(node)
            hashes[node] = resolutions[node] = None

    def blank_path(self, leaf_index: int) -> None:
        """Blank every node above a leaf."""
        for node in tree_math.direct_path(2 * leaf_index, self.leaf_count):
            if self._nodes[node] is not None:
                self.set(node, None)

    def free_leaf(self) -> int:
        """The leftmost blank leaf; the tree is extended if it has none (§7.7). Raises MlsError(TREE_TOO_LARGE)."""
        # Not list.index: it would compare every leaf node with None, field by field.
        for index, node in enumerate(self._nodes[::2]):
            if node is None:
                return index
        leaves = self.leaf_count
        if 2 * leaves > LEAVES_MAX:
            raise MlsError(MlsFault.TREE_TOO_LARGE)
        more = len(self._nodes) + 1
        self._nodes.extend([None] * more)
        self._hashes.extend([None] * more)
        self._resolutions.extend([None] * more)
        return leaves

    def add(self, leaf: LeafNode) -> int:
        """Apply an Add (§12.1.1): put the leaf in its place and have the parents list it as unmerged."""
        index = self.free_leaf()
        for node in tree_math.direct_path(2 * index, self.leaf_count):
            parent = self.parent_node(node)
            if parent is not None:
                self._nodes[node] = parent.with_unmerged(index)
        self.set(2 * index, leaf)
        return index

    def update(self, leaf_index: int, leaf: LeafNode) -> None:
        """Apply an Update (§12.1.2)."""
        self.set(2 * leaf_index, leaf)
        self.blank_path(leaf_index)

    def remove(self, leaf_index: int) -> None:
        """Apply a Remove (§12.1.3). The tree is truncated by `truncate`, when all of a commit's are done."""
        self.set(2 * leaf_index, None)
        self.blank_path(leaf_index)

    def truncate(self) -> None:
        """Drop the right half as long as it has no leaf (§7.7)."""
        leaves = self.leaf_count
        last = max((index for index, _ in self.members()), default=0)
        while leaves > 1 and last < leaves // 2:
            leaves //= 2
        size = tree_math.node_width(leaves)
        del self._nodes[size:], self._hashes[size:], self._resolutions[size:]

    # ── what follows from the contents ───────────────────────────────────────────────────────────────────────────

    def resolution(self, node: int) -> tuple[int, ...]:
        """The non-blank nodes that together cover those below (§4.1.1)."""
        known_one = self._resolutions[node]
        if known_one is not None:
            return known_one
        value = self._nodes[node]
        result: tuple[int, ...]
        if isinstance(value, ParentNode):
            result = (node, *(2 * leaf for leaf in value.unmerged_leaves))
        elif value is not None:
            result = (node,)
        elif node % 2:
            result = self.resolution(tree_math.left(node)) + self.resolution(tree_math.right(node))
        else:
            result = ()
        self._resolutions[node] = result
        return result

    def filtered_direct_path(self, leaf_index: int) -> list[tuple[int, int]]:
        """The nodes above a leaf whose other child has members, each with that child (§4.1.2)."""
        path = []
        below = 2 * leaf_index
        for node in tree_math.direct_path(below, self.leaf_count):
            right = tree_math.right(node)
            copath = tree_math.left(node) if below == right else right
            if self.resolution(copath):
                path.append((node, copath))
            below = node
        return path

    def tree_hash(self, node: int) -> bytes:
        """§7.8."""
        known_one = self._hashes[node]
        if known_one is None:
            known_one = self._hashes[node] = self._compute_hash(node, frozenset())
        return known_one

    def root_hash(self) -> bytes:
        """The tree hash of the whole tree."""
        return self.tree_hash(self.root)

    def tree_hash_without(self, node: int, leaves: frozenset[int]) -> bytes:
        """The tree hash if these leaves were blank and nowhere unmerged: `original_sibling_tree_hash` (§7.9)."""
        if leaves.isdisjoint(tree_math.leaves_below(node)):
            return self.tree_hash(node)
        return self._compute_hash(node, leaves)

    def _compute_hash(self, node: int, without: frozenset[int]) -> bytes:
        value = self._nodes[node]
        if node % 2 == 0:
            index = node // 2
            leaf = value.encoded if isinstance(value, LeafNode) and index not in without else None
            return hash_(_LEAF + u32(index) + optional(leaf))
        if isinstance(value, ParentNode):
            if without:
                kept = tuple(leaf for leaf in value.unmerged_leaves if leaf not in without)
                value = ParentNode(value.encryption_key, value.parent_hash, kept)
            encoded = b"\1" + value.encode()
        else:
            encoded = b"\0"
        left, right = tree_math.left(node), tree_math.right(node)
        if without:
            hashes = self.tree_hash_without(left, without), self.tree_hash_without(right, without)
        else:
            hashes = self.tree_hash(left), self.tree_hash(right)
        return hash_(b"".join((_PARENT, encoded, opaque(hashes[0]), opaque(hashes[1]))))

    # ── the ratchet_tree extension ───────────────────────────────────────────────────────────────────────────────

    def encode(self) -> bytes:
        """`optional<Node> ratchet_tree<V>` (§12.4.3.3)."""
        nodes = self._nodes
        size = len(nodes)
        while size and nodes[size - 1] is None:
            size -= 1
        return vector(_encode_node(node) for node in nodes[:size])

    @classmethod
    def read(cls, reader: Reader) -> RatchetTree:
        """The shape is checked, the contents are not: `tree_validation` does that."""
        nodes = list(reader.vector(_read_node))
        if not nodes:
            raise MlsError(MlsFault.TREE_EMPTY)
        if nodes[-1] is None:
            raise MlsError(MlsFault.TREE_ENDS_BLANK)
        if len(nodes) > tree_math.node_width(LEAVES_MAX):
            raise MlsError(MlsFault.TREE_TOO_LARGE)
        kinds = (LeafNode, ParentNode)
        if any(node is not None and not isinstance(node, kinds[place % 2]) for place, node in enumerate(nodes)):
            raise MlsError(MlsFault.TREE_NODE_TYPE)
        size = tree_math.node_width(tree_math.full_leaves(len(nodes)))
        return cls(nodes + [None] * (size - len(nodes)))

    @classmethod
    def decode(cls, data: bytes) -> RatchetTree:
        """The reverse of `encode`."""
        return decode(data, cls.read)


def _encode_node(node: Node | None) -> bytes:
    if node is None:
        return b"\0"
    return b"\1" + (_LEAF + node.encoded if isinstance(node, LeafNode) else _PARENT + node.encode())


def _read_node(reader: Reader) -> Node | None:
    return reader.optional(_read_present_node)


def _read_present_node(reader: Reader) -> Node:
    kind = known(NodeType, reader.u8())
    return LeafNode.read(reader) if kind is NodeType.LEAF else ParentNode.read(reader)
