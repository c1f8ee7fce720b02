"""Somebody to write with, who does by hand what the client does by itself, and can do it wrong."""

from dataclasses import dataclass

import msgspec

from waypost.client.mail.content import PLAIN_TEXT
from waypost.client.schemes.payload import PURPOSE, Payload, open_payload, sign_payload
from waypost.clock import DAY_MS
from waypost.crypto.kem import KemKey
from waypost.crypto.keys import SigningKey
from waypost.crypto.seal import SUITE, open_sealed, seal
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, decode_envelope, encode_envelope
from waypost.protocol.directory.bundle import DeviceList, DevicePackage, open_package, sign_device_list, sign_package
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.signed import Signed

NOW_MS = 1_800_000_000_000


@dataclass
class Person:
    """`number` makes the keys: two persons of one address and two numbers have two identities."""

    address: str
    number: int = 1
    sequence: int = 1
    written: int = 0

    def __post_init__(self) -> None:
        self.identity = SigningKey(bytes([self.number, 1]) * 16)
        self.device = SigningKey(bytes([self.number, 2]) * 16)
        self.kem = KemKey(bytes([self.number, 3]) * 16)

    def device_list(self) -> bytes:
        devices = DeviceList(1, self.address, self.identity.public, self.sequence, (self.device.public,))
        return sign_device_list(devices, self.identity)

    def package(self, now_ms: int = NOW_MS) -> bytes:
        package = DevicePackage(1, SUITE, self.device.public, self.kem.public, now_ms + 30 * DAY_MS, False)
        return sign_package(package, self.device)

    def read(self, envelope: bytes) -> str:
        """The text of an envelope from the client."""
        decoded = decode_envelope(envelope)
        content = open_sealed(decoded.body, self.address, lambda _: self.kem)
        return open_payload(content, decoded, self.address).payload.body.decode()

    def payload(self, to: str, text: str) -> Payload:
        self.written += 1
        salt = self.written.to_bytes(16, "big")
        return Payload(1, PURPOSE, self.address, to, salt, NOW_MS, PLAIN_TEXT, text.encode(), b"", self.device_list())

    def write(self, to: str, package: bytes, text: str) -> bytes:
        """An envelope for the device behind that package."""
        return self.envelope(to, package, self.payload(to, text))

    def envelope(self, to: str, package: bytes, payload: Payload, sealed_for: str | None = None) -> bytes:
        signed = sign_payload(payload, self.device)
        device = read(read(package, Signed).payload, DevicePackage).key
        opened = open_package(package, device)
        body = seal(signed, bytes([self.written]) * 32, sealed_for or to, [(opened.id, opened.package.init)])
        user, _, provider = to.rpartition("@")
        return encode_envelope(
            Envelope(1, provider, (user,), self.address, NOW_MS, 86_400, EnvelopeClass.TEXT, SUITE, body)
        )


def altered(envelope: bytes, **fields: object) -> bytes:
    """The same envelope with other fields outside the body."""
    return encode_envelope(msgspec.structs.replace(decode_envelope(envelope), **fields))
