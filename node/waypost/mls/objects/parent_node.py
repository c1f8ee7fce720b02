"""Parent nodes of the ratchet tree (RFC 9420 §7.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace

from waypost.mls.base.codec import Reader, opaque, u32_vector
from waypost.mls.base.errors import MlsError, MlsFault


@dataclass(frozen=True)
class ParentNode:
    """`unmerged_leaves` are leaf indices in increasing order."""

    encryption_key: bytes
    parent_hash: bytes = b""
    unmerged_leaves: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return opaque(self.encryption_key) + opaque(self.parent_hash) + u32_vector(self.unmerged_leaves)

    @classmethod
    def read(cls, reader: Reader) -> ParentNode:
        """Raises MlsError(UNMERGED_NOT_SORTED)."""
        node = cls(reader.opaque(), reader.opaque(), reader.u32_vector())
        leaves = node.unmerged_leaves
        if any(leaves[i] >= leaves[i + 1] for i in range(len(leaves) - 1)):
            raise MlsError(MlsFault.UNMERGED_NOT_SORTED)
        return node

    def with_unmerged(self, leaf_index: int) -> ParentNode:
        """The same with that leaf, which is not in the list yet."""
        return replace(self, unmerged_leaves=tuple(sorted((*self.unmerged_leaves, leaf_index))))
