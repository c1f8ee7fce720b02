"""The structures of a Commit (RFC 9420 §7.6, §12.4)."""

from __future__ import annotations

from dataclasses import dataclass

from waypost.mls.base.codec import Reader, opaque, optional, u8, vector
from waypost.mls.base.registry import ProposalOrRefType, known
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.proposals import Proposal, encode_proposal, read_proposal

#: HPKECiphertext: kem_output and ciphertext.
Sealed = tuple[bytes, bytes]


@dataclass(frozen=True)
class UpdatePathNode:
    encryption_key: bytes
    encrypted_path_secret: tuple[Sealed, ...]

    def encode(self) -> bytes:
        return opaque(self.encryption_key) + vector(map(encode_sealed, self.encrypted_path_secret))

    @classmethod
    def read(cls, reader: Reader) -> UpdatePathNode:
        return cls(reader.opaque(), reader.vector(read_sealed))


@dataclass(frozen=True)
class UpdatePath:
    """`nodes` are those of the committer's filtered direct path, from the bottom up."""

    leaf_node: LeafNode
    nodes: tuple[UpdatePathNode, ...]

    def encode(self) -> bytes:
        return self.leaf_node.encoded + vector(node.encode() for node in self.nodes)

    @classmethod
    def read(cls, reader: Reader) -> UpdatePath:
        return cls(LeafNode.read(reader), reader.vector(UpdatePathNode.read))


@dataclass(frozen=True)
class ProposalRef:
    """A proposal that was sent before, by its hash (§5.2)."""

    reference: bytes


ProposalOrRef = Proposal | ProposalRef


@dataclass(frozen=True)
class Commit:
    proposals: tuple[ProposalOrRef, ...]
    path: UpdatePath | None

    def encode(self) -> bytes:
        path = None if self.path is None else self.path.encode()
        return vector(map(_encode_proposal_or_ref, self.proposals)) + optional(path)

    @classmethod
    def read(cls, reader: Reader) -> Commit:
        return cls(reader.vector(_read_proposal_or_ref), reader.optional(UpdatePath.read))


def encode_sealed(sealed: Sealed) -> bytes:
    """HPKECiphertext."""
    return opaque(sealed[0]) + opaque(sealed[1])


def read_sealed(reader: Reader) -> Sealed:
    """HPKECiphertext."""
    return reader.opaque(), reader.opaque()


def _encode_proposal_or_ref(value: ProposalOrRef) -> bytes:
    if isinstance(value, ProposalRef):
        return u8(ProposalOrRefType.REFERENCE) + opaque(value.reference)
    return u8(ProposalOrRefType.PROPOSAL) + encode_proposal(value)


def _read_proposal_or_ref(reader: Reader) -> ProposalOrRef:
    if known(ProposalOrRefType, reader.u8()) is ProposalOrRefType.REFERENCE:
        return ProposalRef(reader.opaque())
    return read_proposal(reader)
