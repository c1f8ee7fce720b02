"""Names and identifiers: small frozen values, canonical from the moment they exist."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NewType

import idna
from precis_i18n import get_profile

from waypost.errors import Code, LocalError
from waypost.limits import PROVIDER_MAX_CHARS, USER_MAX_CHARS

EnvelopeId = NewType("EnvelopeId", bytes)  #: 16 bytes: BLAKE2b-128 of the envelope's bytes
DeviceKey = NewType("DeviceKey", bytes)  #: 32 bytes: the device's Ed25519 public key, which is also its identifier
NodeKey = NewType("NodeKey", bytes)  #: 32 bytes: the node's Ed25519 public key
Provider = NewType("Provider", str)  #: canonical provider name: IDNA A-labels, lower case
User = NewType("User", str)  #: canonical user part: PRECIS UsernameCaseMapped

_USERNAME = get_profile("UsernameCaseMapped")
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9-]*[a-z0-9])?\Z")
_PLAIN_USER = re.compile(r"[a-z0-9][a-z0-9._+-]*\Z")
_ID_TEXT = re.compile(r"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """`user@provider`, canonical (RFC 8265 §3.3 and RFC 5891)."""

    user: User
    provider: Provider

    def __str__(self) -> str:
        return f"{self.user}@{self.provider}"

    @classmethod
    @lru_cache(maxsize=4096)
    def of(cls, text: str) -> Address:
        """Cut at the last @: of text that is canonical, or will be compared with what is."""
        user, _, provider = text.rpartition("@")
        return cls(User(user), Provider(provider))


@lru_cache(maxsize=4096)
def parse_provider(text: str) -> Provider:
    """The canonical provider name for what a person typed or a peer sent.

    Raises LocalError(BAD_ADDRESS).
    """
    name = text.strip().rstrip(".").lower()
    try:
        if not name.isascii():
            name = idna.encode(name, uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as error:
        raise LocalError(Code.BAD_ADDRESS, f"{text!r} is no provider name ({error})") from None
    labels = name.split(".")
    if len(name) > PROVIDER_MAX_CHARS or len(labels) < 2:
        raise LocalError(Code.BAD_ADDRESS, f"{text!r} is no provider name, such as finch.example or finch.local")
    if not all(len(label) <= 63 and _LABEL.match(label) for label in labels):
        raise LocalError(Code.BAD_ADDRESS, f"{text!r} is no provider name: letters, digits and hyphens between dots")
    return Provider(name)


@lru_cache(maxsize=16384)
def parse_user(text: str) -> User:
    """The canonical user part. Raises LocalError(BAD_ADDRESS)."""
    if len(text) <= USER_MAX_CHARS and _PLAIN_USER.match(text):
        return User(text)
    try:
        user = str(_USERNAME.enforce(text))
    except UnicodeEncodeError as error:
        raise LocalError(Code.BAD_ADDRESS, f"{text!r} is no user name ({error.reason})") from None
    if not user or len(user) > USER_MAX_CHARS or "@" in user or "/" in user:
        raise LocalError(
            Code.BAD_ADDRESS, f"{text!r} is no user name of 1 to {USER_MAX_CHARS} characters without @ and /"
        )
    return User(user)


def parse_address(text: str) -> Address:
    """`"Bob@Finch.Example"` → `Address("bob", "finch.example")`. Raises LocalError(BAD_ADDRESS)."""
    user, at, provider = text.strip().rpartition("@")
    if not at or not user or not provider:
        raise LocalError(Code.BAD_ADDRESS, repr(text))
    return Address(parse_user(user), parse_provider(provider))


def is_canonical_provider(text: str) -> bool:
    """Whether a name from the wire is already in canonical form, as it must be."""
    try:
        return parse_provider(text) == text
    except LocalError:
        return False


def is_canonical_user(text: str) -> bool:
    """Whether a user part from the wire is already in canonical form, as it must be."""
    try:
        return parse_user(text) == text
    except LocalError:
        return False


def is_lan(provider: Provider) -> bool:
    """Whether the name is one of a local network, with no DNS behind it (RFC 6762)."""
    return provider.endswith(".local")


def id_text(envelope_id: bytes) -> str:
    """The form that people see and type: 32 hexadecimal digits."""
    return envelope_id.hex()


def parse_id(text: str) -> EnvelopeId:
    """The reverse of `id_text`. Raises LocalError(UNKNOWN_MESSAGE)."""
    if not _ID_TEXT.match(text.strip().lower()):
        raise LocalError(Code.UNKNOWN_MESSAGE, f"{text!r} is not an id of 32 hexadecimal digits")
    return EnvelopeId(bytes.fromhex(text.strip()))
