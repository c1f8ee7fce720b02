"""Signatures that are missing, empty, foreign, of another label, place, group or epoch, or under a bad key.

Every signed structure of RFC 9420 is here: §6.1 messages, §7.2 leaf nodes, §10 key packages, §12.4.3 GroupInfo.
"""

from dataclasses import replace
from functools import partial

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from scripts.support.mls.members import GROUP_ID, NOW, Seeded, bundle, content, signer
from tests.mls.test_joining_refusals import ALICE_LEAF, Forged
from tests.mls.world import PUBLIC, World, application, forge, refused
from tests.vectors import load_vectors

from waypost.mls.base import signing
from waypost.mls.base.bounds import Rules
from waypost.mls.base.codec import Reader, opaque
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.external import ExternalJoinOptions, join_by_external_commit
from waypost.mls.group import Group
from waypost.mls.keys.protection import framed_content_tbs, sign_content
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.framing import (
    Content,
    FramedContent,
    FramedContentAuthData,
    PublicMessage,
    Sender,
    decode_message,
    encode_message,
)
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import LeafNode, LeafNodePlace, sign_for_commit, sign_for_update
from waypost.mls.objects.proposals import Add, Remove, Update
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.steps.epoch import SignedContent
from waypost.mls.steps.joining import read_group_info
from waypost.mls.steps.sending import Framing, UpdateOptions, protect, sign

WORLD = World("alice", "bob", "carol")
ALICE, BOB_GROUP, CAROL = WORLD.groups.values()
FRAMINGS = [pytest.param(Framing(), id="private"), pytest.param(PUBLIC, id="public")]
CONTENTS: dict[str, Content] = {"data": b"data", "proposal": Remove(2), "commit": Commit((), None)}
LABELS = (signing.LEAF_NODE, signing.KEY_PACKAGE, signing.GROUP_INFO, b"", b"framedcontenttbs")


def tbs_of(group: Group, carried: Content, framing: Framing) -> bytes:
    state = group.snapshot
    made = sign(state.epoch, carried, framing)
    return framed_content_tbs(made.wire_format, made.content, state.epoch.context.encoded)


def with_signature(group: Group, carried: Content, framing: Framing, signature: bytes) -> bytes:
    """The member's message, protected with the right keys and tags, with that signature."""
    state = group.snapshot
    signed: SignedContent = replace(sign(state.epoch, carried, framing), signature=signature)
    tag = bytes(32) if isinstance(carried, Commit) else None
    _, message, _ = protect(state, signed, tag, framing, Seeded(9))
    return message


def bad_signatures(group: Group, carried: Content, framing: Framing) -> dict[str, bytes]:
    tbs, key = tbs_of(group, carried, framing), signer("alice")
    good = key.sign_with_label(signing.FRAMED_CONTENT, tbs)
    other_format = WireFormat.PUBLIC_MESSAGE if framing is not PUBLIC else WireFormat.PRIVATE_MESSAGE
    state = group.snapshot.epoch
    framed = sign(state, carried, framing).content
    contexts = {
        "another group": replace(state.context, group_id=b"other"),
        "the epoch before": replace(state.context, epoch=state.context.epoch - 1),
        "the epoch after": replace(state.context, epoch=state.context.epoch + 1),
        "another tree": replace(state.context, tree_hash=bytes(32)),
    }
    return {
        "empty": b"",
        "zero": bytes(64),
        "short": good[:-1],
        "long": good + b"\0",
        "reversed": good[::-1],
        "another member's": signer("carol").sign_with_label(signing.FRAMED_CONTENT, tbs),
        "the receiver's own": signer("bob").sign_with_label(signing.FRAMED_CONTENT, tbs),
        "a stranger's": signer("mallory").sign_with_label(signing.FRAMED_CONTENT, tbs),
        "for the other wire format": sign_content(other_format, framed, state.context.encoded, key),
        "without the context": sign_content(framing.wire_format, framed, b"", key),
        **{f"label {label!r}": key.sign_with_label(label, tbs) for label in LABELS},
        **{name: sign_content(framing.wire_format, framed, each.encoded, key) for name, each in contexts.items()},
    }


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("kind", CONTENTS)
def test_messages(kind: str, framing: Framing) -> None:
    carried = CONTENTS[kind]
    if framing is PUBLIC and kind == "data":
        return
    for signature in bad_signatures(ALICE, carried, framing).values():
        message = with_signature(ALICE, carried, framing, signature)
        refused(partial(BOB_GROUP.process, message, NOW), MlsFault.MESSAGE_SIGNATURE)


@pytest.mark.parametrize("framing", FRAMINGS)
def test_nobody_speaks_as_someone_else(framing: Framing) -> None:
    """Member 2 has every key of the epoch, so it can encrypt as member 0 and tag as any; it cannot sign as 0."""
    state = CAROL.snapshot
    for leaf in (0, 3, 2**31):
        pose = Group(replace(state, epoch=replace(state.epoch, leaf_index=leaf)), Rules())
        fault = MlsFault.MESSAGE_SIGNATURE if leaf == 0 else MlsFault.SENDER_BLANK
        for carried in CONTENTS.values():
            if leaf >= 4 and framing is not PUBLIC:
                continue
            if not (carried == b"data" and framing is PUBLIC):
                refused(partial(BOB_GROUP.process, forge(pose, carried, framing), NOW), fault)


def test_a_key_that_has_been_replaced_signs_nothing_more() -> None:
    world = World("alice", "bob", "carol")
    before = world.groups["alice"].snapshot.epoch.signature_key
    world.groups["alice"], late = world.groups["alice"].encrypt(b"late", world.random)
    update = UpdateOptions(signature_key=signer("alice, later"))
    world.groups["alice"], message = world.groups["alice"].propose_update(world.random, NOW, update)
    world.hear(message, but="alice")
    world.commit("carol")
    alice, bob = world.groups["alice"].snapshot, world.groups["bob"]
    stale = Group(replace(alice, epoch=replace(alice.epoch, signature_key=before)), Rules())
    for carried in (b"data", Remove(2), Commit((), None)):
        refused(partial(bob.process, forge(stale, carried, Framing()), NOW), MlsFault.MESSAGE_SIGNATURE)
    # What she signed while it was hers stays hers.
    assert application(bob, late).data == b"late"


# ── leaf nodes ───────────────────────────────────────────────────────────────────────────────────────────────────


def resigned(leaf: LeafNode, signature: bytes) -> LeafNode:
    return LeafNode.read(Reader(leaf.tbs + opaque(signature)))


def bad_leaf_signatures(leaf: LeafNode, key: SignatureKey, context: bytes) -> dict[str, bytes]:
    good = key.sign_with_label(signing.LEAF_NODE, leaf.tbs + context)
    return {
        "empty": b"",
        "zero": bytes(64),
        "short": good[:-1],
        "long": good + b"\0",
        "foreign": signer("mallory").sign_with_label(signing.LEAF_NODE, leaf.tbs + context),
        "another label": key.sign_with_label(signing.KEY_PACKAGE, leaf.tbs + context),
        "another content": key.sign_with_label(signing.LEAF_NODE, leaf.tbs + context + b"\0"),
    }


PLACES = {
    "no place": b"",
    "another leaf": opaque(GROUP_ID) + (1).to_bytes(4, "big"),
    "another group": opaque(b"other") + bytes(4),
}


def misplaced(leaf: LeafNode) -> dict[str, bytes]:
    """Alice's signatures of her leaf for other places than hers."""
    return {name: signer("alice").sign_with_label(signing.LEAF_NODE, leaf.tbs + at) for name, at in PLACES.items()}


def test_leaf_nodes_of_updates() -> None:
    key = WORLD.suite.derive_key_pair(WORLD.random(32)).public
    place = LeafNodePlace(GROUP_ID, 0)
    leaf = sign_for_update(content("alice"), key, place, signer("alice"))
    signatures = bad_leaf_signatures(leaf, signer("alice"), opaque(GROUP_ID) + bytes(4))
    signatures |= {
        name: signer("alice").sign_with_label(signing.LEAF_NODE, leaf.tbs + at) for name, at in PLACES.items()
    }
    for signature in signatures.values():
        message = forge(ALICE, Update(resigned(leaf, signature)))
        refused(partial(BOB_GROUP.process, message, NOW), MlsFault.LEAF_SIGNATURE)


def test_leaf_nodes_of_commits() -> None:
    made = Group.load(ALICE.state()).commit(WORLD.random, NOW, CommitOptions(framing=PUBLIC))[1]
    commit = commit_of(made.message)
    assert commit.path is not None
    leaf = commit.path.leaf_node
    signatures = bad_leaf_signatures(leaf, signer("alice"), opaque(GROUP_ID) + bytes(4))
    signatures |= {
        name: signer("alice").sign_with_label(signing.LEAF_NODE, leaf.tbs + at) for name, at in PLACES.items()
    }
    for signature in signatures.values():
        spoilt = replace(commit.path, leaf_node=resigned(leaf, signature))
        message = forge(ALICE, replace(commit, path=spoilt), tag=bytes(32))
        refused(partial(BOB_GROUP.process, message, NOW), MlsFault.LEAF_SIGNATURE)


def commit_of(message: bytes) -> Commit:

    body = decode_message(message)
    assert isinstance(body, PublicMessage)
    assert isinstance(body.content.content, Commit)
    return body.content.content


def test_leaf_nodes_of_a_tree_that_is_joined() -> None:
    for signature in bad_leaf_signatures(ALICE_LEAF, signer("alice"), b"").values():
        refused(Forged(alice=resigned(ALICE_LEAF, signature)).join, MlsFault.LEAF_SIGNATURE)
    for place in (LeafNodePlace(b"other", 0), LeafNodePlace(GROUP_ID, 1)):
        elsewhere = sign_for_commit(content("alice"), bytes([9]) + bytes(31), b"", place, signer("alice"))
        refused(Forged(alice=elsewhere).join, MlsFault.LEAF_SIGNATURE)


# ── key packages ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_key_packages() -> None:
    package, key = bundle("dave", Seeded(4)).key_package, signer("dave")
    good = key.sign_with_label(signing.KEY_PACKAGE, package.tbs)
    for signature in (
        b"",
        bytes(64),
        good[:-1],
        good + b"\0",
        signer("mallory").sign_with_label(signing.KEY_PACKAGE, package.tbs),
        key.sign_with_label(signing.LEAF_NODE, package.tbs),
        key.sign_with_label(signing.KEY_PACKAGE, package.tbs + b"\0"),
    ):
        spoilt = KeyPackage.read(Reader(package.tbs + opaque(signature)))
        for framing in (PUBLIC, Framing()):
            message = forge(ALICE, Add(spoilt), framing)
            refused(partial(BOB_GROUP.process, message, NOW), MlsFault.KEY_PACKAGE_SIGNATURE)
        refused(
            partial(Group.load(BOB_GROUP.state()).commit, WORLD.random, NOW, CommitOptions((Add(spoilt),))),
            MlsFault.KEY_PACKAGE_SIGNATURE,
        )


def test_an_own_add_is_signed_by_who_is_added() -> None:
    package = bundle("dave", Seeded(4)).key_package
    framed = FramedContent.make(GROUP_ID, 1, Sender(SenderType.NEW_MEMBER_PROPOSAL), b"", Add(package))
    for name in ("mallory", "alice"):
        signature = sign_content(WireFormat.PUBLIC_MESSAGE, framed, b"", signer(name))
        body = PublicMessage(framed, FramedContentAuthData(signature))
        message = encode_message(WireFormat.PUBLIC_MESSAGE, body.encode())
        refused(partial(BOB_GROUP.process, message, NOW), MlsFault.MESSAGE_SIGNATURE)


# ── GroupInfo ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_group_infos_from_outside() -> None:
    info = read_group_info(ALICE.group_info())
    tbs = info.encode()[: -len(opaque(info.signature))]
    key = signer("alice")
    for signature in (
        b"",
        bytes(64),
        info.signature[:-1],
        info.signature + b"\0",
        signer("bob").sign_with_label(signing.GROUP_INFO, tbs),
        signer("mallory").sign_with_label(signing.GROUP_INFO, tbs),
        key.sign_with_label(signing.FRAMED_CONTENT, tbs),
        key.sign_with_label(signing.GROUP_INFO, tbs + b"\0"),
    ):
        message = encode_message(WireFormat.GROUP_INFO, tbs + opaque(signature))
        options = ExternalJoinOptions(content("dave"), signer("dave"))
        refused(partial(join_by_external_commit, message, options, Seeded(), NOW), MlsFault.GROUP_INFO_SIGNATURE)


def test_group_infos_in_welcomes() -> None:
    refused(Forged(key=signer("bob")).join, MlsFault.GROUP_INFO_SIGNATURE)
    refused(Forged(key=signer("mallory")).join, MlsFault.GROUP_INFO_SIGNATURE)


# ── keys of low order ────────────────────────────────────────────────────────────────────────────────────────────


def low_order_keys() -> list[bytes]:
    """Those of CCTV, in every encoding that it has."""
    low = (case["key"] for case in load_vectors("ed25519/cctv.json") if "low_order_A" in (case["flags"] or ()))
    keys = set(map(bytes.fromhex, low))
    assert len(keys) >= 8
    return sorted(keys)


def verifies_elsewhere(public: bytes, label: bytes, content_: bytes, signature: bytes) -> bool:
    """With OpenSSL, which takes any key."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, opaque(b"MLS 1.0 " + label) + opaque(content_))
    except (InvalidSignature, ValueError):
        return False
    return True


def test_low_order_keys_sign_nothing() -> None:
    """Such a key in Alice's leaf: anyone can make signatures under it that other libraries accept."""
    keys, forged = low_order_keys(), 0
    tbs = tbs_of(ALICE, b"data", Framing())
    for public in keys:
        tree = BOB_GROUP.snapshot.epoch.tree.copy()
        tree.set(0, replace(tree.member(0), signature_key=public))
        fooled = Group(replace(BOB_GROUP.snapshot, epoch=replace(BOB_GROUP.snapshot.epoch, tree=tree)), Rules())
        leaf_tbs = ALICE_LEAF.tbs.replace(opaque(ALICE_LEAF.signature_key), opaque(public), 1)
        for commitment in keys:
            signature = commitment + bytes(32)
            forged += verifies_elsewhere(public, signing.FRAMED_CONTENT, tbs, signature)
            message = with_signature(ALICE, b"data", Framing(), signature)
            refused(partial(fooled.process, message, NOW), MlsFault.MESSAGE_SIGNATURE)
            update = Update(resigned(replace(ALICE_LEAF, tbs=leaf_tbs), signature))
            with pytest.raises(MlsError):
                BOB_GROUP.process(forge(ALICE, update), NOW)
    # The signatures are real: elsewhere they would have been accepted.
    assert forged >= len(keys)
