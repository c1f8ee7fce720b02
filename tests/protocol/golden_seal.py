"""`tests/vectors/seal.json`: a `seal.1` body from its keys to its text, step by step.

HPKE draws its own randomness, so a body cannot be made twice. The one in the file is kept as long as it opens.
"""

import json
from pathlib import Path
from typing import Any

from tests.protocol.golden_cast import (
    ALICE,
    ALICE_IDENTITY,
    ALICE_PHONE,
    BOB,
    BOB_LAPTOP,
    BOB_LAPTOP_KEM,
    BOB_PHONE,
    BOB_PHONE_KEM,
    NOW_MS,
    cast,
)
from tests.protocol.golden_directory import packages
from tests.protocol.strategies import plain

from waypost.client.mail.content import PLAIN_TEXT
from waypost.client.schemes.payload import PURPOSE, Payload, sign_payload
from waypost.crypto import seal as seal_1
from waypost.crypto.keys import Purpose
from waypost.crypto.padding import padded_length
from waypost.errors import WaypostError
from waypost.protocol.directory.bundle import DeviceList, open_package, sign_device_list, sign_package
from waypost.protocol.frames.codec import pack

PATH = Path(__file__).parents[1] / "vectors" / "seal.json"
CONTENT_KEY = bytes(range(32))
SIZES = (0, 1, 255, 256, 257, 272, 1_000, 1_024, 4_095, 4_096, 10_000, 60_000)


def payload() -> Payload:
    devices = DeviceList(1, ALICE, ALICE_IDENTITY.public, 1, (ALICE_PHONE.public,))
    return Payload(
        1,
        PURPOSE,
        ALICE,
        BOB,
        bytes([36]) * 16,
        NOW_MS,
        PLAIN_TEXT,
        "Grüße, Bob!".encode(),
        b"",
        sign_device_list(devices, ALICE_IDENTITY),
    )


def content() -> bytes:
    return sign_payload(payload(), ALICE_PHONE)


def package_ids() -> tuple[bytes, bytes]:
    phone, laptop = packages().values()
    return (
        open_package(sign_package(*phone), BOB_PHONE.public).id,
        open_package(sign_package(*laptop), BOB_LAPTOP.public).id,
    )


def build() -> dict[str, Any]:
    """What the file holds."""
    context = seal_1._context(BOB)
    info = seal_1._info(context, package_ids())
    key, commitment = seal_1._derive(CONTENT_KEY, info)
    signed = content()
    return {
        "about": "What docs/protocol/directory.md says of seal.1. Bytes in hexadecimal; in `fields` after 0x.",
        "cast": cast(),
        "padded_lengths": [[size, padded_length(size)] for size in SIZES],
        "kem": [
            {"seed": kem.seed.hex(), "public": kem.public.hex(), "package_id": id_.hex()}
            for kem, id_ in zip((BOB_PHONE_KEM, BOB_LAPTOP_KEM), package_ids(), strict=True)
        ],
        "content": {
            "fields": plain(payload()),
            "payload": pack(payload()).hex(),
            "signed_bytes": (Purpose.CONTENT.prefix + pack(payload())).hex(),
            "signed_content": signed.hex(),
        },
        "recipient": BOB,
        "context": context.hex(),
        "info": info.hex(),
        "content_key": CONTENT_KEY.hex(),
        "aead_key": key.hex(),
        "commitment": commitment.hex(),
        "body": _body(signed).hex(),
    }


def _body(signed: bytes) -> bytes:
    if PATH.exists():
        known = bytes.fromhex(json.loads(PATH.read_text())["body"])
        try:
            if seal_1.open_sealed(known, BOB, dict(zip(package_ids(), KEMS, strict=True)).get) == signed:
                return known
        except WaypostError:
            pass  # the format has changed: a new one is made
    publics = [(id_, kem.public) for id_, kem in zip(package_ids(), KEMS, strict=True)]
    return seal_1.seal(signed, CONTENT_KEY, BOB, publics)


KEMS = (BOB_PHONE_KEM, BOB_LAPTOP_KEM)
