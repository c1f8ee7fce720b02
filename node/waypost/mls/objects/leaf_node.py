"""Leaf nodes (RFC 9420 §7.2): one client's appearance in a group, signed by that client."""

from __future__ import annotations

from dataclasses import dataclass, field

from waypost.mls.base import signing
from waypost.mls.base.codec import Reader, opaque, u8, u16_vector, u32, u64
from waypost.mls.base.registry import MLS10, CredentialType, LeafNodeSource, known
from waypost.mls.base.signing import SignatureKey, verify_with_label
from waypost.mls.base.suites import SUITES
from waypost.mls.objects.credentials import Credential, read_credential
from waypost.mls.objects.extensions import Extensions, encode_extensions, read_extensions


@dataclass(frozen=True)
class Capabilities:
    """What a client supports beside the defaults. Unknown values are kept and mean nothing here."""

    versions: tuple[int, ...] = (MLS10,)
    cipher_suites: tuple[int, ...] = tuple(SUITES)
    extensions: tuple[int, ...] = ()
    proposals: tuple[int, ...] = ()
    credentials: tuple[int, ...] = (CredentialType.BASIC,)

    def encode(self) -> bytes:
        return b"".join(
            map(u16_vector, (self.versions, self.cipher_suites, self.extensions, self.proposals, self.credentials))
        )

    @classmethod
    def read(cls, reader: Reader) -> Capabilities:
        return cls(
            reader.u16_vector(), reader.u16_vector(), reader.u16_vector(), reader.u16_vector(), reader.u16_vector()
        )


@dataclass(frozen=True)
class Lifetime:
    """Seconds since 1970-01-01T00:00:00Z."""

    not_before: int
    not_after: int

    def encode(self) -> bytes:
        return u64(self.not_before) + u64(self.not_after)


@dataclass(frozen=True)
class LeafNodeContent:
    """What a client says of itself, whatever the leaf node is for."""

    credential: Credential
    capabilities: Capabilities = field(default_factory=Capabilities)
    extensions: Extensions = ()


@dataclass(frozen=True)
class LeafNode:
    """A leaf node as it is in the tree. `lifetime` is set for source key_package, `parent_hash` for commit."""

    encryption_key: bytes
    signature_key: bytes
    credential: Credential
    capabilities: Capabilities
    source: LeafNodeSource
    lifetime: Lifetime | None
    parent_hash: bytes
    extensions: Extensions
    signature: bytes
    #: The bytes that it was read from, with and without the signature; there is only one encoding.
    encoded: bytes = field(repr=False)
    tbs: bytes = field(repr=False)

    @property
    def content(self) -> LeafNodeContent:
        return LeafNodeContent(self.credential, self.capabilities, self.extensions)

    def verify(self, group_id: bytes, leaf_index: int) -> bool:
        """True if the signature is that of its own signature key, for that place (§7.3)."""
        tbs = self.tbs
        if self.source is not LeafNodeSource.KEY_PACKAGE:
            tbs += opaque(group_id) + u32(leaf_index)
        return verify_with_label(self.signature_key, signing.LEAF_NODE, tbs, self.signature)

    @classmethod
    def read(cls, reader: Reader) -> LeafNode:
        start = reader.position
        encryption_key, signature_key = reader.opaque(), reader.opaque()
        credential, capabilities = read_credential(reader), Capabilities.read(reader)
        source = known(LeafNodeSource, reader.u8())
        lifetime, parent_hash = None, b""
        if source is LeafNodeSource.KEY_PACKAGE:
            lifetime = Lifetime(reader.u64(), reader.u64())
        elif source is LeafNodeSource.COMMIT:
            parent_hash = reader.opaque()
        extensions = read_extensions(reader)
        signed_until = reader.position
        signature = reader.opaque()
        return cls(
            encryption_key,
            signature_key,
            credential,
            capabilities,
            source,
            lifetime,
            parent_hash,
            extensions,
            signature,
            encoded=reader.data[start : reader.position],
            tbs=reader.data[start:signed_until],
        )


@dataclass(frozen=True)
class LeafNodePlace:
    """Where a leaf node made inside a group will stand; its signature covers this."""

    group_id: bytes
    leaf_index: int


def sign_for_key_package(
    content: LeafNodeContent, encryption_key: bytes, lifetime: Lifetime, key: SignatureKey
) -> LeafNode:
    """A leaf node of source key_package."""
    return _sign(content, encryption_key, u8(LeafNodeSource.KEY_PACKAGE) + lifetime.encode(), b"", key)


def sign_for_update(
    content: LeafNodeContent, encryption_key: bytes, place: LeafNodePlace, key: SignatureKey
) -> LeafNode:
    """A leaf node of source update."""
    return _sign(content, encryption_key, u8(LeafNodeSource.UPDATE), _context(place), key)


def sign_for_commit(
    content: LeafNodeContent, encryption_key: bytes, parent_hash: bytes, place: LeafNodePlace, key: SignatureKey
) -> LeafNode:
    """A leaf node of source commit."""
    source = u8(LeafNodeSource.COMMIT) + opaque(parent_hash)
    return _sign(content, encryption_key, source, _context(place), key)


def _context(place: LeafNodePlace) -> bytes:
    return opaque(place.group_id) + u32(place.leaf_index)


def _sign(
    content: LeafNodeContent, encryption_key: bytes, source: bytes, context: bytes, key: SignatureKey
) -> LeafNode:
    tbs = b"".join(
        (
            opaque(encryption_key),
            opaque(key.public),
            content.credential.encode(),
            content.capabilities.encode(),
            source,
            encode_extensions(content.extensions),
        )
    )
    signature = key.sign_with_label(signing.LEAF_NODE, tbs + context)
    # Read back: what this client sends passes the same checks as what it receives.
    return LeafNode.read(Reader(tbs + opaque(signature)))
