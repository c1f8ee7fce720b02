"""The secret tree and its ratchets (RFC 9420 §9): one key and nonce for each message, each usable once.

A `SecretTree` is a value: every use returns the tree that is left when what was used is deleted. Whoever keeps the
returned one and drops the old one follows the deletion schedule of §9.2.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

from waypost.mls.base import tree_math
from waypost.mls.base.bounds import MESSAGES_PER_EPOCH_MAX, SKIPPED_PER_EPOCH_MAX, SKIPPED_PER_RATCHET_MAX
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import NH, derive_tree_secret, expand_with_label
from waypost.mls.base.registry import ContentType
from waypost.mls.base.suites import NONCE_BYTES

_GENERATION_MAX = 2**32 - 1


class RatchetKind(IntEnum):
    HANDSHAKE = 0
    APPLICATION = 1

    @classmethod
    def of(cls, content_type: ContentType) -> RatchetKind:
        return cls.APPLICATION if content_type is ContentType.APPLICATION else cls.HANDSHAKE


class MessageKey(NamedTuple):
    """Key and nonce of one generation."""

    key: bytes
    nonce: bytes


@dataclass(frozen=True)
class Ratchet:
    """A sender ratchet: the secret of the next generation, and the keys that were passed over."""

    secret: bytes = field(repr=False)
    generation: int = 0
    skipped: dict[int, MessageKey] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class SecretTree:
    """`nodes` are the secrets that nothing has been derived from yet; `ratchets` are by leaf index and kind."""

    key_bytes: int
    leaf_count: int
    nodes: dict[int, bytes] = field(repr=False)
    ratchets: dict[tuple[int, int], Ratchet] = field(default_factory=dict, repr=False)
    #: Messages that have been encrypted and decrypted.
    used: int = 0
    #: Keys in all `skipped` together.
    skipped: int = 0

    @classmethod
    def start(cls, encryption_secret: bytes, leaf_count: int, key_bytes: int) -> SecretTree:
        """The whole tree of an epoch; `leaf_count` is the full tree's, `key_bytes` the AEAD's."""
        return cls(key_bytes, leaf_count, {tree_math.root(leaf_count): encryption_secret})

    def next_key(self, leaf_index: int, kind: RatchetKind) -> tuple[SecretTree, int, MessageKey]:
        """The key for the next message to send, with its generation.

        Raises MlsError: AEAD_LIMIT, GENERATION_EXHAUSTED.
        """
        tree, ratchet = self._ratchet(leaf_index, kind)
        if ratchet.generation > _GENERATION_MAX:
            raise MlsError(MlsFault.GENERATION_EXHAUSTED)
        key, secret = self._step(ratchet.secret, ratchet.generation)
        after = Ratchet(secret, ratchet.generation + 1, ratchet.skipped)
        return _with(tree, leaf_index, kind, after, self.skipped), ratchet.generation, key

    def take_key(self, leaf_index: int, kind: RatchetKind, generation: int) -> tuple[SecretTree, MessageKey]:
        """The key of a received message.

        Raises MlsError: GENERATION_CONSUMED, GENERATION_TOO_FAR, TOO_MANY_SKIPPED, AEAD_LIMIT.
        """
        tree, ratchet = self._ratchet(leaf_index, kind)
        skipped = ratchet.skipped.copy()
        before = len(skipped)
        if generation < ratchet.generation:
            found = skipped.pop(generation, None)
            if found is None:
                raise MlsError(MlsFault.GENERATION_CONSUMED, f"leaf {leaf_index}, generation {generation}")
            after = Ratchet(ratchet.secret, ratchet.generation, skipped)
            return _with(tree, leaf_index, kind, after, self.skipped - 1), found
        ahead = generation - ratchet.generation
        if ahead > SKIPPED_PER_RATCHET_MAX:
            raise MlsError(MlsFault.GENERATION_TOO_FAR, f"leaf {leaf_index}, {ahead} ahead")
        secret = ratchet.secret
        for step in range(ratchet.generation, generation):
            skipped[step], secret = self._step(secret, step)
        # The oldest go first: dictionaries keep the order in which the generations came.
        for old in list(skipped)[: max(0, len(skipped) - SKIPPED_PER_RATCHET_MAX)]:
            del skipped[old]
        total = self.skipped + len(skipped) - before
        if total > SKIPPED_PER_EPOCH_MAX:
            raise MlsError(MlsFault.TOO_MANY_SKIPPED)
        key, secret = self._step(secret, generation)
        return _with(tree, leaf_index, kind, Ratchet(secret, generation + 1, skipped), total), key

    def _step(self, secret: bytes, generation: int) -> tuple[MessageKey, bytes]:
        key = derive_tree_secret(secret, b"key", generation, self.key_bytes)
        nonce = derive_tree_secret(secret, b"nonce", generation, NONCE_BYTES)
        return MessageKey(key, nonce), derive_tree_secret(secret, b"secret", generation, NH)

    def _ratchet(self, leaf_index: int, kind: RatchetKind) -> tuple[SecretTree, Ratchet]:
        found = self.ratchets.get((leaf_index, int(kind)))
        if found is not None:
            return self, found
        nodes = self.nodes.copy()
        leaf_secret = _consume(nodes, leaf_index, self.leaf_count)
        handshake = Ratchet(expand_with_label(leaf_secret, b"handshake", b"", NH))
        application = Ratchet(expand_with_label(leaf_secret, b"application", b"", NH))
        both = {(leaf_index, 0): handshake, (leaf_index, 1): application}
        tree = SecretTree(self.key_bytes, self.leaf_count, nodes, {**self.ratchets, **both}, self.used, self.skipped)
        return tree, both[leaf_index, int(kind)]


def _consume(nodes: dict[int, bytes], leaf_index: int, leaf_count: int) -> bytes:
    """The leaf's secret. What lies on the way to it is deleted from `nodes`; what branches off is put there."""
    leaf = 2 * leaf_index
    if leaf_index >= leaf_count:
        raise MlsError(MlsFault.SENDER_BLANK, f"leaf {leaf_index}")
    node = next(node for node in (leaf, *tree_math.direct_path(leaf, leaf_count)) if node in nodes)
    secret = nodes.pop(node)
    while node != leaf:
        left, right = tree_math.left(node), tree_math.right(node)
        left_secret = expand_with_label(secret, b"tree", b"left", NH)
        right_secret = expand_with_label(secret, b"tree", b"right", NH)
        if leaf < node:
            nodes[right] = right_secret
            node, secret = left, left_secret
        else:
            nodes[left] = left_secret
            node, secret = right, right_secret
    return secret


def _with(tree: SecretTree, leaf_index: int, kind: RatchetKind, ratchet: Ratchet, skipped: int) -> SecretTree:
    """The tree after a key has been used, with that ratchet and so many skipped keys."""
    if tree.used >= MESSAGES_PER_EPOCH_MAX:
        raise MlsError(MlsFault.AEAD_LIMIT)
    ratchets = {**tree.ratchets, (leaf_index, int(kind)): ratchet}
    return SecretTree(tree.key_bytes, tree.leaf_count, tree.nodes, ratchets, tree.used + 1, skipped)
