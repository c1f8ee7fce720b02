"""The invite: one line of text that lets an app join a provider, and recognise its node, with nothing else known.

`waypost:` and the URL-safe base64 of a msgpack array: version, address, token, node key, endpoints, expiry.
"""

from __future__ import annotations

import base64
import binascii
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta, Struct

from waypost.errors import Code, LocalError, PeerFault
from waypost.limits import RECORD_ENDPOINTS_MAX
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.frames.codec import U53, Id, Key, Name, pack, read

_PREFIX = "waypost:"


class Invite(Struct, frozen=True, array_like=True, gc=False):
    """`token` is what joins; whoever has the line can join as `address` once, until `expires_ms`."""

    version: Annotated[int, Meta(ge=1, le=1)]
    address: Name
    token: Id
    node_key: Key
    endpoints: Annotated[tuple[RecordEndpoint, ...], Meta(min_length=1, max_length=RECORD_ENDPOINTS_MAX)]
    expires_ms: U53


def invite_text(invite: Invite) -> str:
    """The line that people pass on."""
    return _PREFIX + base64.urlsafe_b64encode(pack(invite)).decode("ascii").rstrip("=")


def parse_invite(text: str) -> Invite:
    """Raises LocalError(BAD_INVITE)."""
    compact = "".join(text.split())
    if not compact.startswith(_PREFIX):
        raise LocalError(Code.BAD_INVITE, repr(text[:40]))
    body = compact.removeprefix(_PREFIX)
    try:
        return read(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True), Invite)
    except (binascii.Error, ValueError, PeerFault) as error:
        raise LocalError(Code.BAD_INVITE, f"it is cut short or altered ({error.__class__.__name__})") from None


def token_hash(token: bytes) -> bytes:
    """What a node stores of a token."""
    return blake2b(token, digest_size=32, person=b"waypost invite").digest()
