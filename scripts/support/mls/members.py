"""Members and groups from one seed: the same bytes in every run, but for HPKE's ephemeral keys."""

from __future__ import annotations

import hashlib

from waypost.mls.base.bounds import Rules
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import X25519_AES128, CipherSuite
from waypost.mls.group import Group
from waypost.mls.objects.credentials import BasicCredential
from waypost.mls.objects.extensions import Extensions
from waypost.mls.objects.key_package import KeyPackageBundle, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNodeContent, Lifetime
from waypost.mls.objects.proposals import Add
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.creating import GroupSpec

NOW = 1_700_000_000
LIFETIME = Lifetime(NOW - 3_600, NOW + 86_400)
GROUP_ID = b"sixteen bytes id"


class Seeded:
    """A repeatable source of random bytes."""

    def __init__(self, seed: int = 0) -> None:
        self._seed, self._count = seed, 0

    def __call__(self, size: int) -> bytes:
        self._count += 1
        return hashlib.shake_128(f"{self._seed} {self._count}".encode()).digest(size)


def content(name: str) -> LeafNodeContent:
    """What a member says of itself."""
    return LeafNodeContent(BasicCredential(name.encode()))


def signer(name: str) -> SignatureKey:
    """A member's signature key."""
    return SignatureKey(hashlib.sha256(name.encode()).digest())


def bundle(name: str, random: Seeded, suite: CipherSuite = X25519_AES128) -> KeyPackageBundle:
    """A fresh key package of that member."""
    return make_key_package(KeyPackageSpec(suite, content(name), LIFETIME), signer(name), random)


def create(
    name: str,
    random: Seeded,
    suite: CipherSuite = X25519_AES128,
    extensions: Extensions = (),
    rules: Rules | None = None,
    group_id: bytes = GROUP_ID,
) -> Group:
    """A group of one."""
    spec = GroupSpec(group_id, suite, content(name), LIFETIME, extensions)
    return Group.create(spec, signer(name), random, rules or Rules())


def names(count: int) -> tuple[str, ...]:
    """`count` names, of which the first creates the group."""
    return tuple(f"member {number}" for number in range(count))


def bundles_of(who: tuple[str, ...], suite: CipherSuite, random: Seeded) -> tuple[KeyPackageBundle, ...]:
    """A key package of each."""
    return tuple(bundle(name, random, suite) for name in who)


def adding(bundles: tuple[KeyPackageBundle, ...]) -> CommitOptions:
    """A commit that adds all of them."""
    return CommitOptions(tuple(Add(each.key_package) for each in bundles))


def together(
    who: tuple[str, ...], suite: CipherSuite, random: Seeded, extensions: Extensions = (), group_id: bytes = GROUP_ID
) -> list[Group]:
    """A group with those members, each as it sees it after having joined."""
    group = create(who[0], random, suite, extensions, group_id=group_id)
    bundles = bundles_of(who[1:], suite, random)
    group, pending = group.commit(random, NOW, adding(bundles))
    welcome = pending.welcomes[0].message
    return [group.merge_pending(NOW), *(Group.join(welcome, each) for each in bundles)]
