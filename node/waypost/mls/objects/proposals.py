"""The seven proposals (RFC 9420 §12.1) and their encoding. What makes one valid is in `proposal_list`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from waypost.mls.base.codec import Reader, opaque, u16, u32
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import ProposalType
from waypost.mls.objects.extensions import Extensions, encode_extensions, read_extensions
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.psk import PskId, read_psk_id


@dataclass(frozen=True)
class Add:
    key_package: KeyPackage
    type = ProposalType.ADD

    def body(self) -> bytes:
        return self.key_package.encoded

    @classmethod
    def read(cls, reader: Reader) -> Add:
        return cls(KeyPackage.read(reader))


@dataclass(frozen=True)
class Update:
    leaf_node: LeafNode
    type = ProposalType.UPDATE

    def body(self) -> bytes:
        return self.leaf_node.encoded

    @classmethod
    def read(cls, reader: Reader) -> Update:
        return cls(LeafNode.read(reader))


@dataclass(frozen=True)
class Remove:
    removed: int
    type = ProposalType.REMOVE

    def body(self) -> bytes:
        return u32(self.removed)

    @classmethod
    def read(cls, reader: Reader) -> Remove:
        return cls(reader.u32())


@dataclass(frozen=True)
class PreSharedKey:
    psk: PskId
    type = ProposalType.PSK

    def body(self) -> bytes:
        return self.psk.encode()

    @classmethod
    def read(cls, reader: Reader) -> PreSharedKey:
        return cls(read_psk_id(reader))


@dataclass(frozen=True)
class ReInit:
    group_id: bytes
    version: int
    cipher_suite: int
    extensions: Extensions = ()
    type = ProposalType.REINIT

    def body(self) -> bytes:
        numbers = u16(self.version) + u16(self.cipher_suite)
        return opaque(self.group_id) + numbers + encode_extensions(self.extensions)

    @classmethod
    def read(cls, reader: Reader) -> ReInit:
        return cls(reader.opaque(), reader.u16(), reader.u16(), read_extensions(reader))


@dataclass(frozen=True)
class ExternalInit:
    kem_output: bytes
    type = ProposalType.EXTERNAL_INIT

    def body(self) -> bytes:
        return opaque(self.kem_output)

    @classmethod
    def read(cls, reader: Reader) -> ExternalInit:
        return cls(reader.opaque())


@dataclass(frozen=True)
class GroupContextExtensions:
    extensions: Extensions
    type = ProposalType.GROUP_CONTEXT_EXTENSIONS

    def body(self) -> bytes:
        return encode_extensions(self.extensions)

    @classmethod
    def read(cls, reader: Reader) -> GroupContextExtensions:
        return cls(read_extensions(reader))


Proposal = Add | Update | Remove | PreSharedKey | ReInit | ExternalInit | GroupContextExtensions

_READERS: Final[dict[int, Callable[[Reader], Proposal]]] = {
    ProposalType.ADD: Add.read,
    ProposalType.UPDATE: Update.read,
    ProposalType.REMOVE: Remove.read,
    ProposalType.PSK: PreSharedKey.read,
    ProposalType.REINIT: ReInit.read,
    ProposalType.EXTERNAL_INIT: ExternalInit.read,
    ProposalType.GROUP_CONTEXT_EXTENSIONS: GroupContextExtensions.read,
}


def encode_proposal(proposal: Proposal) -> bytes:
    """Proposal: the type and the body."""
    return u16(proposal.type) + proposal.body()


def read_proposal(reader: Reader) -> Proposal:
    """Raises MlsError(UNKNOWN_PROPOSAL): an unknown type has no length, so nothing after it could be read."""
    kind = reader.u16()
    read = _READERS.get(kind)
    if read is None:
        raise MlsError(MlsFault.UNKNOWN_PROPOSAL, f"0x{kind:04x}")
    return read(reader)
