"""Every decoder, with seeds for it and the errors that it documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from scripts.support.fuzz import seeds
from scripts.support.fuzz.mls_inside import inside
from scripts.support.fuzz.mls_outside import outside
from scripts.support.fuzz.target import Decode, Stream, Target
from zeroconf import ServiceInfo

from waypost.client.schemes.payload import open_payload
from waypost.crypto import kem, padding, seal, vault
from waypost.crypto.keys import Purpose, SigningKey, envelope_id, parse_key
from waypost.daemon import config
from waypost.discovery.mdns import sighting_of
from waypost.discovery.responder import SERVICE_TYPE
from waypost.discovery.txt import parse_dns_values
from waypost.errors import LocalError, PeerFault
from waypost.ids import parse_address, parse_id, parse_provider
from waypost.limits import HANDSHAKE_FRAME_MAX_BYTES, KIB, VAULT_MEMORY_MAX_KIB, VAULT_PASSES_MAX
from waypost.protocol import operator as admin
from waypost.protocol.custody import transfer as custody
from waypost.protocol.custody.envelope import decode_envelope, sender_of, time_fault
from waypost.protocol.directory import asks
from waypost.protocol.directory.bundle import open_claim, open_device_list, open_package
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.record import open_record
from waypost.protocol.frames.codec import FrameBuffer, pack, read
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Role, decode
from waypost.protocol.frames.session import Session, Terms
from waypost.protocol.frames.signed import Signed

# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _stream(name: str, decode: Stream, seeds: Sequence[bytes], **more: Any) -> Target:
    """A decoder that is fed in pieces."""
    return Target(name, lambda data: decode([data]), seeds, stream=decode, **more)


def _cut(pieces: Sequence[bytes]) -> object:
    buffer, frames = FrameBuffer(HANDSHAKE_FRAME_MAX_BYTES), []
    try:
        for piece in pieces:
            for frame in buffer.cut(piece):
                frames.append(frame)  # noqa: PERF402 - what came before a fault counts
    except PeerFault as fault:
        return frames, fault.code
    return frames, buffer.rest()


def _greeted(pieces: Sequence[bytes]) -> object:
    handshake = Handshake(seeds.OWN, seeds.CHANNEL, seeds.NOW_MS)
    handshake.bytes_to_send()
    for piece in pieces:
        if handshake.peer is not None:
            break
        if piece:
            handshake.receive(piece)
    return handshake.peer, handshake.bytes_to_send()


_TERMS = Terms(seeds.NODE, seeds.PEER.public, 4096, 2**24, 4096, 2**24)


def _conversed(pieces: Sequence[bytes]) -> object:
    session = Session(_TERMS, 0.0)
    envelope = seeds.ENVELOPES[0]
    session.offer([envelope], [envelope_id(envelope)], "batch")
    session.ask(asks.Track(seeds.REQUEST), "question", 0.0)
    session.bytes_to_send()
    events = []
    for piece in pieces:
        if piece:
            events += session.receive(piece, 1.0)
    return events, session.bytes_to_send(), session.closed


_OWN_FAR = Own(Role.NODE, seeds.FINCH, seeds.PEER)


def _proven(data: bytes) -> bytes:
    """The spoilt Hello, with a proof that fits it: behind it lies what only a proven liar reaches."""
    body = data[4 : 4 + int.from_bytes(data[:4], "big")]
    return seeds.far_frames(_OWN_FAR, lambda _hello: body)


def _framed(data: bytes) -> bytes:
    """One frame with a length that fits, its receipt signed anew."""
    body = data[4:]
    try:
        message = decode(body)
    except PeerFault:
        message = None
    if isinstance(message, custody.Receipt):
        body = pack(custody.Receipt(message.payload, seeds.PEER.sign(Purpose.RECEIPT, message.payload)))
    return len(body).to_bytes(4, "big") + body


def _admin_request(data: bytes) -> object:
    return read(data, admin.Request)  # type: ignore[arg-type] # a union


# ── signed things ───────────────────────────────────────────────────────────────────────────────────────────────────


def _signed(name: str, decode: Decode, seeds: Sequence[bytes], purpose: Purpose, key: SigningKey) -> Target:
    """One that opens what that key has signed for that purpose; repaired, it is signed anew."""

    def sign(data: bytes) -> bytes:
        try:
            payload = read(data, Signed).payload
        except PeerFault:
            payload = data
        return pack(Signed(payload, key.sign(purpose, payload)))

    return Target(name, decode, seeds, structured=True, repair=sign)


def _open_claim(data: bytes) -> object:
    return open_claim(read(data, asks.ClaimAnswer), parse_address(seeds.BOB), seeds.REQUEST, seeds.NOW_MS)


def _claim_signed(data: bytes) -> bytes:
    try:
        answer = read(data, asks.ClaimAnswer)
    except PeerFault:
        return data
    signature = seeds.NODE.sign(Purpose.ANSWER, answer.reply)
    return pack(asks.ClaimAnswer(answer.reply, signature, seeds.RECORDS[0]))


# ── envelopes and bodies ────────────────────────────────────────────────────────────────────────────────────────────


def _said(data: bytes) -> bytes:
    """The same payload, signed anew."""
    return seal.sign_content(seeds.DEVICE, data[:-96])


def _decode_envelope(data: bytes) -> object:
    envelope = decode_envelope(data)
    return envelope, sender_of(envelope), time_fault(envelope, seeds.NOW_MS)


def _checked(data: bytes) -> bytes:
    """A vault blob with a checksum that fits, and no allowed cost but the least: Argon2 is slow on purpose."""
    sealed = bytearray(data[:-16])
    passes, memory_kib = int.from_bytes(sealed[16:20], "big"), int.from_bytes(sealed[20:24], "big")
    if len(sealed) >= 24 and 1 <= passes <= VAULT_PASSES_MAX and 8 <= memory_kib <= VAULT_MEMORY_MAX_KIB:
        sealed[16:24] = (1).to_bytes(4, "big") + (8).to_bytes(4, "big")
    return bytes(sealed) + hashlib.blake2b(sealed, digest_size=16).digest()


# ── texts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _text(name: str, parse: Callable[[str], object], texts: Sequence[bytes]) -> Target:
    """What a person types, or what an argument holds that is no UTF-8 (PEP 383)."""
    return Target(
        name,
        lambda data: parse(data.decode("utf-8", "surrogateescape")),
        texts,
        (LocalError,),
        largest=16 * KIB,
        # Four bytes a character, and the error quotes it.
        memory_factor=64,
    )


def _sighted(data: bytes) -> object:
    info = ServiceInfo(
        SERVICE_TYPE,
        f"finch-x.{SERVICE_TYPE}",
        port=7711,
        properties=data,
        server="finch.local.",
        addresses=[b"\xc0\x00\x02\x07"],
    )
    return sighting_of(info, ("192.0.2.1",))


# ── all of them ─────────────────────────────────────────────────────────────────────────────────────────────────────

_BODIES, _REPLIES = seeds.SEALED_BODIES, seeds.REPLIES.items()
_open_devices: Final = partial(open_device_list, address=seeds.BOB)
_open_package: Final = partial(open_package, device=seeds.DEVICE.public)
_open_sealed: Final = partial(seal.open_sealed, recipient=seeds.BOB, find_key=seeds.find_kem)
_open_payload: Final = partial(open_payload, envelope=seeds.ENVELOPE, recipient=seeds.BOB)
_unlock: Final = partial(vault.unlock, passphrase=seeds.PASSPHRASE)

#: In the order in which bytes come up from the network.
_TARGETS = (
    Target("codec.decode", decode, [frame[4:] for frame in seeds.FRAMES], structured=True),
    _stream("FrameBuffer", _cut, seeds.CONVERSATIONS),
    _stream("Handshake.receive", _greeted, seeds.HANDSHAKES, repair=_proven),
    # A session turns faults into events.
    _stream("Session.receive", _conversed, seeds.CONVERSATIONS, allowed=(), repair=_framed, repair_every=3),
    Target("admin.Request", _admin_request, seeds.ADMIN_REQUESTS, structured=True),
    *(Target(f"read.{kind.__name__}", partial(read, kind=kind), [seed], structured=True) for kind, seed in _REPLIES),
    _signed("open_record", partial(open_record, now_ms=seeds.NOW_MS), seeds.RECORDS, Purpose.NODE_RECORD, seeds.NODE),
    _signed("open_device_list", _open_devices, [seeds.DEVICE_LIST], Purpose.DEVICE_LIST, seeds.IDENTITY),
    _signed("open_package", _open_package, [seeds.SIGNED_PACKAGE], Purpose.KEY_PACKAGE, seeds.DEVICE),
    Target("open_claim", _open_claim, [seeds.CLAIM_ANSWER], structured=True, repair=_claim_signed),
    Target("decode_envelope", _decode_envelope, seeds.ENVELOPES, structured=True),
    Target("seal.parse_sealed", seal.parse_sealed, _BODIES),
    Target("seal.open_sealed", _open_sealed, _BODIES, (PeerFault, LocalError)),
    Target("seal.verify_content", seal.verify_content, [seeds.SIGNED_CONTENT]),
    Target("content.open_payload", _open_payload, seeds.CONTENTS, repair=_said),
    Target("kem.seal_to", lambda data: kem.seal_to(data, b"info", bytes(32)), [seeds.KEM.public]),
    Target("padding.unpad", padding.unpad, [padding.pad(b"text"), padding.pad(b"x" * 300)]),
    Target("vault.unlock", _unlock, [seeds.VAULT], (LocalError,), repair=_checked, repair_every=4),
    Target("mdns.sighting_of", _sighted, seeds.LAN_TEXTS, ()),
    Target("txt.parse_dns_values", lambda data: parse_dns_values([data]), seeds.DNS_TEXTS, ()),
    _text("parse_invite", parse_invite, seeds.INVITES),
    _text("parse_address", parse_address, seeds.ADDRESSES),
    _text("parse_provider", parse_provider, [seed.rpartition(b"@")[2] for seed in seeds.ADDRESSES]),
    _text("parse_id", parse_id, [b"00ff" * 8, b" 0123456789ABCDEF0123456789abcdef\n"]),
    _text("parse_key", parse_key, [b"a" * 52, b" " + b"MFRGG" * 10 + b"AA "]),
    _text("config.parse", lambda text: config.parse(text, Path("waypost.toml")), seeds.CONFIGURATIONS),
)


def targets() -> list[Target]:
    """Every decoder; those of MLS come last."""
    return [*_TARGETS, *outside(), *inside()]
