"""`tests/vectors/directory.json`: invites, device lists, key packages, a signed bundle, replies, fingerprints."""

from typing import Any

import msgspec
from tests.protocol.golden_cast import (
    ALICE,
    ALICE_IDENTITY,
    BOB,
    BOB_IDENTITY,
    BOB_LAPTOP,
    BOB_LAPTOP_KEM,
    BOB_PHONE,
    BOB_PHONE_KEM,
    DAY_MS,
    FINCH_NODE,
    NOW_MS,
    REQUEST,
    TOKEN,
    cast,
)
from tests.protocol.golden_link import ENDPOINTS, records
from tests.protocol.strategies import plain

from waypost.crypto.fingerprint import fingerprint, safety_number
from waypost.crypto.kem import KemKey
from waypost.crypto.keys import SigningKey
from waypost.protocol.directory.asks import (
    ClaimReply,
    DeviceKeys,
    JoinReply,
    PublishReply,
    ReachReply,
    RecordsReply,
    TrackReply,
    TrackRow,
)
from waypost.protocol.directory.bundle import (
    DeviceList,
    DevicePackage,
    open_package,
    sign_claim,
    sign_device_list,
    sign_package,
)
from waypost.protocol.directory.invite import Invite, invite_text
from waypost.protocol.directory.record import sign_record
from waypost.protocol.frames.codec import pack

INVITE = Invite(1, BOB, TOKEN, FINCH_NODE.public, ENDPOINTS, NOW_MS + 7 * DAY_MS)
DEVICES = DeviceList(1, BOB, BOB_IDENTITY.public, 2, (BOB_PHONE.public, BOB_LAPTOP.public))
EXPIRES_MS = NOW_MS + 30 * DAY_MS


def packages() -> dict[str, tuple[DevicePackage, SigningKey]]:
    def of(device: SigningKey, kem: KemKey, *, last_resort: bool) -> tuple[DevicePackage, SigningKey]:
        return DevicePackage(1, "seal.1", device.public, kem.public, EXPIRES_MS, last_resort), device

    return {
        "phone, one-time": of(BOB_PHONE, BOB_PHONE_KEM, last_resort=False),
        "laptop, last resort": of(BOB_LAPTOP, BOB_LAPTOP_KEM, last_resort=True),
    }


def node_record() -> bytes:
    return sign_record(*records()["active"])


def claim_reply() -> ClaimReply:
    phone, laptop = (sign_package(*each) for each in packages().values())
    return ClaimReply(
        REQUEST,
        BOB,
        NOW_MS,
        sign_device_list(DEVICES, BOB_IDENTITY),
        (
            DeviceKeys(BOB_PHONE.public, "one-time", phone),
            DeviceKeys(BOB_LAPTOP.public, "last-resort", laptop),
        ),
    )


def replies() -> dict[str, msgspec.Struct]:
    return {
        "JoinReply": JoinReply(BOB, node_record(), 7),
        "PublishReply": PublishReply(100, 7),
        "ClaimAnswer": sign_claim(claim_reply(), FINCH_NODE, node_record()),
        "TrackReply": TrackReply(
            (TrackRow(NOW_MS, "accepted", ALICE), TrackRow(NOW_MS + 1, "queued", "finch.example")),
            "waiting",
            NOW_MS + 2_000,
            204,
        ),
        "RecordsReply": RecordsReply((node_record(),)),
        "ReachReply": ReachReply("some", ("birdy.example",)),
    }


def build() -> dict[str, Any]:
    """What the file holds."""
    answer = sign_claim(claim_reply(), FINCH_NODE, node_record())
    return {
        "about": "What docs/protocol/directory.md describes. Bytes in hexadecimal; in `fields` after 0x.",
        "cast": cast(),
        "invite": {"fields": plain(INVITE), "text": invite_text(INVITE)},
        "device_list": {
            "fields": plain(DEVICES),
            "payload": pack(DEVICES).hex(),
            "signed": sign_device_list(DEVICES, BOB_IDENTITY).hex(),
        },
        "packages": [_package(name, *each) for name, each in packages().items()],
        "claim": {
            "request": REQUEST.hex(),
            "address": BOB,
            "payload": answer.reply.hex(),
            "signature": answer.signature.hex(),
        },
        "replies": [{"name": name, "bytes": pack(reply).hex()} for name, reply in replies().items()],
        "fingerprints": {
            ALICE: fingerprint(ALICE_IDENTITY.public, ALICE.encode()),
            BOB: fingerprint(BOB_IDENTITY.public, BOB.encode()),
            "safety number": safety_number(ALICE_IDENTITY.public, ALICE.encode(), BOB_IDENTITY.public, BOB.encode()),
        },
    }


def _package(name: str, package: DevicePackage, device: SigningKey) -> dict[str, Any]:
    signed = sign_package(package, device)
    return {
        "name": name,
        "fields": plain(package),
        "payload": pack(package).hex(),
        "signed": signed.hex(),
        "id": open_package(signed, device.public).id.hex(),
    }
