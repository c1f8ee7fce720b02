"""GroupInfo (RFC 9420 §12.4.3): a member's signed statement of the group's state, for those who join."""

from __future__ import annotations

from dataclasses import dataclass, field

from waypost.mls.base import signing
from waypost.mls.base.codec import Reader, opaque, u32
from waypost.mls.base.signing import SignatureKey, verify_with_label
from waypost.mls.objects.extensions import Extensions, encode_extensions, read_extensions
from waypost.mls.objects.group_context import GroupContext


@dataclass(frozen=True)
class GroupInfo:
    group_context: GroupContext
    extensions: Extensions
    confirmation_tag: bytes
    signer: int
    signature: bytes
    tbs: bytes = field(repr=False)

    def encode(self) -> bytes:
        return self.tbs + opaque(self.signature)

    def verify(self, signature_key: bytes) -> bool:
        """True if the signature is that key's."""
        return verify_with_label(signature_key, signing.GROUP_INFO, self.tbs, self.signature)

    @classmethod
    def sign(
        cls, context: GroupContext, extensions: Extensions, confirmation_tag: bytes, signer: int, key: SignatureKey
    ) -> GroupInfo:
        tbs = b"".join((context.encoded, encode_extensions(extensions), opaque(confirmation_tag), u32(signer)))
        signature = key.sign_with_label(signing.GROUP_INFO, tbs)
        return cls(context, extensions, confirmation_tag, signer, signature, tbs)

    @classmethod
    def read(cls, reader: Reader) -> GroupInfo:
        start = reader.position
        context, extensions = GroupContext.read(reader), read_extensions(reader)
        tag, signer = reader.opaque(), reader.u32()
        tbs = reader.data[start : reader.position]
        return cls(context, extensions, tag, signer, reader.opaque(), tbs)
