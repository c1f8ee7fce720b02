"""Validation of leaf nodes and key packages (RFC 9420 §7.3, §10.1). Whether credentials are true is the caller's part.

What concerns one leaf node is here; what concerns all of them together is in `tree_validation`.
"""

from __future__ import annotations

from dataclasses import dataclass

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import DEFAULT_EXTENSIONS, DEFAULT_PROPOSALS, MLS10, LeafNodeSource
from waypost.mls.base.suites import CipherSuite
from waypost.mls.objects.extensions import Extensions, RequiredCapabilities, required_capabilities
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import Capabilities, LeafNode


@dataclass(frozen=True)
class GroupParameters:
    """What a leaf node must be compatible with."""

    suite: CipherSuite
    group_id: bytes
    extensions: Extensions
    required: RequiredCapabilities | None

    @classmethod
    def of(cls, suite: CipherSuite, group_id: bytes, extensions: Extensions) -> GroupParameters:
        """Raises MlsError(BAD_EXTENSION)."""
        return cls(suite, group_id, extensions, required_capabilities(extensions))


def check_leaf(leaf: LeafNode, leaf_index: int, group: GroupParameters) -> None:
    """§7.3, but for lifetime, source and uniqueness. Raises the MlsError of the first check that fails."""
    check_content(leaf, group)
    if not leaf.verify(group.group_id, leaf_index):
        raise MlsError(MlsFault.LEAF_SIGNATURE, f"leaf {leaf_index}")


def check_content(leaf: LeafNode, group: GroupParameters) -> None:
    """The same without the signature."""
    capabilities = leaf.capabilities
    if MLS10 not in capabilities.versions:
        raise MlsError(MlsFault.LEAF_VERSION_UNLISTED)
    if group.suite.value not in capabilities.cipher_suites:
        raise MlsError(MlsFault.LEAF_SUITE_UNLISTED)
    if leaf.credential.type not in capabilities.credentials:
        raise MlsError(MlsFault.LEAF_CREDENTIAL_UNLISTED)
    if leaf.extensions and not _supports_extensions(capabilities, {each.type for each in leaf.extensions}):
        raise MlsError(MlsFault.LEAF_EXTENSION_UNLISTED)
    if group.extensions and not _supports_extensions(capabilities, {each.type for each in group.extensions}):
        raise MlsError(MlsFault.LEAF_LACKS_GROUP_EXTENSION)
    if group.required is not None and not supports(capabilities, group.required):
        raise MlsError(MlsFault.LEAF_LACKS_REQUIRED)
    group.suite.kem.public_key(leaf.encryption_key)


def supports(capabilities: Capabilities, required: RequiredCapabilities) -> bool:
    """True if everything that is required is listed or default (§11.1)."""
    return (
        _supports_extensions(capabilities, set(required.extensions))
        and DEFAULT_PROPOSALS.union(capabilities.proposals).issuperset(required.proposals)
        and set(capabilities.credentials).issuperset(required.credentials)
    )


def _supports_extensions(capabilities: Capabilities, types: set[int]) -> bool:
    return types <= DEFAULT_EXTENSIONS or types <= DEFAULT_EXTENSIONS.union(capabilities.extensions)


def check_lifetime(leaf: LeafNode, now: int, rules: Rules) -> None:
    """§7.2, §7.3: for leaf nodes of source key_package. `now` is in seconds since 1970."""
    if leaf.lifetime is None:
        return
    not_before, not_after = leaf.lifetime.not_before, leaf.lifetime.not_after
    if not_after - not_before > rules.lifetime_max_s:
        raise MlsError(MlsFault.LIFETIME_TOO_LONG, f"{not_after - not_before} s")
    if now < not_before - rules.clock_skew_s:
        raise MlsError(MlsFault.LIFETIME_TOO_EARLY)
    if not_after < not_before or now > not_after + rules.clock_skew_s:
        raise MlsError(MlsFault.LIFETIME_OVER)


def check_source(leaf: LeafNode, source: LeafNodeSource) -> None:
    """§7.3: the source belongs to the place where the leaf node was found."""
    if leaf.source is not source:
        raise MlsError(MlsFault.LEAF_SOURCE, f"{leaf.source.name} instead of {source.name}")


def check_key_package(package: KeyPackage, group: GroupParameters, now: int, rules: Rules) -> None:
    """§10.1, before a client is added. Raises the MlsError of the first check that fails."""
    if package.version != MLS10:
        raise MlsError(MlsFault.KEY_PACKAGE_VERSION)
    if package.cipher_suite != group.suite.value:
        raise MlsError(MlsFault.KEY_PACKAGE_SUITE)
    leaf = package.leaf_node
    check_source(leaf, LeafNodeSource.KEY_PACKAGE)
    if package.init_key == leaf.encryption_key:
        raise MlsError(MlsFault.INIT_KEY_REUSED)
    group.suite.kem.public_key(package.init_key)
    check_lifetime(leaf, now, rules)
    check_leaf(leaf, 0, group)
    if not package.verify():
        raise MlsError(MlsFault.KEY_PACKAGE_SIGNATURE)
