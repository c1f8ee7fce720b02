"""The scheme `seal.1`: each message sealed by itself, for all devices of one recipient (see `crypto.seal`)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from waypost.client.mail.content import Content
from waypost.client.profile.at_rest import AtRest
from waypost.client.profile.profile import Profile
from waypost.client.schemes import claimed
from waypost.client.schemes.own_packages import OwnPackages
from waypost.client.schemes.payload import PURPOSE, Payload, open_payload, sign_payload
from waypost.client.schemes.scheme import OpenedMessage, Scheme
from waypost.clock import WallMs
from waypost.crypto.kem import SEED_BYTES, KemKey
from waypost.crypto.keys import SigningKey
from waypost.crypto.seal import CONTENT_KEY_BYTES, SUITE, open_sealed, seal, sealed_length
from waypost.errors import Code, Refused
from waypost.ids import Address, id_text, parse_address, parse_id
from waypost.limits import BODY_MAX_BYTES
from waypost.protocol.custody.envelope import Envelope
from waypost.protocol.directory.bundle import Bundle, DevicePackage, open_package, sign_package
from waypost.protocol.frames.codec import ID_BYTES


class Seal1(Scheme):
    """See the module."""

    suite = SUITE

    def __init__(self, profile: Profile, at_rest: AtRest, random: Callable[[int], bytes]) -> None:
        self._address = profile.address
        self._device = profile.device
        self._device_list = profile.signed_device_list()
        self._random = random
        self._packages = OwnPackages(
            at_rest,
            random,
            SEED_BYTES,
            lambda seed, expires_ms, last_resort: new_package(self._device, seed, expires_ms, last_resort=last_resort),
        )

    @property
    def packages(self) -> OwnPackages:
        return self._packages

    def write(self, recipient: Address, content: Content, now_ms: WallMs) -> bytes:
        payload = Payload(
            1,
            PURPOSE,
            str(self._address),
            str(recipient),
            self._random(ID_BYTES),
            now_ms,
            content.media_type,
            content.body,
            parse_id(content.in_reply_to) if content.in_reply_to else b"",
            self._device_list,
        )
        signed = sign_payload(payload, self._device)
        if sealed_length(len(signed), devices=1) > BODY_MAX_BYTES:
            raise Refused(Code.TOO_LARGE, f"{len(content.body)} bytes")
        return signed

    def keep_keys(self, conn: sqlite3.Connection, bundle: Bundle, now_ms: WallMs) -> bool:
        return claimed.save(conn, bundle, SUITE, now_ms)

    def drop_keys(self, conn: sqlite3.Connection, recipient: Address) -> None:
        claimed.drop(conn, recipient)

    def sealing(self, conn: sqlite3.Connection, recipient: Address, now_ms: WallMs) -> Callable[[bytes], bytes] | None:
        packages = claimed.find(conn, recipient, now_ms)
        if packages is None:
            return None
        return lambda written: seal(written, self._random(CONTENT_KEY_BYTES), str(recipient), packages)

    def open(self, conn: sqlite3.Connection, envelope: Envelope) -> OpenedMessage:
        def key(package: bytes) -> KemKey | None:
            seed = self._packages.seed(conn, package)
            return KemKey(seed) if seed is not None else None

        me = str(self._address)
        opened = open_payload(open_sealed(envelope.body, me, key), envelope, me)
        payload = opened.payload
        return OpenedMessage(
            parse_address(payload.sender),
            Content(payload.body, payload.media_type, id_text(payload.in_reply_to) or None),
            payload.created_ms,
            opened.device,
            opened.devices,
            payload.device_list,
            opened.digest,
        )


def new_package(device: SigningKey, seed: bytes, expires_ms: WallMs, *, last_resort: bool) -> tuple[bytes, bytes]:
    """A key package for the private key that the seed makes, signed by the device, and its id."""
    package = DevicePackage(1, SUITE, device.public, KemKey(seed).public, expires_ms, last_resort)
    data = sign_package(package, device)
    return data, open_package(data, device.public).id
