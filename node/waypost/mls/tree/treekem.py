"""TreeKEM (RFC 9420 §7.4–§7.6): making an update path, and applying another member's.

Both work on a tree that the caller has copied and to which the commit's proposals have been applied.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from waypost.mls.base import tree_math
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import PrivateKey, Randomness
from waypost.mls.base.kdf import NH, derive_secret
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import UPDATE_PATH_NODE, CipherSuite
from waypost.mls.objects.commit import UpdatePath, UpdatePathNode
from waypost.mls.objects.leaf_node import LeafNode, LeafNodeContent, LeafNodePlace, sign_for_commit
from waypost.mls.objects.parent_node import ParentNode
from waypost.mls.tree.ratchet_tree import RatchetTree
from waypost.mls.tree.tree_validation import parent_hash

#: The nodes of a filtered direct path from the bottom up, each with its copath child.
FilteredPath = list[tuple[int, int]]
#: A member's private keys by node: its leaf's and those of nodes above that it has been told.
PrivateKeys = dict[int, PrivateKey]


@dataclass(frozen=True)
class PathSecrets:
    """What either side has after an update path: private keys of its nodes, and the commit secret."""

    private_keys: PrivateKeys = field(repr=False)
    commit_secret: bytes = field(repr=False)


@dataclass(frozen=True)
class NewPath:
    """An update path whose public half is in the tree already, but which has not been encrypted yet."""

    leaf_index: int
    leaf_node: LeafNode
    #: (node, copath child, path secret), from the bottom up.
    steps: tuple[tuple[int, int, bytes], ...] = field(repr=False)
    secrets: PathSecrets

    def path_secret_for(self, leaf_index: int) -> bytes:
        """The path secret of the lowest node above both leaves, for a Welcome (§12.4.3.1)."""
        ancestor = tree_math.common_ancestor(self.leaf_index, leaf_index)
        return next(secret for node, _, secret in self.steps if node == ancestor)


@dataclass(frozen=True)
class Committer:
    """Who makes a path: its place, what its new leaf node says, and the key that signs it."""

    place: LeafNodePlace
    content: LeafNodeContent
    signature_key: SignatureKey


def make_path(tree: RatchetTree, suite: CipherSuite, committer: Committer, random: Randomness) -> NewPath:
    """Fresh keys on the committer's path (§7.5), put into the tree, with its new leaf node."""
    leaf_index = committer.place.leaf_index
    path = tree.filtered_direct_path(leaf_index)
    tree.blank_path(leaf_index)
    leaf_key = suite.derive_key_pair(random(NH))
    private_keys: PrivateKeys = {2 * leaf_index: leaf_key}
    steps = []
    secret = random(NH)
    for node, copath in path:
        steps.append((node, copath, secret))
        private_keys[node] = suite.derive_key_pair(derive_secret(secret, b"node"))
        secret = derive_secret(secret, b"path")
    above = _set_parents(tree, path, [private_keys[node].public for node, _ in path])
    leaf = sign_for_commit(committer.content, leaf_key.public, above, committer.place, committer.signature_key)
    tree.set(2 * leaf_index, leaf)
    return NewPath(leaf_index, leaf, tuple(steps), PathSecrets(private_keys, secret))


def encrypt_path(
    tree: RatchetTree, suite: CipherSuite, path: NewPath, context: bytes, new_leaves: Iterable[int]
) -> UpdatePath:
    """The update path for the others, but for the new leaves (§7.6). `context` is the provisional group context."""
    excluded = {2 * leaf for leaf in new_leaves}
    nodes = []
    for node, copath, secret in path.steps:
        sealed = tuple(
            suite.encrypt_with_label(_public_key(tree, target), UPDATE_PATH_NODE, context, secret)
            for target in tree.resolution(copath)
            if target not in excluded
        )
        nodes.append(UpdatePathNode(path.secrets.private_keys[node].public, sealed))
    return UpdatePath(path.leaf_node, tuple(nodes))


def merge_path(tree: RatchetTree, leaf_index: int, path: UpdatePath) -> FilteredPath:
    """Put another's path into the tree; returns its filtered direct path.

    Raises MlsError: PATH_LENGTH, PATH_KEY_IN_TREE, PATH_PARENT_HASH.
    """
    filtered = tree.filtered_direct_path(leaf_index)
    if len(filtered) != len(path.nodes):
        raise MlsError(MlsFault.PATH_LENGTH, f"{len(path.nodes)} instead of {len(filtered)}")
    present = set(tree.encryption_keys())
    sent = [path.leaf_node.encryption_key, *(node.encryption_key for node in path.nodes)]
    if len(set(sent)) != len(sent) or not present.isdisjoint(sent):
        raise MlsError(MlsFault.PATH_KEY_IN_TREE)
    tree.blank_path(leaf_index)
    above = _set_parents(tree, filtered, sent[1:])
    if path.leaf_node.parent_hash != above:
        raise MlsError(MlsFault.PATH_PARENT_HASH)
    tree.set(2 * leaf_index, path.leaf_node)
    return filtered


@dataclass(frozen=True)
class PathRecipient:
    """Who reads a path: its leaf index and private keys, and which leaves the same commit has added."""

    leaf_index: int
    private_keys: PrivateKeys = field(repr=False)
    new_leaves: frozenset[int] = frozenset()


@dataclass(frozen=True)
class MergedPath:
    """A path that is in the tree, to be decrypted. `context` is the provisional group context."""

    tree: RatchetTree = field(repr=False)
    path: UpdatePath
    filtered: FilteredPath
    context: bytes = field(repr=False)

    def targets(self, position: int, new_leaves: Iterable[int]) -> list[int]:
        """The nodes that the path secret at that position is encrypted to, in order (§7.6)."""
        excluded = {2 * leaf for leaf in new_leaves}
        return [node for node in self.tree.resolution(self.filtered[position][1]) if node not in excluded]


def decrypt_path(merged: MergedPath, suite: CipherSuite, receiver: PathRecipient) -> tuple[bytes, PathSecrets]:
    """The path secret that was for this receiver, and what follows from it.

    Raises MlsError: PATH_CIPHERTEXTS, PATH_NOT_FOR_US, PATH_KEY_MISMATCH, HPKE_OPEN_FAILED.
    """
    tree, filtered = merged.tree, merged.filtered
    for position, node in enumerate(merged.path.nodes):
        if len(node.encrypted_path_secret) != len(merged.targets(position, receiver.new_leaves)):
            raise MlsError(MlsFault.PATH_CIPHERTEXTS)
    own = 2 * receiver.leaf_index
    position = next(i for i, (_, copath) in enumerate(filtered) if tree_math.is_below(own, copath))
    targets = merged.targets(position, receiver.new_leaves)
    held = next((node for node in targets if _holds(tree, receiver, node)), None)
    if held is None:
        raise MlsError(MlsFault.PATH_NOT_FOR_US)
    sealed = merged.path.nodes[position].encrypted_path_secret[targets.index(held)]
    secret = suite.decrypt_with_label(receiver.private_keys[held], UPDATE_PATH_NODE, merged.context, sealed)
    nodes = [node for node, _ in filtered[position:]]
    return secret, derive_upward(tree, suite, nodes, secret, MlsFault.PATH_KEY_MISMATCH)


def derive_upward(
    tree: RatchetTree, suite: CipherSuite, nodes: list[int], secret: bytes, fault: MlsFault
) -> PathSecrets:
    """Private keys of `nodes`, the lowest of which has that path secret; the tree must have their public keys."""
    private_keys: PrivateKeys = {}
    for node in nodes:
        key = suite.derive_key_pair(derive_secret(secret, b"node"))
        if key.public != _public_key(tree, node):
            raise MlsError(fault, f"node {node}")
        private_keys[node] = key
        secret = derive_secret(secret, b"path")
    return PathSecrets(private_keys, secret)


def current_keys(tree: RatchetTree, private_keys: PrivateKeys) -> PrivateKeys:
    """Those keys whose nodes are still in the tree with the public key that belongs to them."""
    return {node: key for node, key in private_keys.items() if _is_current(tree, node, key)}


def _is_current(tree: RatchetTree, node: int, key: PrivateKey) -> bool:
    if node > 2 * tree.root:
        return False
    found = tree.node(node)
    return found is not None and found.encryption_key == key.public


def _holds(tree: RatchetTree, receiver: PathRecipient, node: int) -> bool:
    key = receiver.private_keys.get(node)
    return key is not None and _is_current(tree, node, key)


def _public_key(tree: RatchetTree, node: int) -> bytes:
    found = tree.node(node)
    if found is None:
        raise MlsError(MlsFault.LEAF_BLANK, f"node {node}")
    return found.encryption_key


def _set_parents(tree: RatchetTree, path: FilteredPath, keys: list[bytes]) -> bytes:
    """New parent nodes on a path, parent hashes from the root down (§7.9); returns the leaf's parent hash."""
    above = b""
    for (node, copath), key in zip(reversed(path), reversed(keys), strict=True):
        parent = ParentNode(key, above)
        tree.set(node, parent)
        above = parent_hash(parent, tree.tree_hash(copath))
    return above
