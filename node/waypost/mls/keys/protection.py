"""Protecting and unprotecting messages (RFC 9420 §6.1–§6.3): signature, membership tag, encryption."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag

from waypost.mls.base import signing
from waypost.mls.base.codec import Reader, decode, opaque, u8, u16, u32, u64
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import NH, expand_with_label, mac
from waypost.mls.base.registry import MLS10, ContentType, SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey, verify_with_label
from waypost.mls.base.suites import NONCE_BYTES, CipherSuite
from waypost.mls.keys.secret_tree import RatchetKind, SecretTree
from waypost.mls.objects.framing import (
    AuthenticatedContent,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    Sender,
    encode_content,
    read_content,
)

_WITH_CONTEXT = (SenderType.MEMBER, SenderType.NEW_MEMBER_COMMIT)


@dataclass(frozen=True)
class EpochKeys:
    """What an epoch's messages are protected with, beside the secret tree. `context` is the encoded GroupContext."""

    suite: CipherSuite
    context: bytes = field(repr=False)
    sender_data_secret: bytes = field(repr=False)
    membership_key: bytes = field(repr=False)


# ── signatures and tags ──────────────────────────────────────────────────────────────────────────────────────────


def framed_content_tbs(wire_format: WireFormat, content: FramedContent, context: bytes) -> bytes:
    """FramedContentTBS (§6.1). `context` counts for members and new members' commits only."""
    tail = context if content.sender.type in _WITH_CONTEXT else b""
    return b"".join((u16(MLS10), u16(wire_format), content.encoded, tail))


def sign_content(wire_format: WireFormat, content: FramedContent, context: bytes, key: SignatureKey) -> bytes:
    """The signature of FramedContentAuthData."""
    return key.sign_with_label(signing.FRAMED_CONTENT, framed_content_tbs(wire_format, content, context))


def check_signature(message: AuthenticatedContent, context: bytes, signature_key: bytes) -> None:
    """Raises MlsError(MESSAGE_SIGNATURE)."""
    tbs = framed_content_tbs(message.wire_format, message.content, context)
    if not verify_with_label(signature_key, signing.FRAMED_CONTENT, tbs, message.auth.signature):
        raise MlsError(MlsFault.MESSAGE_SIGNATURE)


def membership_tag(message: AuthenticatedContent, keys: EpochKeys) -> bytes:
    """§6.2."""
    tbs = framed_content_tbs(message.wire_format, message.content, keys.context)
    return mac(keys.membership_key, tbs + message.auth.encode())


def protect_public(message: AuthenticatedContent, keys: EpochKeys | None) -> PublicMessage:
    """A PublicMessage; `keys` are needed for a member's. Raises MlsError(APPLICATION_NOT_PRIVATE)."""
    if message.content.content_type is ContentType.APPLICATION:
        raise MlsError(MlsFault.APPLICATION_NOT_PRIVATE)
    tag = None
    if message.content.sender.type is SenderType.MEMBER and keys is not None:
        tag = membership_tag(message, keys)
    return PublicMessage(message.content, message.auth, tag)


def unprotect_public(message: PublicMessage, keys: EpochKeys) -> AuthenticatedContent:
    """The content; its signature is yet to be checked. Raises MlsError: APPLICATION_NOT_PRIVATE, MEMBERSHIP_TAG."""
    if message.content.content_type is ContentType.APPLICATION:
        raise MlsError(MlsFault.APPLICATION_NOT_PRIVATE)
    content = AuthenticatedContent(WireFormat.PUBLIC_MESSAGE, message.content, message.auth)
    if message.content.sender.type is SenderType.MEMBER:
        tag = message.membership_tag or b""
        if not hmac.compare_digest(tag, membership_tag(content, keys)):
            raise MlsError(MlsFault.MEMBERSHIP_TAG)
    return content


# ── encryption ───────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class PrivateMessageChoices:
    """What a sender chooses for a PrivateMessage: bytes of padding, and the four-byte reuse guard."""

    padding: int
    reuse_guard: bytes


def protect_private(
    message: AuthenticatedContent, keys: EpochKeys, tree: SecretTree, envelope: PrivateMessageChoices
) -> tuple[SecretTree, PrivateMessage]:
    """A PrivateMessage of a member, with the next key of that member's ratchet."""
    content = message.content
    kind = content.content_type
    leaf_index = content.sender.index
    tree, generation, (key, nonce) = tree.next_key(leaf_index, RatchetKind.of(kind))
    head = opaque(content.group_id) + u64(content.epoch) + u8(kind)
    plaintext = b"".join((encode_content(content.content), message.auth.encode(), bytes(envelope.padding)))
    ciphertext = keys.suite.aead(key).encrypt(
        _guarded(nonce, envelope.reuse_guard), plaintext, head + opaque(content.authenticated_data)
    )
    sender_data = u32(leaf_index) + u32(generation) + envelope.reuse_guard
    data_key, data_nonce = sender_data_key(keys.suite, keys.sender_data_secret, ciphertext)
    sealed = keys.suite.aead(data_key).encrypt(data_nonce, sender_data, head)
    data = content.authenticated_data
    return tree, PrivateMessage(content.group_id, content.epoch, kind, data, sealed, ciphertext)


@dataclass(frozen=True)
class Unprotected:
    """A PrivateMessage's content, its signature yet to be checked; `secret_tree` is what is left after it."""

    message: AuthenticatedContent
    secret_tree: SecretTree
    generation: int


def unprotect_private(
    message: PrivateMessage, keys: EpochKeys, tree: SecretTree, check_sender: Callable[[int], None]
) -> Unprotected:
    """Decrypt. `check_sender` is called with the sender's leaf index before a key is derived for it.

    Raises MlsError: SENDER_DATA_OPEN_FAILED, CONTENT_OPEN_FAILED, NON_ZERO_PADDING, and those of `take_key`.
    """
    head = opaque(message.group_id) + u64(message.epoch) + u8(message.content_type)
    data_key, data_nonce = sender_data_key(keys.suite, keys.sender_data_secret, message.ciphertext)
    try:
        sender_data = keys.suite.aead(data_key).decrypt(data_nonce, message.encrypted_sender_data, head)
    except InvalidTag:
        raise MlsError(MlsFault.SENDER_DATA_OPEN_FAILED) from None
    leaf_index, generation, reuse_guard = decode(sender_data, _read_sender_data)
    check_sender(leaf_index)
    tree, (key, nonce) = tree.take_key(leaf_index, RatchetKind.of(message.content_type), generation)
    try:
        plaintext = keys.suite.aead(key).decrypt(
            _guarded(nonce, reuse_guard), message.ciphertext, head + opaque(message.authenticated_data)
        )
    except InvalidTag:
        raise MlsError(MlsFault.CONTENT_OPEN_FAILED) from None
    reader = Reader(plaintext)
    content = read_content(reader, message.content_type)
    encoded = plaintext[: reader.position]
    auth = FramedContentAuthData.read(reader, message.content_type)
    if reader.rest().strip(b"\0"):
        raise MlsError(MlsFault.NON_ZERO_PADDING)
    sender = Sender(SenderType.MEMBER, leaf_index)
    framed = FramedContent.with_body(
        message.group_id, message.epoch, sender, message.authenticated_data, (content, encoded)
    )
    return Unprotected(AuthenticatedContent(WireFormat.PRIVATE_MESSAGE, framed, auth), tree, generation)


def sender_data_key(suite: CipherSuite, sender_data_secret: bytes, ciphertext: bytes) -> tuple[bytes, bytes]:
    """Key and nonce of the sender data (§6.3.2)."""
    sample = ciphertext[:NH]
    key = expand_with_label(sender_data_secret, b"key", sample, suite.key_bytes)
    return key, expand_with_label(sender_data_secret, b"nonce", sample, NONCE_BYTES)


def _read_sender_data(reader: Reader) -> tuple[int, int, bytes]:
    return reader.u32(), reader.u32(), reader.raw(4)


def _guarded(nonce: bytes, reuse_guard: bytes) -> bytes:
    first = int.from_bytes(nonce[:4], "big") ^ int.from_bytes(reuse_guard, "big")
    return u32(first) + nonce[4:]
