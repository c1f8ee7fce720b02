"""What somebody without any key can do to MLS messages. Nothing but the originals may be accepted.

A decoder here stands for a client in a group of each cipher suite: it takes the group that the bytes name, if they
name one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from scripts.support.fuzz.mls_world import World, again, read, worlds
from scripts.support.fuzz.target import Decode, Target, mls_target
from scripts.support.mls.members import NOW, Seeded

from waypost.mls.base import codec
from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.objects.framing import decode_message
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.welcome import Welcome
from waypost.mls.tree.leaf_validation import GroupParameters, check_key_package

_HEAD_BYTES = 4  #: MLSMessage's version and wire format
_PUBLIC_COMMIT = b"\0\1\0\1" + codec.opaque(b"g") + codec.u64(1) + b"\4" + b"\0" + b"\3"
_LEAF = codec.opaque(bytes(32)) * 2 + codec.u16(1) + b"\0"


def outside() -> Iterator[Target]:
    """Messages to a member, and what is read before one is a member."""
    yield _strict("application", _received, lambda world: world.texts)
    yield _strict("proposal", _received, lambda world: world.proposals)
    yield _strict("commit", _received, lambda world: world.commits)
    welcomes = _strict("welcome", _welcomed, lambda world: world.welcomes)
    yield replace(welcomes, forged=_Letters(welcomes.seeds).are_not)
    yield _strict("group_info", _joined, lambda world: world.group_infos)
    yield _strict("tree", _joined_with_tree, lambda world: (world.alice.ratchet_tree(),))
    yield _strict("key_package", _added, lambda world: world.key_packages)
    # Its owner's own bytes: nonsense may load, but nothing else may happen.
    states = [again(group).state() for world in worlds() for group in (world.talking, world.bob)]
    yield mls_target("mls.state", Group.load, states)


def _strict(name: str, decode: Decode, seeds: Callable[[World], Sequence[bytes]]) -> Target:
    every = [seed for world in worlds() for seed in seeds(world)]
    return mls_target(f"mls.{name}", decode, every, hostile=_hostile(), forged=lambda _data: True)


# ── one client, three groups ────────────────────────────────────────────────────────────────────────────────────────


def _received(data: bytes) -> object:
    name = data[_HEAD_BYTES + 1 :]
    return read(_chosen(lambda world: name.startswith(world.bob.group_id)).bob, data)


def _welcomed(data: bytes) -> object:
    world = _chosen(lambda world: world.dave.key_package.ref in data)
    return Group.join(data, world.dave, world.joiner)


def _joined(data: bytes) -> object:
    world = _chosen(lambda world: data[6:8] == codec.u16(world.suite.value))
    return join_by_external_commit(data, world.eve, Seeded(5), NOW)


def _joined_with_tree(data: bytes) -> object:
    """The tree that came apart from the GroupInfo."""
    world = _chosen(lambda world: world.alice.ratchet_tree()[:48] == data[:48])
    eve = ExternalJoinOptions(world.eve.content, world.eve.signature_key, tree=data)
    return join_by_external_commit(world.group_infos[2], eve, Seeded(5), NOW)


def _added(data: bytes) -> object:
    package = decode_message(data)
    if not isinstance(package, KeyPackage):
        raise MlsError(MlsFault.WRONG_WIRE_FORMAT)
    world = _chosen(lambda world: package.cipher_suite == world.suite.value)
    parameters = GroupParameters.of(world.suite, world.alice.group_id, world.alice.extensions)
    check_key_package(package, parameters, NOW, Rules())
    return package


def _chosen(fits: Callable[[World], bool]) -> World:
    return next((world for world in worlds() if fits(world)), worlds()[0])


@dataclass(frozen=True)
class _Letters:
    """Welcomes as their addressee reads them.

    A Welcome holds a letter for each new member, and nothing in it protects the letters of others: who spoils them
    changes nothing for this one. So what counts is the suite, the own letter, and the group info that all share.
    """

    originals: Sequence[bytes]

    def are_not(self, data: bytes) -> bool:
        """True if it says something else than each original, to the one who has accepted it."""
        return _letter(data) not in {_letter(original) for original in self.originals}


def _letter(data: bytes) -> object:
    welcome = decode_message(data)
    assert isinstance(welcome, Welcome)
    ref = _chosen(lambda world: world.dave.key_package.ref in data).dave.key_package.ref
    own = next(secret for secret in welcome.secrets if secret.new_member == ref)
    return welcome.cipher_suite, own, welcome.encrypted_group_info


# ── large, and made to cost more than they weigh ────────────────────────────────────────────────────────────────────


def _hostile() -> tuple[bytes, ...]:
    size = 2**15
    vectors = codec.opaque(codec.opaque(bytes(1_000)) * (size // 1_002))
    return (
        b"\0\1\0\3\0\1" + codec.opaque(bytes(size)) + b"\0",
        b"\0\1\0\3\0\1" + codec.varint(2**29),
        _PUBLIC_COMMIT + codec.opaque(b"\2\0" * (size // 2)) + b"\0",
        _PUBLIC_COMMIT + b"\0\1" + _LEAF + b"\0" * 5 + b"\2\0" + b"\0" + vectors,
        _PUBLIC_COMMIT + codec.opaque(b"\1\0\7" + codec.opaque(b"\0\1\0" * (size // 3))),
        b"\0\1\0\5\0\1\0\1" + b"\0" + _LEAF + codec.opaque(b"\xff" * size) * 2,
        b"\0\1\0\4\0\1\0\1" + b"\0" + bytes(8) + b"\0\0" + codec.opaque(b"\0\2" + codec.opaque(bytes(size))),
    )
