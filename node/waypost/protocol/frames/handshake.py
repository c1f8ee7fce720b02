"""The first two messages of each side of a link: Hello, then Proof.

TLS has made a private channel to *somebody*. Each side says in its Hello who it is, and in its Proof signs, with the
key named there, the TLS exporter value together with both Hellos. So the identity holds for this connection only: a
proxy that ends TLS sees two exporter values and its forwarded proofs fail; a recorded proof fails on any other
connection (the idea of RFC 9266). Whether that identity is welcome is decided above, from `Handshake.peer`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from hashlib import blake2b

from waypost.clock import Instant, WallMs
from waypost.crypto.keys import Purpose, SigningKey, verify
from waypost.errors import Code, LocalError, PeerFault, code_of
from waypost.ids import is_canonical_provider, parse_address
from waypost.limits import (
    CLOCK_TOLERANCE_MS,
    DEVICE_WINDOW_BYTES,
    DEVICE_WINDOW_ENVELOPES,
    HANDSHAKE_FRAME_MAX_BYTES,
    PROTOCOL_VERSION_MAX,
    PROTOCOL_VERSION_MIN,
    WINDOW_BYTES,
    WINDOW_ENVELOPES,
)
from waypost.protocol.frames.codec import FrameBuffer, pack
from waypost.protocol.frames.messages import Goodbye, Hello, Proof, Role, decode, encode
from waypost.protocol.frames.session import Session, Terms


@dataclass(frozen=True)
class Own:
    """This side: what its Hello says, and the key that proves it."""

    role: Role
    name: str  #: a node: its provider; a device: its account's address
    key: SigningKey
    features: tuple[str, ...] = ()
    window_envelopes: int = WINDOW_ENVELOPES
    window_bytes: int = WINDOW_BYTES
    record: bytes = b""
    epoch: int = 0


@dataclass(frozen=True)
class Channel:
    """What the transport says about this very connection."""

    exporter: bytes  #: 32 bytes, equal on both ends and on no other connection (RFC 8446 §7.5)
    group: str  #: the TLS key exchange group
    dialed: bool  #: whether this side opened it


@dataclass(frozen=True)
class PeerIdentity:
    """Who proved to be at the other end, and what they grant."""

    role: Role
    name: str
    key: bytes
    features: tuple[str, ...]
    version: int
    window_envelopes: int
    window_bytes: int
    record: bytes
    epoch: int
    dialed: bool  #: whether *we* opened the link


class _Phase(Enum):
    HELLO = auto()
    PROOF = auto()
    DONE = auto()


@dataclass
class _Transcript:
    own: bytes
    peer: bytes = field(default=b"")


def proof_payload(role: Role, channel: Channel, keys: Sequence[bytes], hellos: Sequence[bytes]) -> bytes:
    """What a Proof signs: role, exporter, own and peer key, TLS group, BLAKE2b-256 of own and of the peer's Hello."""
    digests = [blake2b(hello, digest_size=32).digest() for hello in hellos]
    return pack((int(role), channel.exporter, keys[0], keys[1], channel.group, digests[0], digests[1]))


class Handshake:
    """One side of it. Feed it bytes until `peer` is set; then `finish()` turns it into a Session."""

    def __init__(self, own: Own, channel: Channel, now_ms: WallMs, expected_key: bytes | None = None) -> None:
        self._own = own
        self._channel = channel
        self._now_ms = now_ms
        self._expected_key = expected_key
        self._phase = _Phase.HELLO
        self._frames = FrameBuffer(HANDSHAKE_FRAME_MAX_BYTES)
        self._hello: Hello | None = None
        self.peer: PeerIdentity | None = None
        hello = encode(
            Hello(
                PROTOCOL_VERSION_MIN,
                PROTOCOL_VERSION_MAX,
                own.role,
                own.name,
                own.key.public,
                own.features,
                channel.group,
                now_ms,
                own.window_envelopes,
                own.window_bytes,
                own.record,
                own.epoch,
            )
        )
        self._transcript = _Transcript(hello[4:])
        self._out = [hello]

    def bytes_to_send(self) -> bytes:
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer; `b""` means that it hung up.

        Raises PeerFault: the peer broke the handshake, said Goodbye (its code), or is not the expected one.
        """
        if not data:
            raise PeerFault(Code.OUT_OF_ORDER, "hung up during the handshake")
        frames = self._frames.cut(data)
        # Behind a Proof may follow anything, in frames of any size: that is the session's.
        while self._phase is not _Phase.DONE and (frame := next(frames, None)) is not None:
            if self._phase is _Phase.HELLO:
                self._take_hello(frame)
            else:
                self._take_proof(frame)

    @staticmethod
    def refuse(code: Code, text: str = "") -> bytes:
        """The Goodbye frame that ends the link instead of `finish()`."""
        return encode(Goodbye(code.number, text))

    def finish(self, now: Instant) -> Session:
        """The session that the handshake has earned. Raises ValueError before `peer` is set."""
        if self.peer is None:
            raise ValueError("the handshake is not complete")
        peer, own = self.peer, self._own
        # However much it grants, what is in flight is held in memory here until its receipt comes.
        node = peer.role is Role.NODE
        most, most_bytes = (WINDOW_ENVELOPES, WINDOW_BYTES) if node else (DEVICE_WINDOW_ENVELOPES, DEVICE_WINDOW_BYTES)
        terms = Terms(
            own.key,
            peer.key,
            min(peer.window_envelopes, most),
            min(peer.window_bytes, most_bytes),
            own.window_envelopes,
            own.window_bytes,
        )
        return Session(terms, now, self._frames.rest())

    def _take_hello(self, frame: bytes) -> None:
        hello = decode(frame)
        if isinstance(hello, Goodbye):
            raise _said_goodbye(hello)
        if not isinstance(hello, Hello):
            raise PeerFault(Code.OUT_OF_ORDER, f"{type(hello).__name__} before Hello")
        if hello.version_min > PROTOCOL_VERSION_MAX or hello.version_max < PROTOCOL_VERSION_MIN:
            raise PeerFault(Code.VERSION, f"peer speaks {hello.version_min} to {hello.version_max}")
        if not _name_fits(hello.role, hello.name):
            raise PeerFault(Code.BAD_FRAME, f"{hello.name[:80]!r} is no name of a {hello.role.name.lower()}")
        if hello.key == self._own.key.public:
            raise PeerFault(Code.WRONG_PEER, "it has our own key")
        if self._expected_key not in (None, hello.key):
            raise PeerFault(Code.WRONG_PEER, f"{hello.name} answered with another key than expected")
        if hello.group != self._channel.group:
            raise PeerFault(Code.BAD_PROOF, f"peer sees TLS group {hello.group!r}, we see {self._channel.group!r}")
        if abs(hello.now_ms - self._now_ms) > CLOCK_TOLERANCE_MS:
            ahead = (hello.now_ms - self._now_ms) / 1000
            raise PeerFault(Code.CLOCK_SKEW, f"the peer's clock is {ahead:+.0f} s from ours")
        self._hello = hello
        self._transcript.peer = frame
        payload = proof_payload(
            self._own.role,
            self._channel,
            (self._own.key.public, hello.key),
            (self._transcript.own, self._transcript.peer),
        )
        self._out.append(encode(Proof(self._own.key.sign(Purpose.LINK_PROOF, payload))))
        self._phase = _Phase.PROOF

    def _take_proof(self, frame: bytes) -> None:
        proof, hello = decode(frame), self._hello
        if isinstance(proof, Goodbye):
            raise _said_goodbye(proof)
        if not isinstance(proof, Proof) or hello is None:
            raise PeerFault(Code.OUT_OF_ORDER, f"{type(proof).__name__} before Proof")
        payload = proof_payload(
            hello.role,
            self._channel,
            (hello.key, self._own.key.public),
            (self._transcript.peer, self._transcript.own),
        )
        try:
            verify(hello.key, Purpose.LINK_PROOF, payload, proof.signature)
        except PeerFault:
            raise PeerFault(Code.BAD_PROOF, f"{hello.name}: replayed, or something in the middle ends TLS") from None
        self._phase = _Phase.DONE
        self.peer = PeerIdentity(
            hello.role,
            hello.name,
            hello.key,
            hello.features,
            min(PROTOCOL_VERSION_MAX, hello.version_max),
            hello.window_envelopes,
            hello.window_bytes,
            hello.record,
            hello.epoch,
            self._channel.dialed,
        )


def _said_goodbye(goodbye: Goodbye) -> PeerFault:
    """The peer's own reason, as a fault; OUT_OF_ORDER for a number that this version does not know."""
    reason = f"peer refused: {goodbye.text}" if goodbye.text else "peer refused"
    return PeerFault(code_of(goodbye.code) or Code.OUT_OF_ORDER, reason)


def _name_fits(role: Role, name: str) -> bool:
    if role is Role.NODE:
        return is_canonical_provider(name)
    try:
        return str(parse_address(name)) == name
    except LocalError:
        return False
