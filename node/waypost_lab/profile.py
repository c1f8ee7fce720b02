"""What an app of the lab keeps: durable, as the SDK's profile is, but without encryption."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import NamedTuple

from waypost.clock import Instant, WallMs
from waypost.crypto.keys import SigningKey, envelope_id
from waypost.limits import EXPIRY_MAX_S
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.directory.bundle import DeviceList, DevicePackage, sign_device_list, sign_package

SUITE = "x-lab"


def key_of(name: str) -> SigningKey:
    """A key that everyone could make: identities of the lab are worth nothing outside it."""
    return SigningKey(blake2b(name.encode(), digest_size=32, person=b"lab key").digest())


@dataclass(slots=True)
class Unsent:
    """A message that has no receipt yet. `due`: not offered before then."""

    id: bytes
    envelope: bytes
    recipient: str
    created_ms: WallMs
    due: Instant = 0.0
    tries: int = 0


class KeyAnswer(NamedTuple):
    """What a claim brought: the error's number, or the signed reply."""

    code: int
    reply: bytes


@dataclass(eq=False)
class Profile:
    """One user's app. Everything in it survives the app; what is under way over a link does not."""

    address: str
    key: SigningKey
    identity: SigningKey
    unsent: dict[bytes, Unsent] = field(default_factory=dict)
    accepted: set[bytes] = field(default_factory=set)
    fates: dict[bytes, int] = field(default_factory=dict)  #: 0: delivered; else why not
    shown: dict[bytes, int] = field(default_factory=dict)  #: id → how often the node has brought it
    claims: dict[bytes, str] = field(default_factory=dict)  #: request → address, until it is answered
    asked: dict[bytes, str] = field(default_factory=dict)  #: every request → address
    answers: dict[bytes, list[KeyAnswer]] = field(default_factory=dict)
    to_publish: bool = False
    epoch: int = 0  #: of the node's directory
    published: int = 0  #: uploads made
    written: int = 0

    def write(self, recipient: str, now_ms: WallMs, body: bytes, expires_s: int = EXPIRY_MAX_S) -> Unsent:
        """A new message, put with the unsent ones."""
        user, _, provider = recipient.rpartition("@")
        self.written += 1
        # No two alike, as encryption would have it.
        unlike = blake2b(f"{self.address} {self.written}".encode(), digest_size=16).digest()
        envelope = encode_envelope(
            Envelope(1, provider, (user,), self.address, now_ms, expires_s, EnvelopeClass.TEXT, SUITE, unlike + body)
        )
        unsent = Unsent(envelope_id(envelope), envelope, recipient, now_ms)
        self.unsent[unsent.id] = unsent
        return unsent

    def device_list(self) -> bytes:
        return sign_device_list(DeviceList(1, self.address, self.identity.public, 1, (self.key.public,)), self.identity)

    def upload(self) -> bytes:
        """The id of the upload that comes next: the same until its answer has come."""
        return self._id("upload", self.published)

    def package(self, number: int, expires_ms: WallMs, *, last_resort: bool = False) -> bytes:
        """A signed key package, of which each number is another."""
        init = self._id("package", self.published * 1_000 + number)
        return sign_package(DevicePackage(1, SUITE, self.key.public, init, expires_ms, last_resort), self.key)

    def claim(self, address: str) -> bytes:
        """A request for somebody's keys, to be asked until it is answered."""
        request = self._id("claim", len(self.asked))
        self.claims[request] = self.asked[request] = address
        return request

    def _id(self, what: str, number: int) -> bytes:
        return blake2b(f"{what} {number} of {self.address}".encode(), digest_size=16).digest()


def new_profile(address: str) -> Profile:
    """Not joined yet."""
    return Profile(address, key_of(f"device of {address}"), key_of(f"identity of {address}"))
