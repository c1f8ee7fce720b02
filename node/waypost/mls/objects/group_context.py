"""The group context (RFC 9420 §8.1): what all members of an epoch agree on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from waypost.mls.base.codec import Reader, opaque, u16, u64
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import MLS10
from waypost.mls.objects.extensions import Extensions, encode_extensions, read_extensions


@dataclass(frozen=True)
class GroupContext:
    cipher_suite: int
    group_id: bytes
    epoch: int
    tree_hash: bytes
    confirmed_transcript_hash: bytes
    extensions: Extensions = ()

    @cached_property
    def encoded(self) -> bytes:
        return b"".join(
            (
                u16(MLS10),
                u16(self.cipher_suite),
                opaque(self.group_id),
                u64(self.epoch),
                opaque(self.tree_hash),
                opaque(self.confirmed_transcript_hash),
                encode_extensions(self.extensions),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> GroupContext:
        """Raises MlsError(WRONG_VERSION) for another version than mls10."""
        if reader.u16() != MLS10:
            raise MlsError(MlsFault.WRONG_VERSION)
        return cls(
            reader.u16(), reader.opaque(), reader.u64(), reader.opaque(), reader.opaque(), read_extensions(reader)
        )
