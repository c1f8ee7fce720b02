"""Signs, tags and encrypts whatever it is given, as a member of the group who does not keep to the rules."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from unittest.mock import patch

from scripts.support.fuzz.mls_world import PSKS, World, read

from waypost.mls.base import signing
from waypost.mls.base.codec import decode, opaque, u8, u16, u32, u64
from waypost.mls.base.errors import MlsError
from waypost.mls.base.registry import ContentType, ExtensionType, SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import NONCE_BYTES, WELCOME
from waypost.mls.group import Group, StagedCommit
from waypost.mls.keys.key_schedule import schedule, welcome_secret
from waypost.mls.keys.protection import membership_tag, sender_data_key, sign_content
from waypost.mls.keys.secret_tree import RatchetKind
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.extensions import encode_extensions, find
from waypost.mls.objects.framing import (
    AuthenticatedContent,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    Sender,
    decode_message,
    encode_message,
)
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.leaf_node import LeafNode
from waypost.mls.objects.proposals import Add
from waypost.mls.objects.psk import psk_secret
from waypost.mls.objects.welcome import EncryptedGroupSecrets, GroupSecrets, Welcome, seal_group_info
from waypost.mls.steps import processing
from waypost.mls.steps.committing import CommitOptions
from waypost.mls.tree.ratchet_tree import RatchetTree

_ALICE = Sender(SenderType.MEMBER, 0)
_TEXTS = (b"one text", b"another text")
#: Who has signed which text.
SAID = frozenset(((0, _TEXTS[0]), (2, _TEXTS[1])))
_APPLICATION = u8(ContentType.APPLICATION)


# ── application messages ────────────────────────────────────────────────────────────────────────────────────────────


@cache
def plaintexts(world: World) -> list[bytes]:
    """Sender data and plaintext of messages by alice and carol."""
    found = []
    for group, text in zip((world.alice, world.carol), _TEXTS, strict=True):
        epoch = group.snapshot.epoch
        sender = Sender(SenderType.MEMBER, group.own_leaf_index)
        content = FramedContent.make(group.group_id, group.epoch, sender, b"", text)
        signature = sign_content(WireFormat.PRIVATE_MESSAGE, content, epoch.context.encoded, epoch.signature_key)
        found.append(u32(group.own_leaf_index) + u32(0) + bytes(4) + opaque(text) + opaque(signature) + bytes(9))
    return found


def encrypted(world: World, sender_data: bytes, plaintext: bytes) -> bytes:
    """A PrivateMessage with exactly that inside, under the key that the sender data names if there is one."""
    state = world.alice.snapshot
    keys, context = state.epoch.keys, state.epoch.context
    head = opaque(context.group_id) + u64(context.epoch) + _APPLICATION
    leaf, generation = int.from_bytes(sender_data[:4], "big"), int.from_bytes(sender_data[4:8], "big")
    try:
        _, (key, nonce) = state.secret_tree.take_key(leaf, RatchetKind.APPLICATION, generation)
    except MlsError:
        key, nonce = bytes(keys.suite.key_bytes), bytes(NONCE_BYTES)
    guarded = bytes(a ^ b for a, b in zip(nonce, sender_data[8:12].ljust(NONCE_BYTES, b"\0"), strict=True))
    ciphertext = keys.suite.aead(key).encrypt(guarded, plaintext, head + opaque(b""))
    data_key, data_nonce = sender_data_key(keys.suite, keys.sender_data_secret, ciphertext)
    sealed = keys.suite.aead(data_key).encrypt(data_nonce, sender_data, head)
    message = PrivateMessage(context.group_id, context.epoch, ContentType.APPLICATION, b"", sealed, ciphertext)
    return encode_message(WireFormat.PRIVATE_MESSAGE, message.encode())


# ── proposals and commits ───────────────────────────────────────────────────────────────────────────────────────────


def public_message(world: World, typed_content: bytes, tag: bytes | None = None) -> bytes:
    """Alice's PublicMessage with that content, whatever it is; its first byte is the content type."""
    epoch = world.alice.snapshot.epoch
    context = epoch.context
    encoded = opaque(context.group_id) + u64(context.epoch) + _ALICE.encode() + opaque(b"") + typed_content
    # Signatures and tags are over the bytes: what they are said to mean does not count.
    content = FramedContent(context.group_id, context.epoch, _ALICE, b"", b"", encoded)
    signature = sign_content(WireFormat.PUBLIC_MESSAGE, content, context.encoded, epoch.signature_key)
    auth = FramedContentAuthData(signature, tag)
    message = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, content, auth)
    body = PublicMessage(content, auth, membership_tag(message, epoch.keys)).encode()
    return encode_message(WireFormat.PUBLIC_MESSAGE, body)


@cache
def commit_bodies(world: World) -> list[bytes]:
    """Commits of alice's, without their frames."""
    found = []
    for message in world.commits:
        body = decode_message(message)
        if isinstance(body, PublicMessage) and body.content.sender == _ALICE:
            assert isinstance(body.content.content, Commit)
            found.append(body.content.content.encode())
    return found


def public_commit(world: World, body: bytes) -> tuple[bytes, bytes | None]:
    """Alice's PublicMessage with that commit, its leaf node signed anew, and the tag that carol finds right."""
    try:
        commit = decode(body, Commit.read)
    except MlsError:
        return public_message(world, b"\3" + body, bytes(32)), None
    if commit.path is not None:
        epoch = world.alice.snapshot.epoch
        leaf = _signed_leaf(commit.path.leaf_node, epoch.signature_key, opaque(epoch.context.group_id) + u32(0))
        body = replace(commit, path=replace(commit.path, leaf_node=leaf)).encode()
    tag = _tag_by(world.carol, world, body)
    return public_message(world, b"\3" + body, tag or bytes(32)), tag


def _tag_by(member: Group, world: World, body: bytes) -> bytes | None:
    """The tag that the member finds right for that commit of alice's; bob's if the commit removes the member."""
    with _any_tag() as computed, suppress(MlsError):
        processed = read(member, public_message(world, b"\3" + body, bytes(32)))
        if isinstance(processed, StagedCommit) and processed.changes.removes_self and member is not world.bob:
            return _tag_by(world.bob, world, body)
    return computed[-1] if computed else None


@contextmanager
def _any_tag() -> Iterator[list[bytes]]:
    """A member that believes every tag, and tells which one it had computed: its last comparison is of that."""
    computed: list[bytes] = []

    def believe(own: bytes, _theirs: bytes) -> bool:
        computed.append(own)
        return True

    with patch.object(processing, "hmac", SimpleNamespace(compare_digest=believe)):
        yield computed


def _signed_leaf(leaf: LeafNode, key: SignatureKey, place: bytes) -> LeafNode:
    signature = key.sign_with_label(signing.LEAF_NODE, leaf.tbs + place)
    return decode(leaf.tbs + opaque(signature), LeafNode.read)


# ── group infos and welcomes ────────────────────────────────────────────────────────────────────────────────────────


def group_info_bodies(world: World) -> list[bytes]:
    """What is signed of alice's GroupInfo."""
    info = decode_message(world.group_infos[0])
    assert isinstance(info, GroupInfo)
    return [info.tbs]


def group_info(world: World, tbs: bytes) -> GroupInfo:
    """Signed by alice, with the hash of the tree that it holds."""
    return _signed_info(world, decode(tbs + opaque(bytes(64)), GroupInfo.read))


def _signed_info(world: World, info: GroupInfo) -> GroupInfo:
    context, tree = info.group_context, find(info.extensions, ExtensionType.RATCHET_TREE)
    if tree is not None:
        context = replace(context, tree_hash=RatchetTree.decode(tree).root_hash())
    return GroupInfo.sign(
        context, info.extensions, info.confirmation_tag, info.signer, world.alice.snapshot.epoch.signature_key
    )


@cache
def opened_welcome(world: World) -> tuple[GroupSecrets, GroupInfo]:
    """What is in the Welcome of a commit of alice's that adds dave."""
    made = world.commit(CommitOptions((Add(world.dave.key_package),), ()))
    welcome = decode_message(made.welcomes[0].message)
    assert isinstance(welcome, Welcome)
    secrets = welcome.open_secrets(world.dave)
    return secrets, welcome.open_group_info(world.suite, welcome_secret(secrets.joiner_secret, bytes(32)))


def read_secrets(data: bytes) -> GroupSecrets:
    return decode(data, GroupSecrets.read)


def confirmed(world: World, secrets: GroupSecrets, tbs: bytes) -> GroupInfo:
    """The group info with the confirmation tag of the epoch that it and the secrets describe, signed by alice."""
    info = group_info(world, tbs)
    context = info.group_context
    begun = schedule(secrets.joiner_secret, psk_secret(secrets.psks, PSKS), context.encoded)
    tag = begun.secrets.confirmation_tag(context.confirmed_transcript_hash)
    return _signed_info(world, replace(info, confirmation_tag=tag))


def welcome(world: World, encoded_secrets: bytes, secrets: GroupSecrets, info: GroupInfo) -> bytes:
    """A Welcome for dave."""
    key = welcome_secret(secrets.joiner_secret, psk_secret(secrets.psks, PSKS))
    encrypted_info = seal_group_info(world.suite, key, info)
    sealed = world.suite.encrypt_with_label(world.dave.key_package.init_key, WELCOME, encrypted_info, encoded_secrets)
    letter = EncryptedGroupSecrets(world.dave.key_package.ref, sealed)
    return encode_message(WireFormat.WELCOME, Welcome(world.suite.value, (letter,), encrypted_info).encode())


# ── key packages ────────────────────────────────────────────────────────────────────────────────────────────────────


def key_package_bodies(world: World) -> list[bytes]:
    """What is signed of the key package of device 1, which lists more than others do."""
    package = decode_message(world.key_packages[2])
    assert isinstance(package, KeyPackage)
    return [package.tbs]


def key_package(tbs: bytes, key: SignatureKey) -> KeyPackage:
    """The same, leaf node and all signed by its owner."""
    package = decode(tbs + opaque(bytes(64)), KeyPackage.read)
    leaf = _signed_leaf(package.leaf_node, key, b"")
    body = b"".join(
        (
            u16(package.version),
            u16(package.cipher_suite),
            opaque(package.init_key),
            leaf.encoded,
            encode_extensions(package.extensions),
        )
    )
    return decode(body + opaque(key.sign_with_label(signing.KEY_PACKAGE, body)), KeyPackage.read)
