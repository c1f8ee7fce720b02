"""Credentials (RFC 9420 §5.3). Whether one is true is for the application, the RFC's Authentication Service, to say."""

from __future__ import annotations

from dataclasses import dataclass

from waypost.mls.base.codec import Reader, opaque, u16, vector
from waypost.mls.base.errors import MlsError, MlsFault
from waypost.mls.base.registry import CredentialType


@dataclass(frozen=True)
class BasicCredential:
    """A bare identity, in a form that the application defines."""

    identity: bytes
    type = CredentialType.BASIC

    def encode(self) -> bytes:
        return u16(CredentialType.BASIC) + opaque(self.identity)


@dataclass(frozen=True)
class X509Credential:
    """DER certificates, the end entity's first. They are carried and compared here, never parsed."""

    certificates: tuple[bytes, ...]
    type = CredentialType.X509

    def encode(self) -> bytes:
        return u16(CredentialType.X509) + vector(map(opaque, self.certificates))


Credential = BasicCredential | X509Credential


def read_credential(reader: Reader) -> Credential:
    """Raises MlsError(UNKNOWN_CREDENTIAL): an unknown type has no length, so nothing after it could be read."""
    kind = reader.u16()
    if kind == CredentialType.BASIC:
        return BasicCredential(reader.opaque())
    if kind == CredentialType.X509:
        return X509Credential(reader.vector(Reader.opaque))
    raise MlsError(MlsFault.UNKNOWN_CREDENTIAL, f"0x{kind:04x}")
