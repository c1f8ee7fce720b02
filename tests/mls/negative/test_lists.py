"""Lists of proposals (RFC 9420 §12.2) and what they must respect: capabilities, PSKs, ReInit (§7.3, §11, §13)."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, Seeded, bundle, content, create, signer
from tests.mls.world import PUBLIC, World, forge, forged_commit, greasy, proposal, refused, staged

from waypost.mls.base.bounds import Rules
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import GREASE, CredentialType, ExtensionType, ResumptionPskUsage, SenderType
from waypost.mls.group import Group
from waypost.mls.objects.commit import Commit, ProposalOrRef, ProposalRef
from waypost.mls.objects.extensions import Extension, ExternalSender, RequiredCapabilities, external_senders_extension
from waypost.mls.objects.framing import Sender
from waypost.mls.objects.key_package import KeyPackage, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNodeContent, LeafNodePlace, sign_for_update
from waypost.mls.objects.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
)
from waypost.mls.objects.psk import ExternalPskId, PskId, Psks, ResumptionPskId
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.creating import GroupSpec
from waypost.mls.steps.proposal_list import ProposalView, SentProposal, check_external_list, check_sender
from waypost.mls.steps.sending import Framing

GREASY = {
    "cipher_suites": (1, GREASE[0]),
    "extensions": (GREASE[1],),
    "proposals": (GREASE[2],),
    "credentials": (CredentialType.BASIC, GREASE[3]),
}


def package(changed: LeafNodeContent, name: str = "dave") -> KeyPackage:
    return make_key_package(KeyPackageSpec(World("x").suite, changed, LIFETIME), signer(name), Seeded(8)).key_package


def update(leaf_index: int, name: str, seed: int, changed: LeafNodeContent | None = None) -> Update:
    key = World("x").suite.derive_key_pair(Seeded(seed)(32)).public
    return Update(sign_for_update(changed or content(name), key, LeafNodePlace(GROUP_ID, leaf_index), signer(name)))


def heard_by_bob(world: World, by: str, carried: Proposal) -> ProposalRef:
    heard = proposal(world.groups["bob"], forge(world.groups[by], carried))
    world.groups["bob"] = heard.group
    return ProposalRef(heard.reference)


def refused_by_bob(world: World, fault: MlsFault, *proposals: ProposalOrRef) -> None:
    message = forged_commit(world.groups["alice"], *proposals)
    refused(lambda: world.groups["bob"].process(message, NOW), fault)


# ── one leaf, one change ─────────────────────────────────────────────────────────────────────────────────────────


def test_an_update_and_a_remove_of_one_leaf() -> None:
    world = World("alice", "bob", "carol")
    reference = heard_by_bob(world, "carol", update(2, "carol", 1))
    refused_by_bob(world, MlsFault.LEAF_CHANGED_TWICE, reference, Remove(2))
    refused_by_bob(world, MlsFault.LEAF_CHANGED_TWICE, Remove(2), reference)
    refused_by_bob(world, MlsFault.LEAF_CHANGED_TWICE, reference, reference)


def test_two_updates_of_one_leaf() -> None:
    world = World("alice", "bob", "carol")
    references = [heard_by_bob(world, "carol", update(2, "carol", seed)) for seed in (1, 2)]
    refused_by_bob(world, MlsFault.LEAF_CHANGED_TWICE, *references)


def test_the_committers_own_update_by_reference_and_by_value() -> None:
    world = World("alice", "bob", "carol")
    own = update(0, "alice", 1)
    refused_by_bob(world, MlsFault.UPDATE_BY_COMMITTER, own)
    refused_by_bob(world, MlsFault.UPDATE_BY_COMMITTER, heard_by_bob(world, "alice", own))


def test_the_committers_removal_whoever_proposes_it() -> None:
    world = World("alice", "bob", "carol")
    refused_by_bob(world, MlsFault.REMOVE_OF_COMMITTER, Remove(0))
    refused_by_bob(world, MlsFault.REMOVE_OF_COMMITTER, heard_by_bob(world, "carol", Remove(0)))


@pytest.mark.parametrize("leaf", [3, 4, 2**31, 2**32 - 1])
def test_removes_of_nobody(leaf: int) -> None:
    refused_by_bob(World("alice", "bob", "carol"), MlsFault.REMOVE_OF_BLANK, Remove(leaf))


# ── adds ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_one_client_is_added_once() -> None:
    world = World("alice", "bob", "carol")
    one, other = (Add(bundle("dave", Seeded(seed)).key_package) for seed in (1, 2))
    refused_by_bob(world, MlsFault.ADD_TWICE, one, one)
    refused_by_bob(world, MlsFault.ADD_TWICE, one, other)
    refused_by_bob(world, MlsFault.ADD_TWICE, heard_by_bob(world, "carol", one), other)
    refused_by_bob(world, MlsFault.ADD_OF_MEMBER, Add(bundle("carol", Seeded(1)).key_package))
    refused_by_bob(world, MlsFault.ADD_OF_MEMBER, Add(bundle("alice", Seeded(1)).key_package))
    # The removal of another does not make room for Carol's twin.
    refused_by_bob(world, MlsFault.ADD_OF_MEMBER, Remove(1), Add(bundle("carol", Seeded(1)).key_package))


def test_two_clients_with_one_encryption_key() -> None:
    world = World("alice", "bob")
    added = [
        Add(make_key_package(KeyPackageSpec(world.suite, content(name), LIFETIME), signer(name), Seeded(1)).key_package)
        for name in ("dave", "eve")
    ]
    refused_by_bob(world, MlsFault.ENCRYPTION_KEY_TWICE, *added)


# ── capabilities ─────────────────────────────────────────────────────────────────────────────────────────────────

REQUIRED = {
    "extension": RequiredCapabilities(extensions=(0xF123,)),
    "proposal": RequiredCapabilities(proposals=(0xF123,)),
    "credential": RequiredCapabilities(credentials=(CredentialType.X509,)),
}
ABLE: dict[str, tuple[int, ...]] = {"extensions": (0xF123,), "proposals": (0xF123,), "credentials": (1, 2)}


def able_world(*extensions: Extension) -> World:
    """Alice and Bob support everything above."""
    world = World("alice")
    spec_content = greasy(content("alice"), **ABLE)
    spec = GroupSpec(GROUP_ID, world.suite, spec_content, LIFETIME, extensions)
    world.groups["alice"] = Group.create(spec, signer("alice"), world.random)
    made = make_key_package(
        KeyPackageSpec(world.suite, greasy(content("bob"), **ABLE), LIFETIME), signer("bob"), world.random
    )
    (welcome,) = world.commit("alice", CommitOptions((Add(made.key_package),)))
    world.groups["bob"] = Group.join(welcome, made)
    return world


@pytest.mark.parametrize("kind", REQUIRED)
def test_who_lacks_what_is_required_does_not_come_in(kind: str) -> None:
    world = able_world(REQUIRED[kind].extension())
    plain = Add(package(content("dave")))
    refused_by_bob(world, MlsFault.LEAF_LACKS_REQUIRED, plain)
    refused(lambda: world.groups["bob"].process(forge(world.groups["alice"], plain), NOW), MlsFault.LEAF_LACKS_REQUIRED)
    world.groups["bob"].commit(world.random, NOW, CommitOptions((Add(package(greasy(content("dave"), **ABLE))),)))


@pytest.mark.parametrize("kind", REQUIRED)
def test_nobody_stops_supporting_what_is_required(kind: str) -> None:
    world = able_world(REQUIRED[kind].extension())
    lazy = update(0, "alice", 1)
    refused(lambda: world.groups["bob"].process(forge(world.groups["alice"], lazy), NOW), MlsFault.LEAF_LACKS_REQUIRED)
    options = CommitOptions(leaf=content("alice"))
    refused(lambda: world.groups["alice"].commit(world.random, NOW, options), MlsFault.LEAF_LACKS_REQUIRED)


@pytest.mark.parametrize("kind", REQUIRED)
def test_requirements_come_before_the_adds_beside_them(kind: str) -> None:
    world = able_world()
    new = GroupContextExtensions((REQUIRED[kind].extension(),))
    refused_by_bob(world, MlsFault.LEAF_LACKS_REQUIRED, Add(package(content("dave"))), new)
    # One who stays counts, one who is removed by the same commit does not. (Carol does not know X.509 either, so
    # she would not have come into a group that uses it.)
    if kind != "credential":
        world.add("alice", "carol")
        refused_by_bob(world, MlsFault.REQUIRED_NOT_SUPPORTED, new)
        world.groups["alice"].commit(world.random, NOW, CommitOptions((Remove(2), new)))


def test_extensions_of_the_group_are_supported_by_all() -> None:
    world = able_world()
    new = GroupContextExtensions((Extension(0xF123, b"content"),))
    world.commit("alice", CommitOptions((new,)))
    refused_by_bob(world, MlsFault.LEAF_LACKS_GROUP_EXTENSION, Add(package(content("dave"))))
    plain = World("alice", "bob")
    refused_by_bob(plain, MlsFault.CONTEXT_EXTENSION_NOT_SUPPORTED, new)


def test_extensions_of_a_leaf_are_in_its_capabilities() -> None:
    world = World("alice", "bob")
    for kind in (0xF123, GREASE[0], 6, 0xFFFF):
        changed = replace(content("dave"), extensions=(Extension(kind, b""),))
        refused_by_bob(world, MlsFault.LEAF_EXTENSION_UNLISTED, Add(package(changed)))
        listed = replace(greasy(content("dave"), extensions=(kind,)), extensions=(Extension(kind, b""),))
        refused_by_bob(world, MlsFault.CONFIRMATION_TAG, Add(package(listed)))


def test_credential_types_are_shared() -> None:
    world = World("alice", "bob")
    deaf = greasy(content("dave"), credentials=(CredentialType.X509,))
    refused_by_bob(world, MlsFault.LEAF_CREDENTIAL_UNLISTED, Add(package(deaf)))
    refused(lambda: create_with(deaf), MlsFault.LEAF_CREDENTIAL_UNLISTED)


def create_with(changed: LeafNodeContent) -> Group:
    return Group.create(GroupSpec(GROUP_ID, World("x").suite, changed, LIFETIME), signer("dave"), Seeded())


# ── GREASE (§13.5) ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", GREASE, ids=hex)
def test_grease_is_tolerated_where_it_may_be(value: int) -> None:
    world = World("alice", "bob")
    lists = {"extensions": (value,), "proposals": (value,), "credentials": (1, value), "cipher_suites": (1, value)}
    changed = replace(greasy(content("dave"), **lists), extensions=(Extension(value, b"\xff"),))
    spec = KeyPackageSpec(world.suite, changed, LIFETIME, (Extension(value, b""),))
    made = make_key_package(spec, signer("dave"), world.random)
    options = CommitOptions((Add(made.key_package),), group_info_extensions=(Extension(value, b"\0"),))
    (welcome,) = world.commit("alice", options)
    world.groups["dave"] = Group.join(welcome, made)
    world.commit("dave", CommitOptions(leaf=changed))
    world.check_agreement()


@pytest.mark.parametrize("value", GREASE, ids=hex)
def test_grease_means_nothing_where_something_is_meant(value: int) -> None:
    world = World("alice", "bob")
    refused_by_bob(world, MlsFault.CONTEXT_EXTENSION_NOT_SUPPORTED, GroupContextExtensions((Extension(value, b""),)))
    body = forge(world.groups["alice"], Remove(1))
    at = body.index(b"\0\3\0\0\0\1", 30)
    spoilt = body[:at] + value.to_bytes(2, "big") + body[at + 2 :]
    refused(lambda: world.groups["bob"].process(spoilt, NOW), MlsFault.UNKNOWN_PROPOSAL)


# ── group context extensions ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("extension", "fault"),
    [
        (Extension(ExtensionType.REQUIRED_CAPABILITIES, b""), MlsFault.BAD_EXTENSION),
        (Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\0\0\0\0"), MlsFault.BAD_EXTENSION),
        (Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\1\1\0\0"), MlsFault.BAD_EXTENSION),
        (Extension(ExtensionType.EXTERNAL_SENDERS, b""), MlsFault.BAD_EXTENSION),
        (Extension(ExtensionType.EXTERNAL_SENDERS, b"\0\0"), MlsFault.BAD_EXTENSION),
        (external_senders_extension((ExternalSender(bytes(32), content("x").credential),)), MlsFault.BAD_SIGNATURE_KEY),
        (external_senders_extension((ExternalSender(b"", content("x").credential),)), MlsFault.BAD_SIGNATURE_KEY),
        (
            external_senders_extension((ExternalSender(b"\1" + bytes(31), content("x").credential),)),
            MlsFault.BAD_SIGNATURE_KEY,
        ),
    ],
)
def test_extensions_that_cannot_be_read(extension: Extension, fault: MlsFault) -> None:
    world = World("alice", "bob")
    new = GroupContextExtensions((extension,))
    refused_by_bob(world, fault, new)
    refused(lambda: world.groups["bob"].commit(world.random, NOW, CommitOptions((new,))), fault)
    with pytest.raises(MlsError):
        create("alice", Seeded(), extensions=(extension,))


# ── PSKs ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def external(nonce: bytes = bytes(32), psk_id: bytes = b"psk") -> ExternalPskId:
    return ExternalPskId(psk_id, nonce)


def resumption(usage: ResumptionPskUsage, epoch: int = 1, group_id: bytes = GROUP_ID) -> ResumptionPskId:
    return ResumptionPskId(usage, group_id, epoch, bytes(32))


@pytest.mark.parametrize(
    ("ids", "fault"),
    [
        *(([external(bytes(size))], MlsFault.PSK_NONCE_LENGTH) for size in (0, 1, 31, 33, 64)),
        ([external(), external()], MlsFault.PSK_TWICE),
        ([external(), external(b"\1" * 32), external()], MlsFault.PSK_TWICE),
        ([resumption(ResumptionPskUsage.APPLICATION)] * 2, MlsFault.PSK_TWICE),
        ([resumption(ResumptionPskUsage.REINIT)], MlsFault.PSK_USAGE),
        ([resumption(ResumptionPskUsage.BRANCH)], MlsFault.PSK_USAGE),
        ([external(), resumption(ResumptionPskUsage.BRANCH)], MlsFault.PSK_USAGE),
        ([external()], MlsFault.PSK_NOT_FOUND),
        ([resumption(ResumptionPskUsage.APPLICATION, 0)], MlsFault.PSK_NOT_FOUND),
        ([resumption(ResumptionPskUsage.APPLICATION, 2)], MlsFault.PSK_NOT_FOUND),
        ([resumption(ResumptionPskUsage.APPLICATION, 1, b"other")], MlsFault.PSK_NOT_FOUND),
    ],
)
def test_psks(ids: list[PskId], fault: MlsFault) -> None:
    world = World("alice", "bob")
    refused_by_bob(world, fault, *map(PreSharedKey, ids))
    options = CommitOptions(tuple(map(PreSharedKey, ids)))
    refused(lambda: world.groups["bob"].commit(world.random, NOW, options), fault)


def test_psks_in_another_order_give_another_epoch() -> None:
    world, psks = World("alice", "bob"), Psks({b"one": b"1", b"two": b"2"})
    ids = [PreSharedKey(external(psk_id=name)) for name in (b"one", b"two")]
    _, pending = Group.load(world.groups["alice"].state()).commit(
        world.random, NOW, CommitOptions(tuple(ids), framing=PUBLIC), psks
    )
    swapped = Psks({b"one": b"2", b"two": b"1"})
    refused(lambda: world.groups["bob"].process(pending.message, NOW, swapped), MlsFault.CONFIRMATION_TAG)
    assert staged(world.groups["bob"], pending.message, psks).changes.psks == tuple(each.psk for each in ids)


# ── ReInit ───────────────────────────────────────────────────────────────────────────────────────────────────────

REINIT = ReInit(b"new", 1, 1)


@pytest.mark.parametrize("other", [Remove(2), PreSharedKey(external()), GroupContextExtensions(()), REINIT])
def test_a_reinit_is_alone(other: Proposal) -> None:
    world = World("alice", "bob", "carol")
    refused_by_bob(world, MlsFault.REINIT_NOT_ALONE, REINIT, other)
    refused_by_bob(world, MlsFault.REINIT_NOT_ALONE, other, REINIT)
    refused_by_bob(world, MlsFault.REINIT_NOT_ALONE, heard_by_bob(world, "carol", REINIT), other)


def test_after_a_reinit_nothing_is_sent_or_committed() -> None:
    world = World("alice", "bob", "carol")
    world.commit("alice", CommitOptions((REINIT,)))
    bob = world.groups["bob"]
    calls: list[Callable[[], object]] = [
        partial(bob.encrypt, b"data", world.random),
        partial(bob.propose, Remove(2), world.random, NOW),
        partial(bob.propose_update, world.random, NOW),
        partial(bob.commit, world.random, NOW),
        bob.group_info,
        *(
            partial(bob.process, forge(world.groups["alice"], carried, Framing()), NOW)
            for carried in (Remove(2), Commit((), None))
        ),
    ]
    for call in calls:
        refused(call, MlsFault.GROUP_REINITIALISED)


def test_checks_stand_by_themselves() -> None:
    """What an earlier check would have stopped is stopped again by the later one."""
    refused(lambda: check_sender(Remove(1), Sender(SenderType.NEW_MEMBER_PROPOSAL)), MlsFault.NEW_MEMBER_PROPOSAL_TYPE)
    epoch = World("alice").groups["alice"].snapshot.epoch
    view = ProposalView(epoch.tree, epoch.parameters, NOW, Rules())
    by_reference = SentProposal(ExternalInit(bytes(32)), Sender(SenderType.NEW_MEMBER_COMMIT), b"a reference")
    refused(lambda: check_external_list((by_reference,), view), MlsFault.EXTERNAL_COMMIT_REFERENCE)
