"""Tags, epochs, generations and senders (RFC 9420 §6, §9, §12.4.2): what is right in itself, but not here and now."""

from dataclasses import replace
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, NOW, Seeded, bundle, content, signer
from tests.mls.world import PUBLIC, World, application, forge, forged_commit, proposal, refused, staged

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.registry import ContentType, WireFormat
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit, propose_externally, propose_own_add
from waypost.mls.group import Group
from waypost.mls.objects.commit import Commit, ProposalRef
from waypost.mls.objects.framing import Content, PrivateMessage, PublicMessage, decode_message, encode_message
from waypost.mls.objects.proposals import Add, Remove
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.epoch import GroupState
from waypost.mls.steps.sending import Framing

FRAMINGS = [pytest.param(Framing(), id="private"), pytest.param(PUBLIC, id="public")]
HANDSHAKE: list[Content] = [Remove(2), Commit((), None)]


def group_of(state: GroupState, **changes: object) -> Group:
    """The same member with another epoch."""
    return Group(replace(state, epoch=replace(state.epoch, **changes)), Rules())  # type: ignore[arg-type]


def public(message: bytes) -> PublicMessage:
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    return body


def private(message: bytes) -> PrivateMessage:
    body = decode_message(message)
    assert isinstance(body, PrivateMessage)
    return body


def sealed(body: PrivateMessage, **changes: object) -> bytes:
    return encode_message(WireFormat.PRIVATE_MESSAGE, replace(body, **changes).encode())  # type: ignore[arg-type]


# ── tags ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_membership_tags() -> None:
    world = World("alice", "bob", "carol")
    for carried in HANDSHAKE:
        body = public(forge(world.groups["alice"], carried))
        right = body.membership_tag
        assert right is not None
        other = public(forge(world.groups["alice"], Remove(1))).membership_tag
        for tag in (b"", bytes(32), right[:-1], right + b"\0", right[::-1], other):
            message = encode_message(WireFormat.PUBLIC_MESSAGE, replace(body, membership_tag=tag).encode())
            refused(partial(world.groups["bob"].process, message, NOW), MlsFault.MEMBERSHIP_TAG)
        missing = encode_message(WireFormat.PUBLIC_MESSAGE, replace(body, membership_tag=None).encode())
        refused(partial(world.groups["bob"].process, missing, NOW), MlsFault.TRUNCATED)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_confirmation_tags(framing: Framing) -> None:
    world = World("alice", "bob", "carol")
    _, pending = Group.load(world.groups["alice"].state()).commit(world.random, NOW, CommitOptions(framing=PUBLIC))
    commit = public(pending.message)
    right = commit.auth.confirmation_tag
    assert right is not None
    assert isinstance(commit.content.content, Commit)
    for tag in (b"", bytes(32), right[:-1], right + b"\0", world.groups["alice"].snapshot.epoch.confirmation_tag()):
        message = forge(world.groups["alice"], commit.content.content, framing, tag)
        refused(partial(world.groups["bob"].process, message, NOW), MlsFault.CONFIRMATION_TAG)


def test_outsiders_have_no_tag_to_show() -> None:
    world = World("alice", "bob")
    message = propose_own_add(GROUP_ID, 1, bundle("dave", world.random))
    tagged = encode_message(WireFormat.PUBLIC_MESSAGE, replace(public(message), membership_tag=bytes(32)).encode())
    refused(lambda: world.groups["bob"].process(tagged, NOW), MlsFault.TRAILING_BYTES)


# ── epochs ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("framing", FRAMINGS)
def test_handshakes_of_the_epoch_before_and_of_the_one_after(framing: Framing) -> None:
    world = World("alice", "bob", "carol")
    early = [forge(world.groups["alice"], carried, framing) for carried in HANDSHAKE]
    world.commit("carol")
    bob = world.groups["bob"]
    for message in early:
        refused(partial(bob.process, message, NOW), MlsFault.WRONG_EPOCH)
    world.groups["alice"], pending = world.groups["alice"].commit(world.random, NOW)
    ahead = world.groups["alice"].merge_pending(NOW)
    for carried in HANDSHAKE:
        refused(partial(bob.process, forge(ahead, carried, framing), NOW), MlsFault.EPOCH_AHEAD)
    refused(lambda: bob.process(forge(ahead, b"data", Framing()), NOW), MlsFault.EPOCH_AHEAD)
    assert staged(bob, pending.message).changes.epoch == 2


@pytest.mark.parametrize("framing", FRAMINGS)
def test_a_message_is_not_moved_to_another_epoch(framing: Framing) -> None:
    """The same bytes under another epoch number: neither tag nor cipher nor signature goes along."""
    world = World("alice", "bob", "carol")
    messages = [forge(world.groups["alice"], carried, framing) for carried in HANDSHAKE]
    world.commit("carol")
    for message in messages:
        body = decode_message(message)
        if isinstance(body, PublicMessage):
            moved = message.replace((1).to_bytes(8, "big"), (2).to_bytes(8, "big"), 1)
            assert public(moved).epoch == 2
            refused(partial(world.groups["bob"].process, moved, NOW), MlsFault.MEMBERSHIP_TAG)
        else:
            moved = sealed(private(message), epoch=2)
            refused(partial(world.groups["bob"].process, moved, NOW), MlsFault.SENDER_DATA_OPEN_FAILED)


def test_external_messages_are_for_one_epoch() -> None:
    world = World("alice", "bob")
    info = world.groups["alice"].group_info()
    _, commit = join_by_external_commit(info, ExternalJoinOptions(content("dave"), signer("dave")), world.random, NOW)
    own_add = propose_own_add(GROUP_ID, 1, bundle("eve", world.random))
    world.commit("alice")
    for message in (commit, own_add):
        refused(partial(world.groups["bob"].process, message, NOW), MlsFault.WRONG_EPOCH)


def test_two_commits_for_one_epoch() -> None:
    world = World("alice", "bob", "carol")
    world.groups["alice"], first = world.groups["alice"].commit(world.random, NOW)
    world.groups["carol"], second = world.groups["carol"].commit(world.random, NOW, CommitOptions(framing=PUBLIC))
    both = staged(world.groups["bob"], first.message), staged(world.groups["bob"], second.message)
    bob = both[0].apply(NOW)
    refused(lambda: both[1].apply(NOW), MlsFault.COMMIT_CHANGED_UNDER)
    refused(lambda: bob.process(second.message, NOW), MlsFault.WRONG_EPOCH)
    refused(lambda: bob.process(first.message, NOW), MlsFault.WRONG_EPOCH)


# ── generations ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_generation_comes_once_whatever_it_carries() -> None:
    """A member that has lost its state sends under keys that it has used: the second message is refused."""
    world = World("alice", "bob", "carol")
    stored = world.groups["alice"].state()
    _, first = Group.load(stored).encrypt(b"first", Seeded(1))
    _, second = Group.load(stored).encrypt(b"second", Seeded(2))
    bob = application(world.groups["bob"], first).group
    refused(lambda: bob.process(first, NOW), MlsFault.GENERATION_CONSUMED)
    refused(lambda: bob.process(second, NOW), MlsFault.GENERATION_CONSUMED)
    world.groups["bob"] = bob
    _, one = Group.load(stored).propose(Remove(2), Seeded(3), NOW)
    _, two = Group.load(stored).propose(Add(bundle("dave", world.random).key_package), Seeded(4), NOW)
    bob = proposal(world.groups["bob"], one).group
    refused(lambda: bob.process(one, NOW), MlsFault.GENERATION_CONSUMED)
    refused(lambda: bob.process(two, NOW), MlsFault.GENERATION_CONSUMED)
    # Application data has a ratchet of its own, so it is not shadowed by the handshake's generation.
    assert bob.proposals


def test_late_messages_come_once_too() -> None:
    world = World("alice", "bob")
    world.groups["alice"], late = world.groups["alice"].encrypt(b"late", world.random)
    world.commit("bob")
    bob = application(world.groups["bob"], late).group
    refused(lambda: bob.process(late, NOW), MlsFault.GENERATION_CONSUMED)
    refused(lambda: Group.load(bob.state()).process(late, NOW), MlsFault.GENERATION_CONSUMED)


def test_a_refused_message_takes_no_generation() -> None:
    """Whoever has the keys of the epoch can encrypt as Alice; without her signature that costs her nothing."""
    world = World("alice", "bob", "carol")
    carol = world.groups["carol"].snapshot
    pose = group_of(carol, leaf_index=0)
    refused(lambda: world.groups["bob"].process(forge(pose, b"data", Framing()), NOW), MlsFault.MESSAGE_SIGNATURE)
    world.say("alice", b"still hers")


# ── senders ──────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("framing", FRAMINGS)
def test_one_who_has_been_removed_sends_nothing(framing: Framing) -> None:
    world = World("alice", "bob", "carol", "dave")
    carol = world.groups["carol"].snapshot
    world.commit("alice", CommitOptions((Remove(2),)))
    bob = world.groups["bob"]
    for carried in HANDSHAKE:
        refused(partial(bob.process, forge(Group(carol, Rules()), carried, framing), NOW), MlsFault.WRONG_EPOCH)
        # With the number of the new epoch, but the keys of the old one.
        guess = group_of(carol, context=bob.snapshot.epoch.context)
        fault = MlsFault.MEMBERSHIP_TAG if framing is PUBLIC else MlsFault.SENDER_DATA_OPEN_FAILED
        refused(partial(bob.process, forge(guess, carried, framing), NOW), fault)
        # With the keys of the new one, from a member that helps: the leaf is blank.
        helped = group_of(world.groups["dave"].snapshot, leaf_index=2, signature_key=signer("carol"))
        refused(partial(bob.process, forge(helped, carried, framing), NOW), MlsFault.SENDER_BLANK)


def test_a_late_message_of_one_who_was_no_member_then() -> None:
    world = World("alice", "bob", "carol")
    bob_before = world.groups["bob"].snapshot
    world.add("alice", "dave")
    pose = group_of(bob_before, leaf_index=3, signature_key=signer("dave"))
    message = forge(pose, b"data", Framing())
    refused(lambda: world.groups["alice"].process(message, NOW), MlsFault.SENDER_BLANK)
    pose = group_of(bob_before, leaf_index=0)
    refused(lambda: world.groups["alice"].process(forge(pose, b"data", Framing()), NOW), MlsFault.SENDER_SELF)


def test_nobody_from_outside_sends_private_messages() -> None:
    """A handshake in a PrivateMessage by one that has no key of the epoch, or is no member and has them all."""
    world = World("alice", "bob", "carol")
    other = World("mallory", "bob", "carol", seed=7)
    for carried in (*HANDSHAKE, b"data"):
        message = forge(other.groups["mallory"], carried, Framing())
        refused(partial(world.groups["bob"].process, message, NOW), MlsFault.SENDER_DATA_OPEN_FAILED)
        pose = group_of(world.groups["alice"].snapshot, leaf_index=3, signature_key=signer("mallory"))
        refused(partial(world.groups["bob"].process, forge(pose, carried, Framing()), NOW), MlsFault.SENDER_BLANK)


def test_the_kind_of_content_is_authenticated() -> None:
    world = World("alice", "bob", "carol")
    for carried in (*HANDSHAKE, b"data"):
        body = private(forge(world.groups["alice"], carried, Framing()))
        for kind in ContentType:
            if kind is not body.content_type:
                message = sealed(body, content_type=kind)
                refused(partial(world.groups["bob"].process, message, NOW), MlsFault.SENDER_DATA_OPEN_FAILED)


def test_external_senders_are_counted_from_zero() -> None:
    world = World("alice", "bob")
    for index in (0, 1, 2**32 - 1):
        message = propose_externally(GROUP_ID, 1, index, Remove(0), signer("server"))
        refused(partial(world.groups["bob"].process, message, NOW), MlsFault.SENDER_UNKNOWN)


# ── proposals by reference ───────────────────────────────────────────────────────────────────────────────────────


def test_a_commit_refers_to_what_was_sent_in_its_epoch() -> None:
    world = World("alice", "bob", "carol")
    heard = proposal(world.groups["bob"], forge(world.groups["alice"], Remove(2)))
    world.groups["bob"] = heard.group
    world.commit("carol", CommitOptions(references=()))
    # The proposal went with its epoch.
    for reference in (heard.reference, heard.reference[:-1], b"", bytes(32)):
        message = forged_commit(world.groups["alice"], ProposalRef(reference))
        refused(partial(world.groups["bob"].process, message, NOW), MlsFault.PROPOSAL_NOT_FOUND)


def test_a_refused_proposal_cannot_be_referred_to() -> None:
    world = World("alice", "bob", "carol")
    heard = proposal(world.groups["bob"], forge(world.groups["alice"], Remove(2)))
    discarded = heard.group.discard_proposal(heard.reference)
    message = forged_commit(world.groups["alice"], ProposalRef(heard.reference))
    refused(lambda: discarded.process(message, NOW), MlsFault.PROPOSAL_NOT_FOUND)


# ── padding ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Ending(int):
    """So many bytes of padding, of which one is not zero."""

    last = True

    def __bytes__(self) -> bytes:
        zeros = bytes(int(self) - 1)
        return zeros + b"\x80" if self.last else b"\x80" + zeros


class Beginning(Ending):
    last = False


@pytest.mark.parametrize("kind", [Beginning, Ending])
@pytest.mark.parametrize("carried", [*HANDSHAKE, b"data"], ids=["proposal", "commit", "data"])
def test_padding_is_zero_from_end_to_end(carried: Content, kind: type[Ending]) -> None:
    world = World("alice", "bob", "carol")
    for size in (1, 2, 1_000):
        message = forge(world.groups["alice"], carried, Framing(padding=kind(size)))
        refused(partial(world.groups["bob"].process, message, NOW), MlsFault.NON_ZERO_PADDING)
