"""Every check of messages, proposals and commits that a member can break while it signs and protects properly."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, bundle, content, signer
from tests.mls.world import PUBLIC, World, application, forge, forged_commit, greasy, proposal, refused, staged

from waypost.mls.base.bounds import MESSAGE_MAX_BYTES, SKIPPED_PER_RATCHET_MAX, Rules
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.registry import ExtensionType, ResumptionPskUsage, SenderType, WireFormat
from waypost.mls.base.suites import X25519_CHACHA20
from waypost.mls.group import Group
from waypost.mls.objects.commit import Commit, ProposalOrRef, ProposalRef, UpdatePath
from waypost.mls.objects.extensions import Extension, RequiredCapabilities
from waypost.mls.objects.framing import (
    Content,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    Sender,
    decode_message,
    encode_message,
)
from waypost.mls.objects.key_package import KeyPackage, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNode, LeafNodePlace, Lifetime, sign_for_update
from waypost.mls.objects.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    ReInit,
    Remove,
    Update,
)
from waypost.mls.objects.psk import ExternalPskId, ResumptionPskId
from waypost.mls.steps.applying import apply_list
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.epoch import provisional_context
from waypost.mls.steps.sending import Framing
from waypost.mls.tree.treekem import Committer, encrypt_path, make_path

WORLD = World("alice", "bob", "carol")
ALICE, BOB, CAROL = WORLD.groups.values()


def refused_by_bob(message: bytes, fault: MlsFault) -> None:
    refused(lambda: BOB.process(message, NOW), fault)


# ── proposals ────────────────────────────────────────────────────────────────────────────────────────────────────


def package(name: str = "dave", **changes: object) -> KeyPackage:
    spec = KeyPackageSpec(WORLD.suite, content(name), LIFETIME)
    return make_key_package(replace(spec, **changes), signer(name), WORLD.random).key_package  # type: ignore[arg-type]


def reversed_signature(made: KeyPackage) -> KeyPackage:
    return replace(made, encoded=made.encoded[:-1] + bytes([made.encoded[-1] ^ 1]))


ADDS = {
    "another suite": (package(suite=X25519_CHACHA20), MlsFault.KEY_PACKAGE_SUITE),
    "not valid yet": (package(lifetime=Lifetime(NOW + 7_200, NOW + 9_000)), MlsFault.LIFETIME_TOO_EARLY),
    "stale": (package(lifetime=Lifetime(NOW - 9_000, NOW - 7_200)), MlsFault.LIFETIME_OVER),
    "for ever": (package(lifetime=Lifetime(0, 2**64 - 1)), MlsFault.LIFETIME_TOO_LONG),
    "no suite": (package(content=greasy(content("dave"), cipher_suites=(3,))), MlsFault.LEAF_SUITE_UNLISTED),
    "no version": (package(content=greasy(content("dave"), versions=(2,))), MlsFault.LEAF_VERSION_UNLISTED),
    "no credential": (package(content=greasy(content("dave"), credentials=(2,))), MlsFault.LEAF_CREDENTIAL_UNLISTED),
    "unlisted extension": (
        package(content=replace(content("dave"), extensions=(Extension(0xF123, b""),))),
        MlsFault.LEAF_EXTENSION_UNLISTED,
    ),
    "spoilt": (reversed_signature(package()), MlsFault.KEY_PACKAGE_SIGNATURE),
}


@pytest.mark.parametrize("name", ADDS)
def test_adds_that_are_invalid(name: str) -> None:
    made, fault = ADDS[name]
    refused_by_bob(forge(ALICE, Add(made)), fault)
    refused_by_bob(forge(ALICE, Add(made), Framing()), fault)
    refused_by_bob(forged_commit(ALICE, Add(made)), fault)
    if fault is not MlsFault.KEY_PACKAGE_SIGNATURE:
        refused(lambda: ALICE.commit(WORLD.random, NOW, CommitOptions((Add(made),))), fault)


def test_a_key_package_whose_init_key_is_its_encryption_key() -> None:
    class Stuck:
        """The same bytes every time."""

        def __call__(self, size: int) -> bytes:
            return bytes(size)

    made = make_key_package(KeyPackageSpec(WORLD.suite, content("dave"), LIFETIME), signer("dave"), Stuck())
    refused_by_bob(forge(ALICE, Add(made.key_package)), MlsFault.INIT_KEY_REUSED)


def test_a_key_package_of_another_version() -> None:
    encoded = b"\0\2" + package().encoded[2:]
    refused_by_bob(forge(ALICE, Add(replace(package(), encoded=encoded))), MlsFault.KEY_PACKAGE_VERSION)


def update(
    leaf_index: int, name: str = "alice", encryption_key: bytes | None = None, **lists: tuple[int, ...]
) -> Update:
    key = encryption_key or WORLD.suite.derive_key_pair(WORLD.random(32)).public
    place = LeafNodePlace(GROUP_ID, leaf_index)
    return Update(sign_for_update(greasy(content(name), **lists), key, place, signer(name)))


def test_updates_that_are_invalid() -> None:
    own = ALICE.member(0).leaf_node
    refused_by_bob(forge(ALICE, Update(own)), MlsFault.LEAF_SOURCE)
    refused_by_bob(forge(ALICE, Update(package().leaf_node)), MlsFault.LEAF_SOURCE)
    refused_by_bob(forge(ALICE, update(0, encryption_key=own.encryption_key)), MlsFault.ENCRYPTION_KEY_UNCHANGED)
    refused_by_bob(forge(ALICE, update(1)), MlsFault.LEAF_SIGNATURE)
    refused_by_bob(forge(ALICE, update(0, credentials=())), MlsFault.LEAF_CREDENTIAL_UNLISTED)
    refused_by_bob(forge(ALICE, update(0, encryption_key=bytes(32))), MlsFault.BAD_HPKE_KEY)
    refused_by_bob(forge(ALICE, update(0, encryption_key=b"short")), MlsFault.BAD_HPKE_KEY)


def test_an_update_that_takes_anothers_keys_is_refused_with_its_commit() -> None:
    for stolen, fault in (
        (update(0, encryption_key=CAROL.member(2).leaf_node.encryption_key), MlsFault.ENCRYPTION_KEY_TWICE),
        (update(0, "carol"), MlsFault.SIGNATURE_KEY_TWICE),
    ):
        message = forge(ALICE, stolen)
        bob = proposal(Group.load(BOB.state()), message).group
        (sent,) = bob.proposals
        options = CommitOptions(references=(sent.reference,))
        refused(partial(bob.commit, WORLD.random, NOW, options), fault)


def psk(nonce: bytes = bytes(32)) -> PreSharedKey:
    return PreSharedKey(ExternalPskId(b"psk", nonce))


def test_other_proposals_that_are_invalid() -> None:
    refused_by_bob(forge(ALICE, Remove(3)), MlsFault.REMOVE_OF_BLANK)
    refused_by_bob(forge(ALICE, Remove(2**32 - 1)), MlsFault.REMOVE_OF_BLANK)
    refused_by_bob(forge(ALICE, psk(bytes(31))), MlsFault.PSK_NONCE_LENGTH)
    for usage in (ResumptionPskUsage.REINIT, ResumptionPskUsage.BRANCH):
        resumption = PreSharedKey(ResumptionPskId(usage, GROUP_ID, 1, bytes(32)))
        refused_by_bob(forge(ALICE, resumption), MlsFault.PSK_USAGE)
    refused_by_bob(forge(ALICE, ReInit(b"new", 0, 1)), MlsFault.REINIT_DOWNGRADE)
    refused_by_bob(forge(ALICE, ExternalInit(bytes(32))), MlsFault.EXTERNAL_INIT_BY_MEMBER)
    spoilt = GroupContextExtensions((Extension(ExtensionType.EXTERNAL_SENDERS, b"\x05"),))
    refused_by_bob(forge(ALICE, spoilt), MlsFault.BAD_EXTENSION)
    twice = GroupContextExtensions((Extension(1, b""), Extension(1, b"")))
    refused_by_bob(forge(ALICE, twice), MlsFault.DUPLICATE_EXTENSION)


# ── lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

REQUIRED = GroupContextExtensions((RequiredCapabilities(proposals=(0xF00D,)).extension(),))
LISTS: dict[str, tuple[list[ProposalOrRef], MlsFault]] = {
    "update by the committer": ([update(0)], MlsFault.UPDATE_BY_COMMITTER),
    "the committer's removal": ([Remove(0)], MlsFault.REMOVE_OF_COMMITTER),
    "a leaf removed twice": ([Remove(2), Remove(2)], MlsFault.LEAF_CHANGED_TWICE),
    "a client added twice": ([Add(package()), Add(package())], MlsFault.ADD_TWICE),
    "a member added": ([Add(package("carol"))], MlsFault.ADD_OF_MEMBER),
    "a psk twice": ([psk(), psk()], MlsFault.PSK_TWICE),
    "extensions twice": ([GroupContextExtensions(()), GroupContextExtensions(())], MlsFault.CONTEXT_EXTENSIONS_TWICE),
    "reinit beside another": ([ReInit(b"new", 1, 1), psk()], MlsFault.REINIT_NOT_ALONE),
    "two reinits": ([ReInit(b"new", 1, 1), ReInit(b"new", 1, 1)], MlsFault.REINIT_NOT_ALONE),
    "external init": ([ExternalInit(bytes(32))], MlsFault.EXTERNAL_INIT_BY_MEMBER),
    "what members do not support": ([REQUIRED], MlsFault.REQUIRED_NOT_SUPPORTED),
    "an unseen proposal": ([ProposalRef(bytes(32))], MlsFault.PROPOSAL_NOT_FOUND),
    "nothing, without a path": ([], MlsFault.PATH_REQUIRED),
    "a removal without a path": ([Remove(2)], MlsFault.PATH_REQUIRED),
    "an absent psk": ([psk()], MlsFault.PSK_NOT_FOUND),
    "nothing wrong but the tag": ([Add(package())], MlsFault.CONFIRMATION_TAG),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_that_are_invalid(name: str) -> None:
    proposals, fault = LISTS[name]
    refused_by_bob(forged_commit(ALICE, *proposals), fault)


@pytest.mark.parametrize("name", [name for name, (_, fault) in LISTS.items() if 600 <= fault.number < 700])
def test_nobody_makes_such_a_commit(name: str) -> None:
    proposals, fault = LISTS[name]
    by_value = tuple(each for each in proposals if not isinstance(each, ProposalRef))
    references = tuple(each.reference for each in proposals if isinstance(each, ProposalRef))
    options = CommitOptions(by_value, references)
    refused(lambda: ALICE.commit(WORLD.random, NOW, options), fault)


def test_a_member_may_be_added_again_if_it_is_removed_in_the_same_commit() -> None:
    world = World("alice", "bob", "carol")
    again = bundle("carol", world.random)
    (welcome,) = world.commit("alice", CommitOptions((Remove(2), Add(again.key_package))))
    world.groups["carol"] = Group.join(welcome, again)
    world.check_agreement()


# ── framing ──────────────────────────────────────────────────────────────────────────────────────────────────────


def public(message: bytes) -> PublicMessage:
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    return body


def encoded(body: PublicMessage) -> bytes:
    return encode_message(WireFormat.PUBLIC_MESSAGE, body.encode())


def test_tags_and_signatures_of_public_messages() -> None:
    body = public(forge(ALICE, Remove(2)))
    refused_by_bob(encoded(replace(body, membership_tag=bytes(32))), MlsFault.MEMBERSHIP_TAG)
    refused_by_bob(encoded(replace(body, membership_tag=b"")), MlsFault.MEMBERSHIP_TAG)
    for signature in (b"", bytes(64), bytes(63)):
        signed = replace(body, auth=replace(body.auth, signature=signature))
        refused_by_bob(encoded(signed), MlsFault.MEMBERSHIP_TAG)


@pytest.mark.parametrize("framing", [PUBLIC, Framing()])
@pytest.mark.parametrize("carried", [b"data", Remove(2), Commit((), None)], ids=["data", "proposal", "commit"])
def test_another_members_signature(framing: Framing, carried: Content) -> None:
    if carried == b"data" and framing is PUBLIC:
        return
    # Alice has all keys of the epoch, but not Carol's signature key.
    state = ALICE.snapshot
    as_carol = Group(replace(state, epoch=replace(state.epoch, leaf_index=2)), Rules())
    message = forge(as_carol, carried, framing)
    refused_by_bob(message, MlsFault.MESSAGE_SIGNATURE)


def test_senders_that_are_not_members() -> None:
    state = ALICE.snapshot
    for index in (3, 7, 2**32 - 1):
        elsewhere = Group(replace(state, epoch=replace(state.epoch, leaf_index=index)), Rules())
        refused_by_bob(forge(elsewhere, Remove(2)), MlsFault.SENDER_BLANK)
    elsewhere = Group(replace(state, epoch=replace(state.epoch, leaf_index=3)), Rules())
    refused_by_bob(forge(elsewhere, Remove(2), Framing()), MlsFault.SENDER_BLANK)
    as_bob = Group(replace(state, epoch=replace(state.epoch, leaf_index=1)), Rules())
    refused_by_bob(forge(as_bob, Remove(2)), MlsFault.SENDER_SELF)
    refused_by_bob(forge(as_bob, b"data", Framing()), MlsFault.SENDER_SELF)


@pytest.mark.parametrize(
    ("sender", "carried", "fault"),
    [
        (Sender(SenderType.EXTERNAL, 0), Commit((), None), MlsFault.SENDER_TYPE),
        (Sender(SenderType.NEW_MEMBER_PROPOSAL), Commit((), None), MlsFault.SENDER_TYPE),
        (Sender(SenderType.NEW_MEMBER_PROPOSAL), Remove(2), MlsFault.NEW_MEMBER_PROPOSAL_TYPE),
        (Sender(SenderType.NEW_MEMBER_COMMIT), Remove(2), MlsFault.SENDER_TYPE),
        (Sender(SenderType.NEW_MEMBER_COMMIT), Commit((), None), MlsFault.PATH_REQUIRED),
        (Sender(SenderType.MEMBER, 0), b"data", MlsFault.APPLICATION_NOT_PRIVATE),
        (Sender(SenderType.EXTERNAL, 0), b"data", MlsFault.APPLICATION_NOT_PRIVATE),
    ],
)
def test_senders_of_a_type_send_only_what_they_may(sender: Sender, carried: Content, fault: MlsFault) -> None:
    framed = FramedContent.make(GROUP_ID, 1, sender, b"", carried)
    auth = FramedContentAuthData(bytes(64), b"" if isinstance(carried, Commit) else None)
    tag = bytes(32) if sender.type is SenderType.MEMBER else None
    refused_by_bob(encoded(PublicMessage(framed, auth, tag)), fault)


def test_messages_of_other_groups_epochs_and_kinds() -> None:
    state = ALICE.snapshot
    for changes, fault in (
        ({"group_id": b"other"}, MlsFault.WRONG_GROUP),
        ({"epoch": 2}, MlsFault.EPOCH_AHEAD),
        ({"epoch": 0}, MlsFault.WRONG_EPOCH),
    ):
        context = replace(state.epoch.context, **changes)
        elsewhere = Group(replace(state, epoch=replace(state.epoch, context=context)), Rules())
        refused_by_bob(forge(elsewhere, Remove(2)), fault)
        refused_by_bob(forge(elsewhere, Remove(2), Framing()), fault)
    context = replace(state.epoch.context, epoch=0)
    earlier = Group(replace(state, epoch=replace(state.epoch, context=context)), Rules())
    refused_by_bob(forge(earlier, b"data", Framing()), MlsFault.EPOCH_FORGOTTEN)
    refused_by_bob(ALICE.group_info(), MlsFault.WRONG_WIRE_FORMAT)
    refused_by_bob(package().message(), MlsFault.WRONG_WIRE_FORMAT)
    refused_by_bob(b"\0\2" + forge(ALICE, Remove(2))[2:], MlsFault.WRONG_VERSION)
    refused_by_bob(b"\0\1\0\6", MlsFault.UNKNOWN_ENUM)
    refused_by_bob(b"", MlsFault.TRUNCATED)
    refused_by_bob(forge(ALICE, Remove(2)) + b"\0", MlsFault.TRAILING_BYTES)


def test_private_messages_that_do_not_decrypt() -> None:
    body = decode_message(forge(ALICE, b"data", Framing(authenticated_data=b"seen")))
    assert isinstance(body, PrivateMessage)
    sealed, ciphertext = body.encrypted_sender_data, body.ciphertext
    # The sample for the sender data is the first 32 bytes, so what lies behind them is the content's alone.
    for changed, fault in (
        (replace(body, encrypted_sender_data=b""), MlsFault.SENDER_DATA_OPEN_FAILED),
        (replace(body, encrypted_sender_data=sealed[:-1]), MlsFault.SENDER_DATA_OPEN_FAILED),
        (replace(body, encrypted_sender_data=sealed[:-1] + b"\0\0"), MlsFault.SENDER_DATA_OPEN_FAILED),
        (replace(body, ciphertext=b""), MlsFault.SENDER_DATA_OPEN_FAILED),
        (replace(body, ciphertext=ciphertext[:-1]), MlsFault.CONTENT_OPEN_FAILED),
        (replace(body, authenticated_data=b"unseen"), MlsFault.CONTENT_OPEN_FAILED),
    ):
        refused_by_bob(encode_message(WireFormat.PRIVATE_MESSAGE, changed.encode()), fault)


def test_generations_come_once_and_not_from_far_ahead() -> None:
    world = World("alice", "bob")
    alice, bob = world.groups.values()
    messages = []
    for _ in range(SKIPPED_PER_RATCHET_MAX + 2):
        alice, message = alice.encrypt(b"data", world.random)
        messages.append(message)
    refused(lambda: bob.process(messages[-1], NOW), MlsFault.GENERATION_TOO_FAR)
    bob = application(bob, messages[-2]).group
    bob = application(bob, messages[0]).group
    refused(lambda: bob.process(messages[0], NOW), MlsFault.GENERATION_CONSUMED)
    refused(lambda: bob.process(messages[-2], NOW), MlsFault.GENERATION_CONSUMED)
    bob = application(bob, messages[-1]).group
    assert application(bob, messages[1]).data == b"data"


def test_two_commits_for_one_epoch() -> None:
    world = World("alice", "bob", "carol")
    world.groups["alice"], first = world.groups["alice"].commit(world.random, NOW)
    world.groups["carol"], second = world.groups["carol"].commit(world.random, NOW)
    bob = staged(world.groups["bob"], first.message).apply(NOW)
    refused(lambda: bob.process(second.message, NOW), MlsFault.WRONG_EPOCH)
    refused(lambda: bob.process(first.message, NOW), MlsFault.WRONG_EPOCH)


# ── paths ────────────────────────────────────────────────────────────────────────────────────────────────────────


def with_path(change: Callable[[UpdatePath], UpdatePath]) -> bytes:
    """Alice's commit, its path changed, and signed and tagged again."""
    _, pending = Group.load(ALICE.state()).commit(WORLD.random, NOW, CommitOptions(framing=PUBLIC))
    commit = public(pending.message).content.content
    assert isinstance(commit, Commit)
    assert commit.path is not None
    return forge(ALICE, replace(commit, path=change(commit.path)), tag=bytes(32))


def cut_nodes(path: UpdatePath) -> UpdatePath:
    return replace(path, nodes=path.nodes[:-1])


def cut_ciphertexts(path: UpdatePath) -> UpdatePath:
    top = path.nodes[-1]
    return replace(path, nodes=(*path.nodes[:-1], replace(top, encrypted_path_secret=())))


def foreign_key(path: UpdatePath) -> UpdatePath:
    key = CAROL.member(2).leaf_node.encryption_key
    return replace(path, nodes=(replace(path.nodes[0], encryption_key=key), *path.nodes[1:]))


def other_key(path: UpdatePath) -> UpdatePath:
    key = WORLD.suite.derive_key_pair(b"other").public
    return replace(path, nodes=(replace(path.nodes[0], encryption_key=key), *path.nodes[1:]))


def spoilt_leaf(path: UpdatePath) -> UpdatePath:
    leaf = path.leaf_node
    return replace(path, leaf_node=replace(leaf, encoded=leaf.encoded[:-1] + bytes([leaf.encoded[-1] ^ 1])))


def old_leaf(path: UpdatePath) -> UpdatePath:
    return replace(path, leaf_node=ALICE.member(0).leaf_node)


def key_package_leaf(path: UpdatePath) -> UpdatePath:
    return replace(path, leaf_node=BOB.member(1).leaf_node)


def zero_ciphertext(path: UpdatePath) -> UpdatePath:
    bottom = path.nodes[0]
    sealed = tuple((output, bytes(len(ciphertext))) for output, ciphertext in bottom.encrypted_path_secret)
    return replace(path, nodes=(replace(bottom, encrypted_path_secret=sealed), *path.nodes[1:]))


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (cut_nodes, MlsFault.PATH_LENGTH),
        (cut_ciphertexts, MlsFault.PATH_CIPHERTEXTS),
        (foreign_key, MlsFault.PATH_KEY_IN_TREE),
        (other_key, MlsFault.PATH_PARENT_HASH),
        (spoilt_leaf, MlsFault.LEAF_SIGNATURE),
        (old_leaf, MlsFault.ENCRYPTION_KEY_UNCHANGED),
        (key_package_leaf, MlsFault.LEAF_SOURCE),
        (zero_ciphertext, MlsFault.HPKE_OPEN_FAILED),
        (lambda path: path, MlsFault.CONFIRMATION_TAG),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_paths_that_are_invalid(change: Callable[[UpdatePath], UpdatePath], fault: MlsFault) -> None:
    refused_by_bob(with_path(change), fault)


def test_a_path_secret_that_gives_another_key() -> None:
    epoch = ALICE.snapshot.epoch
    applied = apply_list((), epoch.tree, epoch.parameters)
    committer = Committer(LeafNodePlace(GROUP_ID, 0), content("alice"), signer("alice"))
    made = make_path(applied.tree, WORLD.suite, committer, WORLD.random)
    lie = replace(made, steps=tuple((node, copath, bytes(32)) for node, copath, _ in made.steps))
    context = provisional_context(epoch.context, applied).encoded
    path = encrypt_path(applied.tree, WORLD.suite, lie, context, ())
    refused_by_bob(forge(ALICE, Commit((), path), tag=bytes(32)), MlsFault.PATH_KEY_MISMATCH)


def test_a_path_that_was_not_encrypted_for_any_key_at_hand() -> None:
    state = BOB.snapshot
    keyless = Group(replace(state, epoch=replace(state.epoch, private_keys={})), Rules())
    message = with_path(lambda path: path)
    refused(lambda: keyless.process(message, NOW), MlsFault.PATH_NOT_FOR_US)


# ── the rest ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_padding_is_zero() -> None:
    class Padding(int):
        """What `bytes` makes of it ends with a one."""

        def __bytes__(self) -> bytes:
            return bytes(int(self) - 1) + b"\x01"

    refused_by_bob(forge(ALICE, b"data", Framing(padding=Padding(1))), MlsFault.NON_ZERO_PADDING)
    refused_by_bob(forge(ALICE, b"data", Framing(padding=Padding(99))), MlsFault.NON_ZERO_PADDING)


def test_so_many_proposals_wait_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("waypost.mls.steps.processing.PROPOSALS_MAX", 1)
    bob = proposal(Group.load(BOB.state()), forge(ALICE, Remove(2))).group
    refused(lambda: bob.process(forge(ALICE, Add(package())), NOW), MlsFault.TOO_MANY_PROPOSALS)


def test_a_commit_has_so_many_proposals_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("processing", "committing"):
        monkeypatch.setattr(f"waypost.mls.steps.{module}.COMMIT_PROPOSALS_MAX", 1)
    refused_by_bob(forged_commit(ALICE, Add(package()), Remove(2)), MlsFault.TOO_MANY_PROPOSALS)
    options = CommitOptions((Add(package()), Remove(2)))
    refused(lambda: BOB.commit(WORLD.random, NOW, options), MlsFault.TOO_MANY_PROPOSALS)


def test_nobody_sends_what_nobody_would_read() -> None:
    refused(lambda: BOB.encrypt(bytes(MESSAGE_MAX_BYTES), WORLD.random), MlsFault.TOO_LARGE)


def test_members_send_public_or_private_messages() -> None:
    framing = Framing(WireFormat.WELCOME)
    refused(lambda: BOB.propose(Remove(2), WORLD.random, NOW, framing), MlsFault.BAD_ARGUMENT)
    refused(lambda: BOB.encrypt(b"data", WORLD.random, PUBLIC), MlsFault.APPLICATION_NOT_PRIVATE)


def test_leaf_nodes_are_read_back_as_they_were_written() -> None:
    leaf = package().leaf_node
    assert isinstance(leaf, LeafNode)
    assert leaf.tbs == leaf.encoded[: len(leaf.tbs)]
