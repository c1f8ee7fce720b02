import contextlib
import hashlib
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripts.support.mls.members import LIFETIME, NOW, Seeded, bundle, signer
from tests.mls.world import World, application, refused, staged

from waypost.mls.base.bounds import MESSAGE_MAX_BYTES, Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.suites import SUITES, X25519_AES128, CipherSuite
from waypost.mls.group import Group
from waypost.mls.objects.credentials import X509Credential
from waypost.mls.objects.leaf_node import Capabilities, LeafNodeContent
from waypost.mls.objects.proposals import Add
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.creating import GroupSpec
from waypost.mls.steps.state_format import StoredState, split


def busy_world(suite: CipherSuite) -> World:
    """Past epochs, skipped keys, proposals with secrets, a pending commit with a welcome."""
    world = World("alice", "bob", "carol", suite=suite)
    world.say("alice", b"one")
    world.commit("bob")
    world.groups["alice"], _ = world.groups["alice"].encrypt(b"never arrives", world.random)
    world.say("alice", b"two")
    world.groups["bob"], message = world.groups["bob"].propose_update(world.random, NOW)
    world.hear(message, but="bob")
    newcomer = bundle("dave", world.random, suite)
    options = CommitOptions((Add(newcomer.key_package),))
    world.groups["carol"], _ = world.groups["carol"].commit(world.random, NOW, options)
    return world


@pytest.mark.parametrize("suite", SUITES.values(), ids=repr)
def test_a_group_goes_on_from_what_was_stored(suite: CipherSuite) -> None:
    world = busy_world(suite)
    for name, group in world.groups.items():
        stored = group.state()
        world.groups[name] = Group.load(stored)
        assert world.groups[name].state() == stored
    carol = world.groups["carol"]
    assert carol.pending is not None
    message = carol.pending.message
    world.groups["carol"] = staged(carol, message).apply(NOW)
    for name in ("alice", "bob"):
        world.groups[name] = staged(world.groups[name], message).apply(NOW)
    world.check_agreement()
    world.say("bob", b"with the key that was stored with the proposal")
    world.commit("bob")
    world.check_agreement()


def test_no_generation_is_used_twice_over_a_crash_before_sending() -> None:
    world = World("alice", "bob")
    stored = world.groups["alice"].state()
    # Stored, then sent, then dead: the message has arrived.
    alice, sent = Group.load(stored).encrypt(b"sent", world.random)
    alice = Group.load(alice.state())
    # Not stored, so not sent either: the key is free.
    _, unsent = Group.load(alice.state()).encrypt(b"unsent", world.random)
    _, second = Group.load(alice.state()).encrypt(b"second", world.random)
    read = application(world.groups["bob"], sent)
    after = application(read.group, second)
    assert (read.generation, after.generation) == (0, 1)
    refused(lambda: after.group.process(unsent, NOW), MlsFault.GENERATION_CONSUMED)


def test_what_was_read_is_not_read_again_after_a_restart() -> None:
    world = World("alice", "bob")
    world.groups["alice"], message = world.groups["alice"].encrypt(b"once", world.random)
    read = application(world.groups["bob"], message)
    refused(lambda: Group.load(read.group.state()).process(message, NOW), MlsFault.GENERATION_CONSUMED)


STORED = busy_world(next(iter(SUITES.values()))).groups["carol"].state()


@settings(max_examples=200)
@given(st.integers(0, len(STORED) * 8 - 1))
def test_damage_is_noticed(bit: int) -> None:
    spoilt = bytearray(STORED)
    spoilt[bit // 8] ^= 1 << bit % 8
    refused(lambda: Group.load(bytes(spoilt)), MlsFault.STATE_CORRUPT)


@given(st.binary(max_size=100))
def test_anything_else_is_no_state(data: bytes) -> None:
    with pytest.raises(MlsError):
        Group.load(data)


def test_another_version_is_named() -> None:
    standing, messages = split(STORED)
    refused(lambda: Group.load_parts(StoredState(standing, another_version(messages))), MlsFault.STATE_VERSION)


def another_version(part: bytes) -> bytes:
    body = b"\0\2" + part[2:-32]
    return body + hashlib.sha256(body).digest()


def resealed(part: bytes, change: Callable[[bytes], bytes]) -> bytes:
    body = change(part[:-32])
    return body + hashlib.sha256(body).digest()


def bound_to(standing: bytes, messages: bytes) -> StoredState:
    """Both parts, the second naming the hash of the first."""
    return StoredState(standing, resealed(messages, lambda body: body[:2] + standing[-32:] + body[34:]))


@settings(max_examples=300)
@given(st.data())
def test_damage_that_the_hashes_do_not_find_comes_out_as_mls_error(data: st.DataObject) -> None:
    standing, messages = split(STORED)

    def spoil(body: bytes) -> bytes:
        at = data.draw(st.integers(2, len(body) - 1))
        return body[:at] + data.draw(st.binary(max_size=3)) + body[at + data.draw(st.integers(0, 3)) :]

    in_standing = data.draw(st.booleans())
    parts = bound_to(resealed(standing, spoil), messages) if in_standing else StoredState(standing, messages)
    if not in_standing:
        parts = StoredState(standing, resealed(messages, spoil))
    with contextlib.suppress(MlsError):
        Group.load_parts(parts)


def with_status(status: int, body: bytes) -> bytes:
    """The status is the last but the presence of a ReInit."""
    return body[:-2] + bytes([status]) + body[-1:]


def test_a_state_that_contradicts_itself() -> None:
    standing, messages = split(STORED)
    for status in (0, 4, 255):
        odd = resealed(standing, partial(with_status, status))
        refused(partial(Group.load_parts, bound_to(odd, messages)), MlsFault.STATE_CORRUPT)
    # No secret trees of past epochs, although there are past epochs.
    group = Group.load(STORED)
    assert group.past_epochs
    fewer = group.forget_past().state_parts().messages
    refused(lambda: Group.load_parts(bound_to(standing, fewer)), MlsFault.STATE_CORRUPT)
    refused(lambda: Group.load(b"\xff" + STORED), MlsFault.STATE_CORRUPT)


def test_messages_change_the_small_part_alone() -> None:
    world = World(*(f"member {number}" for number in range(20)))
    first = world.groups["member 0"]
    before = first.state_parts()
    first, message = first.encrypt(b"data", world.random)
    after = first.state_parts()
    assert after.standing == before.standing
    assert len(after.messages) < len(after.standing) / 4
    # Whoever keeps the first part and writes the second goes on from there.
    restored = Group.load_parts(StoredState(before.standing, after.messages))
    restored, second = restored.encrypt(b"more", world.random)
    read = application(world.groups["member 1"], message)
    assert application(read.group, second).generation == 1


def test_parts_of_different_times_do_not_go_together() -> None:
    world = World("alice", "bob")
    before = world.groups["alice"].state_parts()
    world.commit("bob")
    after = world.groups["alice"].state_parts()
    for parts in (StoredState(before.standing, after.messages), StoredState(after.standing, before.messages)):
        refused(partial(Group.load_parts, parts), MlsFault.STATE_CORRUPT)


def test_rules_are_bounded() -> None:
    with pytest.raises(ValueError, match="past_epochs"):
        Rules(past_epochs=4)


def test_a_state_may_be_larger_than_a_message() -> None:
    heavy = LeafNodeContent(X509Credential((bytes(MESSAGE_MAX_BYTES // 3),)), Capabilities(credentials=(1, 2)))
    random = Seeded(5)
    group = Group.create(GroupSpec(b"heavy", X25519_AES128, heavy, LIFETIME), signer("alice"), random)
    group, pending = group.commit(random, NOW)
    stored = group.state()
    assert len(stored) > MESSAGE_MAX_BYTES
    loaded = Group.load(stored).merge_pending(NOW)
    assert loaded.epoch_authenticator == pending.step.epoch.secrets.epoch_authenticator
