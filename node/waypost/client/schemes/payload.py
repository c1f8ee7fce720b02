"""What is inside a body of `seal.1`: a message and who says it to whom, signed by the sending device.

Shaped after draft-ietf-mimi-content, as a positional msgpack array. HPKE tells nobody who wrote, so the payload names
sender, recipient and purpose, and carries the sender's signed device list: the signing device must be in it, and the
list's identity key is what the recipient pins.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Annotated

from msgspec import Meta, Struct

from waypost.crypto.keys import SigningKey
from waypost.crypto.seal import sign_content, verify_content
from waypost.errors import Code, PeerFault
from waypost.limits import BODY_MAX_BYTES, DEVICE_LIST_MAX_BYTES, MEDIA_TYPE_MAX_CHARS
from waypost.protocol.custody.envelope import Envelope
from waypost.protocol.directory.bundle import DeviceList, open_device_list
from waypost.protocol.frames.codec import ID_BYTES, U53, Id, Name, pack, read

PURPOSE = "message"


class Payload(Struct, frozen=True, array_like=True, gc=False):
    """What the device signs. `salt` makes each one unlike any other."""

    version: Annotated[int, Meta(ge=1, le=1)]
    purpose: Annotated[str, Meta(max_length=32)]
    sender: Name
    recipient: Name
    salt: Id
    created_ms: U53
    media_type: Annotated[str, Meta(max_length=MEDIA_TYPE_MAX_CHARS)]
    body: Annotated[bytes, Meta(max_length=BODY_MAX_BYTES)]
    in_reply_to: Annotated[bytes, Meta(max_length=ID_BYTES)]
    device_list: Annotated[bytes, Meta(max_length=DEVICE_LIST_MAX_BYTES)]


@dataclass(frozen=True)
class OpenedPayload:
    """A verified content: `devices` is signed by the identity that speaks, and lists `device`."""

    payload: Payload
    device: bytes
    devices: DeviceList
    digest: bytes  #: BLAKE2b-128 of the signed payload; the same in whatever envelope it comes


def sign_payload(payload: Payload, device: SigningKey) -> bytes:
    """The content to be sealed."""
    return sign_content(device, pack(payload))


def open_payload(content: bytes, envelope: Envelope, recipient: str) -> OpenedPayload:
    """Check a decrypted content against its envelope and its recipient.

    The caller compares the identity key with the one pinned for the sender. Raises PeerFault: BAD_SIGNATURE,
    MALFORMED_ENVELOPE, FORGED_SENDER (content and envelope disagree on who sent it, or when), NOT_OURS (sealed for us,
    but said to somebody else).
    """
    device, data = verify_content(content)
    payload = read(data, Payload, Code.MALFORMED_ENVELOPE)
    if payload.purpose != PURPOSE:
        raise PeerFault(Code.MALFORMED_ENVELOPE, f"content for another purpose, {payload.purpose!r}")
    if payload.sender != envelope.sender or payload.created_ms != envelope.created_ms:
        raise PeerFault(Code.FORGED_SENDER, "the content is from another sender or time than the envelope")
    if payload.recipient != recipient:
        raise PeerFault(Code.NOT_OURS, "the content was written to somebody else")
    devices = open_device_list(payload.device_list, payload.sender)
    if device not in devices.devices:
        raise PeerFault(Code.BAD_SIGNATURE, "the sender does not list the device that signed")
    return OpenedPayload(payload, device, devices, hashlib.blake2b(data, digest_size=ID_BYTES).digest())
