"""What a joiner refuses: Welcomes that are made as they should be but for one thing."""

from dataclasses import dataclass, field, replace
from functools import partial

import pytest
from scripts.support.mls.members import GROUP_ID, LIFETIME, NOW, Seeded, bundle, content, create, signer
from tests.mls.world import World, greasy, refused

from waypost.mls.base.codec import Reader
from waypost.mls.base.errors import MlsFault
from waypost.mls.base.kdf import ZERO
from waypost.mls.base.registry import ExtensionType, ResumptionPskUsage, SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import X25519_AES128, X25519_CHACHA20, CipherSuite
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.keys.key_schedule import schedule
from waypost.mls.keys.protection import sign_content
from waypost.mls.objects.commit import Commit, ProposalOrRef, ProposalRef
from waypost.mls.objects.credentials import read_credential
from waypost.mls.objects.extensions import Extension, Extensions, RequiredCapabilities
from waypost.mls.objects.framing import (
    FramedContent,
    FramedContentAuthData,
    PublicMessage,
    Sender,
    decode_message,
    encode_message,
)
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.key_package import KeyPackageBundle, KeyPackageSpec, make_key_package
from waypost.mls.objects.leaf_node import LeafNode, LeafNodeContent, LeafNodePlace, sign_for_commit
from waypost.mls.objects.proposals import Add, ExternalInit, ReInit, Remove, read_proposal
from waypost.mls.objects.psk import PskId, Psks, ResumptionPskId, psk_secret
from waypost.mls.objects.welcome import GroupSecrets, Welcome, seal_group_info, seal_secrets
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.joining import JoinOptions
from waypost.mls.tree.ratchet_tree import RatchetTree

BOB = bundle("bob", Seeded(2))
ALICE_LEAF = create("alice", Seeded(1)).member(0).leaf_node


def made_for(changed: LeafNodeContent, suite: CipherSuite = X25519_AES128) -> KeyPackageBundle:
    return make_key_package(KeyPackageSpec(suite, changed, LIFETIME), signer("bob"), Seeded(2))


@dataclass(frozen=True)
class Forged:
    """A Welcome of Alice to Bob, member 1 of 2, with something else than it should be."""

    bob: KeyPackageBundle = BOB
    alice: LeafNode = ALICE_LEAF
    suite: int = 1
    epoch: int = 1
    extensions: Extensions = ()
    tree: RatchetTree | None = None
    tree_hash: bytes | None = None
    tag: bytes | None = None
    signer: int = 0
    key: SignatureKey = field(default_factory=lambda: signer("alice"))
    path_secret: bytes | None = None
    psk_ids: tuple[PskId, ...] = ()
    psks: Psks = field(default_factory=Psks)

    def message(self, suite: CipherSuite = X25519_AES128) -> bytes:
        tree = self.tree or RatchetTree([self.alice, None, self.bob.key_package.leaf_node])
        tree_hash = self.tree_hash or tree.root_hash()
        context = GroupContext(self.suite, GROUP_ID, self.epoch, tree_hash, b"confirmed", self.extensions)
        begun = schedule(b"joiner secret", psk_secret(self.psk_ids, self.psks), context.encoded)
        tag = self.tag or begun.secrets.confirmation_tag(b"confirmed")
        extensions = (Extension(ExtensionType.RATCHET_TREE, tree.encode()),)
        info = GroupInfo.sign(context, extensions, tag, self.signer, self.key)
        sealed_info = seal_group_info(suite, begun.welcome_secret, info)
        secrets = GroupSecrets(b"joiner secret", self.path_secret, self.psk_ids)
        sealed = seal_secrets(suite, self.bob.key_package, sealed_info, secrets)
        return encode_message(WireFormat.WELCOME, Welcome(suite.value, (sealed,), sealed_info).encode())

    def join(self, options: JoinOptions | None = None) -> Group:
        return Group.join(self.message(), self.bob, options)


def test_the_forgery_is_good_where_nothing_is_changed() -> None:
    assert len(Forged().join().members()) == 2


def leaf_of(name: str, changed: LeafNodeContent) -> LeafNode:
    made = make_key_package(KeyPackageSpec(X25519_AES128, changed, LIFETIME), signer(name), Seeded(3))
    return made.key_package.leaf_node


REQUIRED = (RequiredCapabilities(extensions=(0xF123,)).extension(),)
UNKNOWN = (Extension(0xF123, b""),)
GREASY = replace(greasy(content("bob"), extensions=(0x0A0A,)))
ABLE = greasy(content("bob"), extensions=(0xF123,))


@pytest.mark.parametrize(
    ("forged", "fault"),
    [
        (Forged(signer=5), MlsFault.GROUP_INFO_SIGNER),
        (Forged(key=signer("bob")), MlsFault.GROUP_INFO_SIGNATURE),
        (Forged(signer=1), MlsFault.GROUP_INFO_SIGNATURE),
        (Forged(tag=bytes(32)), MlsFault.GROUP_INFO_CONFIRMATION),
        (Forged(tree_hash=bytes(32)), MlsFault.TREE_HASH_MISMATCH),
        (Forged(suite=3), MlsFault.WELCOME_SUITE),
        (Forged(tree=RatchetTree([ALICE_LEAF])), MlsFault.NOT_IN_TREE),
        (Forged(path_secret=bytes(32)), MlsFault.PATH_SECRET_MISMATCH),
        (Forged(signer=1, key=signer("bob"), path_secret=bytes(32)), MlsFault.GROUP_INFO_SIGNER),
        (Forged(extensions=UNKNOWN), MlsFault.EXTENSION_NOT_SUPPORTED),
        (Forged(extensions=(Extension(0x0A0A, b""),), bob=made_for(GREASY)), MlsFault.EXTENSION_NOT_SUPPORTED),
        (Forged(extensions=UNKNOWN, bob=made_for(ABLE)), MlsFault.LEAF_LACKS_GROUP_EXTENSION),
        (Forged(extensions=REQUIRED), MlsFault.LEAF_LACKS_REQUIRED),
        (Forged(alice=replace(ALICE_LEAF, encoded=ALICE_LEAF.encoded[:-1] + b"\0")), MlsFault.LEAF_SIGNATURE),
        (Forged(alice=leaf_of("bob", content("alice")), key=signer("bob")), MlsFault.SIGNATURE_KEY_TWICE),
        (
            Forged(extensions=(Extension(ExtensionType.REQUIRED_CAPABILITIES, b"\x01"),)),
            MlsFault.BAD_EXTENSION,
        ),
    ],
)
def test_welcomes_that_are_refused(forged: Forged, fault: MlsFault) -> None:
    refused(forged.join, fault)


def test_welcomes_that_do_not_open() -> None:
    body = decode_message(Forged().message())
    assert isinstance(body, Welcome)
    (secret,) = body.secrets

    def join(changed: Welcome) -> Group:
        return Group.join(encode_message(WireFormat.WELCOME, changed.encode()), BOB)

    # The encrypted group info is the context of the sealed secrets, so both fall together.
    spoilt = replace(body, encrypted_group_info=body.encrypted_group_info[:-1] + b"\0")
    refused(lambda: join(spoilt), MlsFault.HPKE_OPEN_FAILED)
    cut = replace(secret, sealed=(secret.sealed[0], secret.sealed[1][:-1]))
    refused(lambda: join(replace(body, secrets=(cut,))), MlsFault.HPKE_OPEN_FAILED)
    refused(lambda: join(replace(body, secrets=())), MlsFault.NO_KEY_PACKAGE)
    refused(lambda: join(replace(body, cipher_suite=3)), MlsFault.WELCOME_SUITE)
    refused(lambda: Group.join(BOB.key_package.message(), BOB), MlsFault.WRONG_WIRE_FORMAT)
    other = replace(BOB, signature_key=signer("carol"))
    refused(lambda: Group.join(Forged().message(), other), MlsFault.PRIVATE_KEY_MISMATCH)


def test_a_wrong_psk_leaves_the_group_info_closed() -> None:
    psk = ResumptionPskId(ResumptionPskUsage.APPLICATION, b"other", 7, bytes(32))
    forged = Forged(psk_ids=(psk,), psks=Psks({}, {(b"other", 7): b"secret"}))
    assert forged.join(JoinOptions(forged.psks)).epoch == 1
    wrong = JoinOptions(Psks({}, {(b"other", 7): b"wrong"}))
    refused(lambda: forged.join(wrong), MlsFault.GROUP_INFO_OPEN_FAILED)
    refused(forged.join, MlsFault.PSK_NOT_FOUND)
    short = Forged(psk_ids=(replace(psk, psk_nonce=b""),), psks=forged.psks)
    refused(lambda: short.join(JoinOptions(forged.psks)), MlsFault.PSK_NONCE_LENGTH)


def test_a_client_is_in_a_group_once() -> None:
    refused(lambda: Forged().join(JoinOptions(groups={GROUP_ID})), MlsFault.GROUP_EXISTS)


# ── successors ───────────────────────────────────────────────────────────────────────────────────────────────────

OLD = World("alice", "bob", "carol")
BRANCH = ResumptionPskId(ResumptionPskUsage.BRANCH, GROUP_ID, 1, bytes(32))
REINIT = ResumptionPskId(ResumptionPskUsage.REINIT, GROUP_ID, 1, bytes(32))


def succeed(*psk_ids: PskId, old: Group = OLD.groups["bob"], **changes: object) -> Group:
    psks = old.snapshot.own_psks()
    forged = Forged(psk_ids=psk_ids, psks=psks, **changes)  # type: ignore[arg-type]
    return forged.join(JoinOptions(predecessor=old.snapshot))


def test_branches_that_are_none() -> None:
    assert succeed(BRANCH).epoch == 1
    refused(lambda: succeed(BRANCH, epoch=2), MlsFault.SUCCESSOR_EPOCH)
    refused(lambda: succeed(BRANCH, REINIT), MlsFault.PSK_NOT_ALONE)
    stranger = leaf_of("mallory", content("mallory"))
    refused(lambda: succeed(BRANCH, alice=stranger, key=signer("mallory")), MlsFault.BRANCH_MEMBERS)
    other = World("alice", "bob", suite=X25519_CHACHA20).groups["bob"]
    refused(lambda: succeed(BRANCH, old=other), MlsFault.BRANCH_MISMATCH)
    psks = OLD.groups["bob"].snapshot.own_psks()
    forged = Forged(psk_ids=(BRANCH,), psks=psks)
    refused(lambda: forged.join(JoinOptions(psks)), MlsFault.NO_PREDECESSOR)


def test_reinitialised_groups_that_are_none() -> None:
    refused(lambda: succeed(REINIT), MlsFault.REINIT_MISMATCH)
    world = World("alice", "bob")
    asked = ReInit(GROUP_ID, 1, 1)
    world.commit("alice", CommitOptions((asked,)))
    bob = world.groups["bob"]
    right = replace(REINIT, psk_epoch=2)
    assert succeed(right, old=bob).epoch == 1
    # The resumption PSK of the epoch before the ReInit was committed does not do.
    refused(lambda: succeed(REINIT, old=bob), MlsFault.REINIT_MISMATCH)
    refused(lambda: succeed(right, old=bob, extensions=REQUIRED, bob=made_for(ABLE)), MlsFault.LEAF_LACKS_REQUIRED)
    refused(lambda: succeed(right, old=bob, extensions=(Extension(1, b""),)), MlsFault.REINIT_MISMATCH)
    world = World("alice", "bob", "carol")
    world.commit("alice", CommitOptions((asked,)))
    refused(lambda: succeed(right, old=world.groups["bob"]), MlsFault.REINIT_MEMBERS)


# ── external commits ─────────────────────────────────────────────────────────────────────────────────────────────


def external(*proposals: ProposalOrRef, resync: int | None = None, name: str = "dave") -> tuple[World, bytes]:
    """Dave's external commit with other proposals than his own; signed again, its tag wrong."""
    world = World("alice", "bob", "carol")
    info = world.groups["alice"].group_info()
    options = ExternalJoinOptions(content(name), signer(name), resync=resync)
    _, message = join_by_external_commit(info, options, world.random, NOW)
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    commit = body.content.content
    assert isinstance(commit, Commit)
    if proposals:
        commit = replace(commit, proposals=(*commit.proposals, *proposals))
    return world, _sign(world, commit, name)


def _sign(world: World, commit: Commit, name: str = "dave") -> bytes:
    sender = Sender(SenderType.NEW_MEMBER_COMMIT)
    framed = FramedContent.make(GROUP_ID, 1, sender, b"", commit)
    context = world.groups["alice"].snapshot.epoch.context.encoded
    signature = sign_content(WireFormat.PUBLIC_MESSAGE, framed, context, signer(name))
    message = PublicMessage(framed, FramedContentAuthData(signature, ZERO))
    return encode_message(WireFormat.PUBLIC_MESSAGE, message.encode())


@pytest.mark.parametrize(
    ("proposal", "fault"),
    [
        (ExternalInit(bytes(32)), MlsFault.EXTERNAL_COMMIT_INIT),
        (Add(bundle("eve", Seeded(4)).key_package), MlsFault.EXTERNAL_COMMIT_PROPOSAL),
        (ReInit(b"new", 1, 1), MlsFault.EXTERNAL_COMMIT_PROPOSAL),
        (ProposalRef(bytes(32)), MlsFault.EXTERNAL_COMMIT_REFERENCE),
        (Remove(9), MlsFault.REMOVE_OF_BLANK),
        (Remove(2), MlsFault.RESYNC_OF_OTHER),
    ],
)
def test_external_commits_with_what_they_may_not_have(proposal: ProposalOrRef, fault: MlsFault) -> None:
    world, message = external(proposal)
    refused(lambda: world.groups["bob"].process(message, NOW), fault)


def test_an_external_commit_removes_one_leaf_at_most() -> None:
    world, message = external(Remove(1), resync=2, name="carol")
    refused(lambda: world.groups["bob"].process(message, NOW), MlsFault.EXTERNAL_COMMIT_REMOVES)


def test_an_external_commit_without_its_init_or_with_a_wrong_tag() -> None:
    world, message = external()
    refused(lambda: world.groups["bob"].process(message, NOW), MlsFault.CONFIRMATION_TAG)
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    commit = body.content.content
    assert isinstance(commit, Commit)
    without = _sign(world, replace(commit, proposals=()))
    refused(lambda: world.groups["bob"].process(without, NOW), MlsFault.EXTERNAL_COMMIT_INIT)
    spoilt = replace(body, auth=replace(body.auth, signature=bytes(64)))
    message = encode_message(WireFormat.PUBLIC_MESSAGE, spoilt.encode())
    refused(lambda: world.groups["bob"].process(message, NOW), MlsFault.MESSAGE_SIGNATURE)


def test_one_who_comes_back_has_a_new_encryption_key() -> None:
    world, message = external(resync=2, name="carol")
    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    commit = body.content.content
    assert isinstance(commit, Commit)
    assert commit.path is not None
    old = world.groups["carol"].member(2).leaf_node.encryption_key
    leaf = sign_for_commit(content("carol"), old, b"", LeafNodePlace(GROUP_ID, 2), signer("carol"))
    kept = _sign(world, replace(commit, path=replace(commit.path, leaf_node=leaf)), "carol")
    refused(lambda: world.groups["bob"].process(kept, NOW), MlsFault.RESYNC_KEY_UNCHANGED)


def test_a_group_info_without_an_external_key() -> None:
    group = OLD.groups["alice"]
    epoch = group.snapshot.epoch
    tree = (Extension(ExtensionType.RATCHET_TREE, group.ratchet_tree()),)
    info = GroupInfo.sign(epoch.context, tree, epoch.confirmation_tag(), 0, signer("alice"))
    message = encode_message(WireFormat.GROUP_INFO, info.encode())
    options = ExternalJoinOptions(content("dave"), signer("dave"))
    refused(partial(join_by_external_commit, message, options, Seeded(), NOW), MlsFault.NO_EXTERNAL_PUB)


# ── structures ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_has_no_known_type_cannot_be_read() -> None:
    refused(lambda: read_credential(Reader(b"\xf0\0\0")), MlsFault.UNKNOWN_CREDENTIAL)
    refused(lambda: read_proposal(Reader(b"\x0a\x0a\0")), MlsFault.UNKNOWN_PROPOSAL)


def test_a_blank_leaf_has_no_member() -> None:
    refused(lambda: OLD.groups["alice"].member(3), MlsFault.LEAF_BLANK)
