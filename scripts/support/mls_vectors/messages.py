"""messages, message-protection and welcome."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from functools import partial

from scripts.support.mls_vectors.check import Case, same

from waypost.mls.base.codec import Reader, decode
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.kdf import ZERO, mac
from waypost.mls.base.registry import ContentType, SenderType, WireFormat
from waypost.mls.base.signing import SignatureKey
from waypost.mls.base.suites import cipher_suite
from waypost.mls.keys.key_schedule import schedule, welcome_secret
from waypost.mls.keys.protection import (
    EpochKeys,
    PrivateMessageChoices,
    check_signature,
    protect_private,
    protect_public,
    sign_content,
    unprotect_private,
    unprotect_public,
)
from waypost.mls.keys.secret_tree import SecretTree
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.framing import (
    AuthenticatedContent,
    Content,
    FramedContent,
    FramedContentAuthData,
    PrivateMessage,
    PublicMessage,
    Sender,
    decode_message,
    encode_content,
)
from waypost.mls.objects.group_context import GroupContext
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.key_package import KeyPackage, KeyPackageBundle
from waypost.mls.objects.proposals import (
    Add,
    ExternalInit,
    GroupContextExtensions,
    PreSharedKey,
    Proposal,
    ReInit,
    Remove,
    Update,
    read_proposal,
)
from waypost.mls.objects.welcome import GroupSecrets, Welcome
from waypost.mls.tree.ratchet_tree import RatchetTree


def _message(kind: type[PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage], data: bytes) -> bytes:
    body = decode_message(data)
    same("message", type(body), kind)
    encoded = body.encoded if isinstance(body, KeyPackage) else body.encode()
    return data[:4] + encoded


def _public(content_type: ContentType, data: bytes) -> bytes:
    body = decode_message(data)
    assert isinstance(body, PublicMessage)
    same("content type", body.content.content_type, content_type)
    # Written anew from the parts, not from the bytes that were kept.
    content = body.content
    anew = FramedContent.make(
        content.group_id, content.epoch, content.sender, content.authenticated_data, content.content
    )
    return data[:4] + PublicMessage(anew, body.auth, body.membership_tag).encode()


def _proposal(read: Callable[[Reader], Proposal], data: bytes) -> bytes:
    return decode(data, read).body()


_PROPOSALS: dict[str, Callable[[Reader], Proposal]] = {
    "add": Add.read,
    "update": Update.read,
    "remove": Remove.read,
    "pre_shared_key": PreSharedKey.read,
    "re_init": ReInit.read,
    "external_init": ExternalInit.read,
    "group_context_extensions": GroupContextExtensions.read,
}
_STRUCTURES: dict[str, Callable[[bytes], bytes]] = {
    "mls_welcome": partial(_message, Welcome),
    "mls_group_info": partial(_message, GroupInfo),
    "mls_key_package": partial(_message, KeyPackage),
    "private_message": partial(_message, PrivateMessage),
    **{f"public_message_{kind.name.lower()}": partial(_public, kind) for kind in ContentType},
    "ratchet_tree": lambda data: RatchetTree.decode(data).encode(),
    "group_secrets": lambda data: decode(data, GroupSecrets.read).encode(),
    "commit": lambda data: decode(data, Commit.read).encode(),
    **{f"{name}_proposal": partial(_proposal, read) for name, read in _PROPOSALS.items()},
}


def messages_case(case: Case) -> None:
    for name, encoded in case.items():
        same(name, _STRUCTURES[name](encoded), encoded)


class _Protection:
    """The keys of a message-protection case; member 1 of 2 sends."""

    def __init__(self, case: Case) -> None:
        suite = cipher_suite(case["cipher_suite"])
        hashes = case["tree_hash"], case["confirmed_transcript_hash"]
        self.context = GroupContext(suite.value, case["group_id"], case["epoch"], *hashes)
        self.keys = EpochKeys(suite, self.context.encoded, case["sender_data_secret"], case["membership_key"])
        self.tree = SecretTree.start(case["encryption_secret"], 2, suite.key_bytes)
        self.signer, self.public = SignatureKey(case["signature_priv"]), case["signature_pub"]

    def check_public(self, message: PublicMessage, expected: bytes) -> None:
        self.check(unprotect_public(message, self.keys), expected)

    def check_private(self, message: PrivateMessage, expected: bytes) -> None:
        opened = unprotect_private(message, self.keys, self.tree, lambda leaf: same("sender", leaf, 1))
        self.check(opened.message, expected)

    def check(self, content: AuthenticatedContent, expected: bytes) -> None:
        check_signature(content, self.context.encoded, self.public)
        same("content", encode_content(content.content.content), expected)

    def sign(self, wire_format: WireFormat, content: Content) -> AuthenticatedContent:
        sender = Sender(SenderType.MEMBER, 1)
        framed = FramedContent.make(self.context.group_id, self.context.epoch, sender, b"data", content)
        signature = sign_content(wire_format, framed, self.context.encoded, self.signer)
        tag = secrets.token_bytes(32) if isinstance(content, Commit) else None
        return AuthenticatedContent(wire_format, framed, FramedContentAuthData(signature, tag))


def message_protection_case(case: Case) -> None:
    given = _Protection(case)
    contents: dict[str, tuple[bytes, Content]] = {
        "proposal": (case["proposal"], decode(case["proposal"], read_proposal)),
        "commit": (case["commit"], decode(case["commit"], Commit.read)),
    }
    for name, (encoded, content) in contents.items():
        body = decode_message(case[f"{name}_pub"])
        assert isinstance(body, PublicMessage)
        given.check_public(body, encoded)
        own = protect_public(given.sign(WireFormat.PUBLIC_MESSAGE, content), given.keys)
        given.check_public(decode(own.encode(), PublicMessage.read), encoded)
    application: bytes = case["application"]
    contents["application"] = encode_content(application), application
    for name, (encoded, content) in contents.items():
        private = decode_message(case[f"{name}_priv"])
        assert isinstance(private, PrivateMessage)
        given.check_private(private, encoded)
        signed = given.sign(WireFormat.PRIVATE_MESSAGE, content)
        _, made = protect_private(signed, given.keys, given.tree, PrivateMessageChoices(7, secrets.token_bytes(4)))
        given.check_private(decode(made.encode(), PrivateMessage.read), encoded)
    try:
        protect_public(given.sign(WireFormat.PUBLIC_MESSAGE, application), given.keys)
    except MlsError as error:
        same("application in public", error.fault, MlsFault.APPLICATION_NOT_PRIVATE)
    else:
        raise AssertionError("application data went into a PublicMessage")


def welcome_case(case: Case) -> None:
    suite = cipher_suite(case["cipher_suite"])
    package, message = decode_message(case["key_package"]), decode_message(case["welcome"])
    assert isinstance(package, KeyPackage)
    assert isinstance(message, Welcome)
    init = suite.kem.private_key(case["init_priv"])
    same("init key", init.public, package.init_key)
    # The other two private keys are not part of the case, and nothing here needs them.
    bundle = KeyPackageBundle(package, init, init, SignatureKey(ZERO))
    group_secrets = message.open_secrets(bundle)
    info = message.open_group_info(suite, welcome_secret(group_secrets.joiner_secret, ZERO))
    same("signature", info.verify(case["signer_pub"]), True)
    begun = schedule(group_secrets.joiner_secret, ZERO, info.group_context.encoded)
    tag = mac(begun.secrets.confirmation_key, info.group_context.confirmed_transcript_hash)
    same("confirmation tag", hmac.compare_digest(tag, info.confirmation_tag), True)
    same("group info, encoded again", decode(info.encode(), GroupInfo.read), info)
