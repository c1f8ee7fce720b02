"""Every decoder, with seeds for it and the errors that it documents."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from scripts.support.fuzz import seeds
from scripts.support.fuzz.mls_inside import inside
from scripts.support.fuzz.mls_outside import outside
from scripts.support.fuzz.target import Target
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
from waypost.protocol.custody import messages as custody
from waypost.protocol.custody.envelope import decode_envelope, sender_of, time_fault
from waypost.protocol.directory import asks
from waypost.protocol.directory.bundle import open_claim, open_device_list, open_package
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.record import open_record
from waypost.protocol.frames.codec import FrameBuffer, decode, pack, read
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Role
from waypost.protocol.frames.session import Session, Terms
from waypost.protocol.frames.signed import Signed


def targets() -> list[Target]:
    """All of them, in the order in which bytes come up from the network; then those of MLS."""
    return [*_links(), *_signed(), *_bodies(), *_texts(), *outside(), *inside()]


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _links() -> Iterator[Target]:
    frames = [frame[4:] for frame in seeds.frames()]
    yield Target("codec.decode", decode, frames)
    yield Target("FrameBuffer", lambda data: _cut([data]), seeds.conversations(), structured=False, stream=_cut)
    yield Target(
        "Handshake.receive",
        lambda data: _greeted([data]),
        seeds.handshakes(),
        structured=False,
        stream=_greeted,
        repair=_proven,
    )
    yield Target(
        "Session.receive",
        lambda data: _conversed([data]),
        seeds.conversations(),
        # A session turns faults into events.
        allowed=(),
        structured=False,
        stream=_conversed,
        repair=_framed,
        repair_every=3,
    )
    yield Target("admin.Request", _admin_request, seeds.admin_requests())
    for kind, seed in seeds.replies().items():
        yield Target(f"read.{kind.__name__}", _reader(kind), [seed])


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
    envelope = seeds.envelopes()[0]
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


def _reader(kind: type) -> Callable[[bytes], object]:
    return lambda data: read(data, kind)


# ── signed things ───────────────────────────────────────────────────────────────────────────────────────────────────


def _signed() -> Iterator[Target]:
    yield Target(
        "open_record",
        lambda data: open_record(data, seeds.NOW_MS),
        seeds.records(),
        repair=_signer(Purpose.NODE_RECORD, seeds.NODE),
    )
    yield Target(
        "open_device_list",
        lambda data: open_device_list(data, seeds.BOB),
        seeds.device_lists(),
        repair=_signer(Purpose.DEVICE_LIST, seeds.IDENTITY),
    )
    yield Target(
        "open_package",
        lambda data: open_package(data, seeds.DEVICE.public),
        seeds.packages(),
        repair=_signer(Purpose.KEY_PACKAGE, seeds.DEVICE),
    )
    yield Target("open_claim", _open_claim, seeds.claim_answers(), repair=_claim_signed)


def _signer(purpose: Purpose, key: SigningKey) -> Callable[[bytes], bytes]:
    def sign(data: bytes) -> bytes:
        try:
            payload = read(data, Signed).payload
        except PeerFault:
            payload = data
        return pack(Signed(payload, key.sign(purpose, payload)))

    return sign


def _open_claim(data: bytes) -> object:
    return open_claim(read(data, asks.ClaimAnswer), parse_address(seeds.BOB), seeds.REQUEST, seeds.NOW_MS)


def _claim_signed(data: bytes) -> bytes:
    try:
        answer = read(data, asks.ClaimAnswer)
    except PeerFault:
        return data
    signature = seeds.NODE.sign(Purpose.ANSWER, answer.reply)
    return pack(asks.ClaimAnswer(answer.reply, signature, seeds.records()[0]))


# ── envelopes and bodies ────────────────────────────────────────────────────────────────────────────────────────────


def _bodies() -> Iterator[Target]:
    yield Target("decode_envelope", _decode_envelope, seeds.envelopes())
    bodies = seeds.sealed_bodies()
    yield Target("seal.parse_sealed", seal.parse_sealed, bodies, structured=False)
    yield Target(
        "seal.open_sealed",
        lambda data: seal.open_sealed(data, seeds.BOB, seeds.find_kem),
        bodies,
        (PeerFault, LocalError),
        structured=False,
    )
    yield Target(
        "seal.verify_content",
        seal.verify_content,
        [seal.sign_content(seeds.DEVICE, b"payload" * 9)],
        structured=False,
    )
    yield Target("content.open_payload", _open_payload, seeds.contents(), structured=False, repair=_said)
    yield Target(
        "kem.seal_to", lambda data: kem.seal_to(data, b"info", bytes(32)), [seeds.KEM.public], structured=False
    )
    yield Target("padding.unpad", padding.unpad, [padding.pad(b"text"), padding.pad(b"x" * 300)], structured=False)
    yield Target(
        "vault.unlock",
        lambda data: vault.unlock(data, seeds.PASSPHRASE),
        seeds.vaults(),
        (LocalError,),
        structured=False,
        repair=_checked,
        repair_every=4,
    )


def _open_payload(data: bytes) -> object:
    return open_payload(data, seeds.ENVELOPE, seeds.BOB)


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


def _texts() -> Iterator[Target]:
    yield Target("mdns.sighting_of", _sighted, seeds.lan_texts(), (), structured=False)
    yield Target("txt.parse_dns_values", lambda data: parse_dns_values([data]), seeds.dns_texts(), (), structured=False)
    yield _text("parse_invite", parse_invite, seeds.invites())
    yield _text("parse_address", parse_address, seeds.ADDRESSES)
    yield _text("parse_provider", parse_provider, [seed.rpartition(b"@")[2] for seed in seeds.ADDRESSES])
    yield _text("parse_id", parse_id, [b"00ff" * 8, b" 0123456789ABCDEF0123456789abcdef\n"])
    yield _text("parse_key", parse_key, [b"a" * 52, b" " + b"MFRGG" * 10 + b"AA "])
    yield _text("config.parse", lambda text: config.parse(text, Path("waypost.toml")), seeds.configurations())


def _text(name: str, parse: Callable[[str], object], texts: Sequence[bytes]) -> Target:
    """What a person types, or what an argument holds that is no UTF-8 (PEP 383)."""
    return Target(
        name,
        lambda data: parse(data.decode("utf-8", "surrogateescape")),
        texts,
        (LocalError,),
        structured=False,
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
