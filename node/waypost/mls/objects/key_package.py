"""Key packages (RFC 9420 §10): what a client publishes so that others can add it while it is away."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from waypost.mls.base import signing
from waypost.mls.base.codec import Reader, decode, opaque, u16
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.hpke import PrivateKey, Randomness
from waypost.mls.base.kdf import NH, make_key_package_ref
from waypost.mls.base.registry import MLS10, WireFormat
from waypost.mls.base.signing import SignatureKey, verify_with_label
from waypost.mls.base.suites import CipherSuite, cipher_suite
from waypost.mls.objects.extensions import Extensions, encode_extensions, read_extensions
from waypost.mls.objects.leaf_node import LeafNode, LeafNodeContent, Lifetime, sign_for_key_package


@dataclass(frozen=True)
class KeyPackage:
    version: int
    cipher_suite: int
    init_key: bytes
    leaf_node: LeafNode
    extensions: Extensions
    signature: bytes
    encoded: bytes = field(repr=False)
    tbs: bytes = field(repr=False)

    @cached_property
    def ref(self) -> bytes:
        """KeyPackageRef (§5.2)."""
        return make_key_package_ref(self.encoded)

    def verify(self) -> bool:
        """True if the signature is that of the leaf node's signature key."""
        return verify_with_label(self.leaf_node.signature_key, signing.KEY_PACKAGE, self.tbs, self.signature)

    def message(self) -> bytes:
        """MLSMessage(KeyPackage), as it is published."""
        return u16(MLS10) + u16(WireFormat.KEY_PACKAGE) + self.encoded

    @classmethod
    def read(cls, reader: Reader) -> KeyPackage:
        start = reader.position
        version, suite, init_key = reader.u16(), reader.u16(), reader.opaque()
        leaf_node, extensions = LeafNode.read(reader), read_extensions(reader)
        signed_until = reader.position
        signature = reader.opaque()
        return cls(
            version,
            suite,
            init_key,
            leaf_node,
            extensions,
            signature,
            encoded=reader.data[start : reader.position],
            tbs=reader.data[start:signed_until],
        )


@dataclass(frozen=True)
class KeyPackageBundle:
    """A key package with its private keys. Use it once, then delete it (§16.8)."""

    key_package: KeyPackage
    init_private: PrivateKey = field(repr=False)
    encryption_private: PrivateKey = field(repr=False)
    signature_key: SignatureKey

    @property
    def suite(self) -> CipherSuite:
        return cipher_suite(self.key_package.cipher_suite)

    def check(self) -> None:
        """Return if the private keys are those of the package. Raises MlsError(PRIVATE_KEY_MISMATCH)."""
        leaf = self.key_package.leaf_node
        if (
            self.init_private.public != self.key_package.init_key
            or self.encryption_private.public != leaf.encryption_key
            or self.signature_key.public != leaf.signature_key
        ):
            raise MlsError(MlsFault.PRIVATE_KEY_MISMATCH)

    def serialize(self) -> bytes:
        """Secret bytes from which `restore` makes the bundle again."""
        secrets = (self.init_private.data, self.encryption_private.data, self.signature_key.seed)
        return b"".join((u16(1), self.key_package.encoded, *map(opaque, secrets)))

    @classmethod
    def restore(cls, data: bytes) -> KeyPackageBundle:
        """Raises MlsError, for instance STATE_VERSION or PRIVATE_KEY_MISMATCH."""
        return decode(data, cls._read)

    @classmethod
    def _read(cls, reader: Reader) -> KeyPackageBundle:
        if reader.u16() != 1:
            raise MlsError(MlsFault.STATE_VERSION)
        package = KeyPackage.read(reader)
        kem = cipher_suite(package.cipher_suite).kem
        init, encryption = kem.private_key(reader.opaque()), kem.private_key(reader.opaque())
        bundle = cls(package, init, encryption, SignatureKey(reader.opaque()))
        bundle.check()
        return bundle


@dataclass(frozen=True)
class KeyPackageSpec:
    """What goes into a key package."""

    suite: CipherSuite
    content: LeafNodeContent
    lifetime: Lifetime
    extensions: Extensions = ()


def make_key_package(spec: KeyPackageSpec, key: SignatureKey, random: Randomness) -> KeyPackageBundle:
    """A fresh key package, signed by `key`."""
    init = spec.suite.derive_key_pair(random(NH))
    encryption = spec.suite.derive_key_pair(random(NH))
    leaf = sign_for_key_package(spec.content, encryption.public, spec.lifetime, key)
    tbs = b"".join(
        (u16(MLS10), u16(spec.suite.value), opaque(init.public), leaf.encoded, encode_extensions(spec.extensions))
    )
    signature = key.sign_with_label(signing.KEY_PACKAGE, tbs)
    package = KeyPackage.read(Reader(tbs + opaque(signature)))
    return KeyPackageBundle(package, init, encryption, key)
