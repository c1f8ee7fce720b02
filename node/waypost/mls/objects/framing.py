"""Message framing (RFC 9420 §6): the structures. Signing, tagging and encrypting are in `protection`."""

from __future__ import annotations

from dataclasses import dataclass, field

from waypost.mls.base.bounds import MESSAGE_MAX_BYTES
from waypost.mls.base.codec import Reader, decode, opaque, u8, u16, u32, u64
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import MLS10, ContentType, SenderType, WireFormat, known
from waypost.mls.objects.commit import Commit
from waypost.mls.objects.group_info import GroupInfo
from waypost.mls.objects.key_package import KeyPackage
from waypost.mls.objects.proposals import Proposal, encode_proposal, read_proposal
from waypost.mls.objects.welcome import Welcome


@dataclass(frozen=True)
class Sender:
    """`index` is the leaf index of a member, the sender index of an external sender, else 0."""

    type: SenderType
    index: int = 0

    def encode(self) -> bytes:
        if self.type in (SenderType.MEMBER, SenderType.EXTERNAL):
            return u8(self.type) + u32(self.index)
        return u8(self.type)

    @classmethod
    def read(cls, reader: Reader) -> Sender:
        kind = known(SenderType, reader.u8())
        return cls(kind, reader.u32() if kind in (SenderType.MEMBER, SenderType.EXTERNAL) else 0)


#: What a message carries: application data, a proposal or a commit.
Content = bytes | Proposal | Commit


def content_type(content: Content) -> ContentType:
    """Which of the three it is."""
    if isinstance(content, bytes):
        return ContentType.APPLICATION
    return ContentType.COMMIT if isinstance(content, Commit) else ContentType.PROPOSAL


def encode_content(content: Content) -> bytes:
    """The content without its type."""
    if isinstance(content, bytes):
        return opaque(content)
    return content.encode() if isinstance(content, Commit) else encode_proposal(content)


def read_content(reader: Reader, kind: ContentType) -> Content:
    """The reverse of `encode_content`."""
    if kind is ContentType.APPLICATION:
        return reader.opaque()
    return Commit.read(reader) if kind is ContentType.COMMIT else read_proposal(reader)


@dataclass(frozen=True)
class FramedContent:
    """`encoded` is what is signed and hashed: the bytes as they came or were made."""

    group_id: bytes
    epoch: int
    sender: Sender
    authenticated_data: bytes
    content: Content
    encoded: bytes = field(repr=False)

    @property
    def content_type(self) -> ContentType:
        return content_type(self.content)

    @classmethod
    def make(
        cls, group_id: bytes, epoch: int, sender: Sender, authenticated_data: bytes, content: Content
    ) -> FramedContent:
        return cls.with_body(group_id, epoch, sender, authenticated_data, (content, encode_content(content)))

    @classmethod
    def with_body(
        cls, group_id: bytes, epoch: int, sender: Sender, authenticated_data: bytes, body: tuple[Content, bytes]
    ) -> FramedContent:
        """The same where the content has been encoded already."""
        content, encoded_content = body
        encoded = b"".join(
            (
                opaque(group_id),
                u64(epoch),
                sender.encode(),
                opaque(authenticated_data),
                u8(content_type(content)),
                encoded_content,
            )
        )
        return cls(group_id, epoch, sender, authenticated_data, content, encoded)

    @classmethod
    def read(cls, reader: Reader) -> FramedContent:
        start = reader.position
        group_id, epoch, sender, data = reader.opaque(), reader.u64(), Sender.read(reader), reader.opaque()
        content = read_content(reader, known(ContentType, reader.u8()))
        return cls(group_id, epoch, sender, data, content, reader.data[start : reader.position])


@dataclass(frozen=True)
class FramedContentAuthData:
    """`confirmation_tag` is there for commits only."""

    signature: bytes
    confirmation_tag: bytes | None = None

    def encode(self) -> bytes:
        tag = b"" if self.confirmation_tag is None else opaque(self.confirmation_tag)
        return opaque(self.signature) + tag

    @classmethod
    def read(cls, reader: Reader, kind: ContentType) -> FramedContentAuthData:
        return cls(reader.opaque(), reader.opaque() if kind is ContentType.COMMIT else None)


@dataclass(frozen=True)
class AuthenticatedContent:
    wire_format: WireFormat
    content: FramedContent
    auth: FramedContentAuthData

    def encode(self) -> bytes:
        return u16(self.wire_format) + self.content.encoded + self.auth.encode()

    @classmethod
    def read(cls, reader: Reader) -> AuthenticatedContent:
        wire_format, content = known(WireFormat, reader.u16()), FramedContent.read(reader)
        return cls(wire_format, content, FramedContentAuthData.read(reader, content.content_type))


@dataclass(frozen=True)
class PublicMessage:
    """`membership_tag` is there for members' messages only."""

    content: FramedContent
    auth: FramedContentAuthData
    membership_tag: bytes | None = None

    @property
    def group_id(self) -> bytes:
        return self.content.group_id

    @property
    def epoch(self) -> int:
        return self.content.epoch

    def encode(self) -> bytes:
        tag = b"" if self.membership_tag is None else opaque(self.membership_tag)
        return self.content.encoded + self.auth.encode() + tag

    @classmethod
    def read(cls, reader: Reader) -> PublicMessage:
        content = FramedContent.read(reader)
        auth = FramedContentAuthData.read(reader, content.content_type)
        return cls(content, auth, reader.opaque() if content.sender.type is SenderType.MEMBER else None)


@dataclass(frozen=True)
class PrivateMessage:
    group_id: bytes
    epoch: int
    content_type: ContentType
    authenticated_data: bytes
    encrypted_sender_data: bytes
    ciphertext: bytes

    def encode(self) -> bytes:
        return b"".join(
            (
                opaque(self.group_id),
                u64(self.epoch),
                u8(self.content_type),
                opaque(self.authenticated_data),
                opaque(self.encrypted_sender_data),
                opaque(self.ciphertext),
            )
        )

    @classmethod
    def read(cls, reader: Reader) -> PrivateMessage:
        group_id, epoch, kind = reader.opaque(), reader.u64(), known(ContentType, reader.u8())
        return cls(group_id, epoch, kind, reader.opaque(), reader.opaque(), reader.opaque())


#: What an MLSMessage carries.
Body = PublicMessage | PrivateMessage | Welcome | GroupInfo | KeyPackage


def encode_message(wire_format: WireFormat, body: bytes) -> bytes:
    """MLSMessage around an encoded body. Raises MlsError(TOO_LARGE) for what nobody would read."""
    if len(body) + 4 > MESSAGE_MAX_BYTES:
        raise MlsError(MlsFault.TOO_LARGE, f"{len(body)} bytes")
    return u16(MLS10) + u16(wire_format) + body


def decode_message(data: bytes) -> Body:
    """The body of an MLSMessage. Raises MlsError for anything else."""
    return decode(data, _read_message)


def _read_message(reader: Reader) -> Body:
    if reader.u16() != MLS10:
        raise MlsError(MlsFault.WRONG_VERSION)
    kind = known(WireFormat, reader.u16())
    if kind is WireFormat.PUBLIC_MESSAGE:
        return PublicMessage.read(reader)
    if kind is WireFormat.PRIVATE_MESSAGE:
        return PrivateMessage.read(reader)
    if kind is WireFormat.WELCOME:
        return Welcome.read(reader)
    return GroupInfo.read(reader) if kind is WireFormat.GROUP_INFO else KeyPackage.read(reader)
