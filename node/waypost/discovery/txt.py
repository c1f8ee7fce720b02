"""What a node announces in TXT records, on a LAN and in DNS. Pure; whatever comes in, only None may come of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from waypost.crypto.keys import key_text, parse_key
from waypost.errors import LocalError
from waypost.ids import Provider, is_canonical_provider, is_lan
from waypost.limits import DNS_TXT_MAX_BYTES, PROVIDER_MAX_CHARS

VERSION: Final = "waypost1"

_KEY_CHARS = 52
_FINGERPRINT = re.compile(rb"[0-9a-f]{32}\Z")


@dataclass(frozen=True, slots=True)
class Announcement:
    """What a node says of itself on a LAN."""

    provider: Provider
    port: int
    key: bytes  #: 32 bytes
    record_fingerprint: bytes  #: 16 bytes


@dataclass(frozen=True, slots=True)
class Announced:
    """What the TXT values of another node's announcement say; the port comes from its SRV record."""

    provider: Provider
    key: bytes  #: 32 bytes
    record_fingerprint: bytes  #: 16 bytes


def lan_properties(announcement: Announcement) -> dict[str, str]:
    """The TXT values (RFC 6763 §6) of an announcement."""
    return {
        "v": VERSION,
        "name": announcement.provider,
        "key": key_text(announcement.key),
        "record": announcement.record_fingerprint.hex(),
    }


def parse_lan_properties(properties: Mapping[bytes, bytes | None]) -> Announced | None:
    """The reverse of `lan_properties`; None for another version, and for anything malformed or not of a LAN."""
    name, record = properties.get(b"name") or b"", properties.get(b"record") or b""
    key = _key(properties.get(b"key") or b"")
    if properties.get(b"v") != VERSION.encode() or key is None or not _FINGERPRINT.match(record):
        return None
    if len(name) > PROVIDER_MAX_CHARS or not name.isascii():
        return None
    provider = name.decode("ascii")
    # A LAN can speak for .local names only: anyone on it may say anything.
    if not is_canonical_provider(provider) or not is_lan(Provider(provider)):
        return None
    return Announced(Provider(provider), key, bytes.fromhex(record.decode("ascii")))


def dns_value(key: bytes) -> str:
    """The value of the TXT record `_waypost.PROVIDER` that binds a DNS name to a node key."""
    return f"v={VERSION}; key={key_text(key)}"


def parse_dns_values(values: Iterable[bytes]) -> bytes | None:
    """The node key that the TXT values of `_waypost.PROVIDER` name.

    Values of another kind or version are passed over; None if none is left, or if they name different keys.
    """
    keys = {key for value in values if (key := _dns_key(value)) is not None}
    return keys.pop() if len(keys) == 1 else None


def _dns_key(value: bytes) -> bytes | None:
    if len(value) > DNS_TXT_MAX_BYTES:
        return None
    version, *tags = (tag.strip() for tag in value.split(b";"))
    keys = [tag[len(b"key=") :] for tag in tags if tag.startswith(b"key=")]
    return _key(keys[0]) if version == b"v=" + VERSION.encode() and len(keys) == 1 else None


def _key(text: bytes) -> bytes | None:
    if len(text) != _KEY_CHARS or not text.isascii():
        return None
    try:
        return parse_key(text.decode("ascii"))
    except LocalError:
        return None
