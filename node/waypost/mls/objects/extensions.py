"""Lists of extensions (RFC 9420 §13.4), and those that the RFC defines for the group context and the GroupInfo."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from waypost.mls.base.codec import Reader, decode, opaque, u16, u16_vector, vector
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import ExtensionType
from waypost.mls.objects.credentials import Credential, read_credential

T = TypeVar("T")


class Extension(NamedTuple):
    type: int
    data: bytes

    def encode(self) -> bytes:
        return u16(self.type) + opaque(self.data)


#: At most one of each type.
Extensions = tuple[Extension, ...]


def read_extensions(reader: Reader) -> Extensions:
    """`Extension extensions<V>`. Raises MlsError(DUPLICATE_EXTENSION)."""
    extensions = reader.vector(_read_extension)
    if len(extensions) > 1 and len({extension.type for extension in extensions}) != len(extensions):
        raise MlsError(MlsFault.DUPLICATE_EXTENSION)
    return extensions


def encode_extensions(extensions: Extensions) -> bytes:
    """`Extension extensions<V>`."""
    return vector(extension.encode() for extension in extensions)


def find(extensions: Extensions, kind: ExtensionType) -> bytes | None:
    """The data of the extension of that type."""
    return next((extension.data for extension in extensions if extension.type == kind), None)


def _read_extension(reader: Reader) -> Extension:
    return Extension(reader.u16(), reader.opaque())


@dataclass(frozen=True)
class RequiredCapabilities:
    """§11.1: what every member must support."""

    extensions: tuple[int, ...] = ()
    proposals: tuple[int, ...] = ()
    credentials: tuple[int, ...] = ()

    def encode(self) -> bytes:
        return u16_vector(self.extensions) + u16_vector(self.proposals) + u16_vector(self.credentials)

    @classmethod
    def read(cls, reader: Reader) -> RequiredCapabilities:
        return cls(reader.u16_vector(), reader.u16_vector(), reader.u16_vector())

    def extension(self) -> Extension:
        return Extension(ExtensionType.REQUIRED_CAPABILITIES, self.encode())


@dataclass(frozen=True)
class ExternalSender:
    """§12.1.8.1: one who may propose from outside the group."""

    signature_key: bytes
    credential: Credential

    def encode(self) -> bytes:
        return opaque(self.signature_key) + self.credential.encode()

    @classmethod
    def read(cls, reader: Reader) -> ExternalSender:
        return cls(reader.opaque(), read_credential(reader))


def required_capabilities(extensions: Extensions) -> RequiredCapabilities | None:
    """The group's, if it has them. Raises MlsError(BAD_EXTENSION)."""
    data = find(extensions, ExtensionType.REQUIRED_CAPABILITIES)
    return None if data is None else _content(data, RequiredCapabilities.read)


def external_senders(extensions: Extensions) -> tuple[ExternalSender, ...]:
    """The group's, none if the extension is absent. Raises MlsError(BAD_EXTENSION)."""
    data = find(extensions, ExtensionType.EXTERNAL_SENDERS)
    return () if data is None else _content(data, lambda reader: reader.vector(ExternalSender.read))


def external_senders_extension(senders: tuple[ExternalSender, ...]) -> Extension:
    """The extension that allows these to propose from outside."""
    return Extension(ExtensionType.EXTERNAL_SENDERS, vector(sender.encode() for sender in senders))


def external_pub(extensions: Extensions) -> bytes | None:
    """The key of the `external_pub` extension (§12.4.3.2), if it is there. Raises MlsError(BAD_EXTENSION)."""
    data = find(extensions, ExtensionType.EXTERNAL_PUB)
    return None if data is None else _content(data, Reader.opaque)


def _content(data: bytes, value: Callable[[Reader], T]) -> T:
    try:
        return decode(data, value)
    except MlsError as error:
        raise MlsError(MlsFault.BAD_EXTENSION, str(error)) from None
