"""Valid inputs of every kind, always the same: what the mutations start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from hashlib import blake2b

from waypost.client.mail.content import PLAIN_TEXT
from waypost.client.schemes.payload import PURPOSE, Payload, sign_payload
from waypost.clock import WallMs
from waypost.crypto import seal, vault
from waypost.crypto.kem import KemKey
from waypost.crypto.keys import Purpose, SigningKey, envelope_id
from waypost.daemon.template import template
from waypost.discovery.txt import Announcement, dns_value, lan_properties
from waypost.ids import Provider
from waypost.protocol import operator as admin
from waypost.protocol.custody import messages as custody
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import batch_digest
from waypost.protocol.directory import asks
from waypost.protocol.directory.bundle import DeviceList, KeyPackage, sign_claim, sign_device_list, sign_package
from waypost.protocol.directory.invite import Invite, invite_text
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, sign_record, succession_payload
from waypost.protocol.frames import messages as m
from waypost.protocol.frames.codec import encode, pack
from waypost.protocol.frames.handshake import Channel, Handshake, Own

NOW_MS: WallMs = 1_790_000_000_000
DAY_MS = 86_400_000
ALICE, BOB, BIRDY, FINCH = "alice@birdy.local", "bob@finch.local", "birdy.local", "finch.local"
PASSPHRASE = "correct horse"  # noqa: S105


def key(name: str) -> SigningKey:
    """A key that is that name's, always."""
    return SigningKey(blake2b(name.encode(), digest_size=32).digest())


NODE, PEER, DEVICE, IDENTITY = key("node"), key("peer"), key("device"), key("identity")
KEM = KemKey(blake2b(b"kem", digest_size=32).digest())
REQUEST = bytes(range(16))

# ── envelopes ───────────────────────────────────────────────────────────────────────────────────────────────────────

ENVELOPE = Envelope(1, FINCH, ("bob",), ALICE, NOW_MS, 432_000, EnvelopeClass.TEXT, "x-test", b"hello, world" * 4)


@cache
def envelopes() -> tuple[bytes, ...]:
    return (
        encode_envelope(ENVELOPE),
        encode_envelope(
            replace_struct(ENVELOPE, users=tuple(f"user{n}" for n in range(20)), class_=EnvelopeClass.BULK)
        ),
        encode_envelope(replace_struct(ENVELOPE, provider="xn--bcher-kva.example", users=("zoë",), body=bytes(600))),
    )


def replace_struct(struct: Envelope, **changes: object) -> Envelope:
    """`dataclasses.replace` for an envelope."""
    fields = {name: getattr(struct, name) for name in struct.__struct_fields__} | changes
    return Envelope(**fields)


# ── signed things ───────────────────────────────────────────────────────────────────────────────────────────────────

RECORD = NodeRecord(
    1, FINCH, NODE.public, 7, NOW_MS, NOW_MS + DAY_MS, (RecordEndpoint("192.0.2.7", 7711),), ("seal.1",)
)
DEVICES = DeviceList(1, BOB, IDENTITY.public, 3, (DEVICE.public, PEER.public))
PACKAGE = KeyPackage(1, "seal.1", DEVICE.public, KEM.public, NOW_MS + DAY_MS, last_resort=False)


@cache
def records() -> tuple[bytes, ...]:
    old = key("former")
    succession = old.sign(Purpose.RECORD_SUCCESSION, succession_payload(FINCH, NODE.public))
    moved = NodeRecord(
        1,
        FINCH,
        NODE.public,
        8,
        NOW_MS,
        NOW_MS + DAY_MS,
        (),
        ("a", "b"),
        RecordState.MOVED,
        "wren.example",
        9,
        old.public,
        succession,
    )
    return sign_record(RECORD, NODE), sign_record(moved, NODE)


@cache
def device_lists() -> tuple[bytes, ...]:
    return (sign_device_list(DEVICES, IDENTITY),)


@cache
def packages() -> tuple[bytes, ...]:
    return (sign_package(PACKAGE, DEVICE),)


@cache
def claim_replies() -> tuple[asks.ClaimReply, ...]:
    keys = (
        asks.DeviceKeys(DEVICE.public, "one-time", packages()[0]),
        asks.DeviceKeys(PEER.public, "exhausted"),
    )
    return (asks.ClaimReply(REQUEST, BOB, NOW_MS, device_lists()[0], keys),)


@cache
def claim_answers() -> tuple[bytes, ...]:
    return tuple(pack(sign_claim(reply, NODE, records()[0])) for reply in claim_replies())


@cache
def sealed_bodies() -> tuple[bytes, ...]:
    identifier = seal.package_id(packages()[0])
    content = seal.sign_content(DEVICE, b"payload" * 9)
    return tuple(
        seal.seal(content, blake2b(b"content", digest_size=32).digest(), BOB, entries)
        for entries in ([(identifier, KEM.public)], [(bytes(16), KemKey(bytes(32)).public), (identifier, KEM.public)])
    )


@cache
def contents() -> tuple[bytes, ...]:
    """What bob finds in `ENVELOPE`."""
    devices = sign_device_list(DeviceList(1, ALICE, IDENTITY.public, 3, (DEVICE.public,)), IDENTITY)
    return tuple(
        sign_payload(
            Payload(1, PURPOSE, ALICE, BOB, REQUEST, NOW_MS, PLAIN_TEXT, b"hello", reply, devices),
            DEVICE,
        )
        for reply in (b"", REQUEST)
    )


def find_kem(package_id: bytes) -> KemKey | None:
    """The key behind the one package that the sealed seeds use."""
    return KEM if package_id == seal.package_id(packages()[0]) else None


@cache
def vaults() -> tuple[bytes, ...]:
    return (vault.lock(b"secret" * 9, PASSPHRASE, bytes(16), bytes(12), vault.Cost(1, 8)),)


INVITE = Invite(1, BOB, REQUEST, NODE.public, (RecordEndpoint("192.0.2.7", 7711),), NOW_MS + DAY_MS)


@cache
def invites() -> tuple[bytes, ...]:
    return (invite_text(INVITE).encode(), b"waypost:\n  " + invite_text(INVITE)[8:].encode() + b" \n")


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANNEL = Channel(bytes(range(32)), "x25519", dialed=True)
OWN = Own(m.Role.NODE, BIRDY, NODE)
_FAR = Own(m.Role.NODE, FINCH, PEER, ("seal.1",))
OUTCOME = custody.Outcome("alice", BOB, 0, NOW_MS, REQUEST * 3)


@cache
def handshakes() -> tuple[bytes, ...]:
    """Both frames of a peer, for the handshake that `OWN` begins on `CHANNEL`; of a node and of a device."""
    record = NodeRecord(1, FINCH, PEER.public, 1, NOW_MS, NOW_MS + DAY_MS, (RecordEndpoint("192.0.2.9", 1),), ())
    return (
        far_frames(replace(_FAR, record=sign_record(record, PEER), epoch=4)),
        far_frames(replace(_FAR, role=m.Role.DEVICE, name=ALICE)),
        encode(m.Goodbye(152, "no")),
    )


def far_frames(far: Own, spoil: Callable[[bytes], bytes] = bytes) -> bytes:
    """Hello and Proof of the other side. `spoil` may change the Hello; the Proof then signs what was sent."""
    near, other = Handshake(OWN, CHANNEL, NOW_MS), Handshake(far, replace(CHANNEL, dialed=False), NOW_MS)
    hello = other.bytes_to_send()
    body = spoil(hello[4:])
    other._transcript.own = body  # noqa: SLF001 - a liar's own transcript
    other.receive(near.bytes_to_send())
    return len(body).to_bytes(4, "big") + body + other.bytes_to_send()


@cache
def requests() -> tuple[asks.Ask, ...]:
    return (
        asks.Join(REQUEST, device_lists()[0], "phone"),
        asks.Publish(REQUEST, 1, (packages()[0],), packages()[0]),
        asks.Claim(REQUEST, BOB, ("seal.1", "mls.1")),
        asks.Track(REQUEST),
        asks.Records(records()),
        asks.AskReach("some", (BIRDY, "wren.example")),
    )


@cache
def receipt_payloads() -> tuple[bytes, ...]:
    """For the batch that `targets.session` has offered."""
    digest = batch_digest(envelope_id(envelopes()[0]))
    return (
        pack(custody.ReceiptPayload(1, NOW_MS, digest)),
        pack(custody.ReceiptPayload(1, NOW_MS, digest, (custody.Refusal(0, 201, 30),))),
    )


@cache
def messages() -> tuple[m.Message, ...]:
    """One of each kind, and of each that a session takes a different way."""
    receipts = tuple(custody.Receipt(payload, PEER.sign(Purpose.RECEIPT, payload)) for payload in receipt_payloads())
    return (
        m.Hello(1, 1, m.Role.NODE, FINCH, PEER.public, ("seal.1",), "x25519", NOW_MS, 4096, 2**24, records()[0], 3),
        m.Proof(bytes(64)),
        custody.Offer(1, envelopes()),
        custody.Offer(1, envelopes()[:1]),
        *receipts,
        custody.Delivered(2, (OUTCOME, custody.Outcome("carol", BOB, 300, NOW_MS, REQUEST))),
        *(m.Query(number, ask) for number, ask in enumerate(requests(), 1)),
        m.Answer(1, 0, "", claim_answers()[0], bytes(64)),
        m.Answer(1, 300, "no such user"),
        m.Notice(m.NoticeKind.HELD, 0, NOW_MS, REQUEST * 4),
        m.Notice(m.NoticeKind.RECORD, data=records()[0]),
        m.Signal(BOB, ALICE, "x-typing", b"..."),
        m.Ping(7),
        m.Pong(7),
        m.Goodbye(150, "until later"),
    )


@cache
def frames() -> tuple[bytes, ...]:
    return tuple(encode(message) for message in messages())


@cache
def conversations() -> tuple[bytes, ...]:
    """What arrives in one piece: single frames, and several in a row."""
    every = frames()
    return (*every, b"".join(every[4:8]), every[2] + every[-3] + every[6], b"".join(every[7:13]) + every[-1])


# ── other texts and answers ─────────────────────────────────────────────────────────────────────────────────────────


@cache
def admin_requests() -> tuple[bytes, ...]:
    requests = (
        admin.GetStatus(),
        admin.AddUser("bob", again=True),
        admin.ListUsers(),
        admin.RemoveUser("bob"),
        admin.SetReach("bob", "some", (BIRDY,)),
        admin.ListPeers(),
        admin.SetPeer(FINCH, "pin", "1" * 60),
        admin.ListQueue(),
        admin.ActOnQueue(FINCH, "retry"),
        admin.Why("00" * 16),
        admin.Leave("wren.example"),
        admin.Backup("copy"),
        admin.Stop(),
    )
    return tuple(map(pack, requests))


@cache
def replies() -> dict[type, bytes]:
    """The body of each kind of answer."""
    return {
        custody.ReceiptPayload: receipt_payloads()[1],
        custody.Outcome: pack(OUTCOME),
        asks.TrackReply: pack(asks.TrackReply((asks.TrackRow(NOW_MS, "held", FINCH, 0),) * 3, "held", 5, 0)),
        asks.JoinReply: pack(asks.JoinReply(BOB, records()[0], 3)),
        asks.PublishReply: pack(asks.PublishReply(99, 3)),
        asks.ClaimReply: pack(claim_replies()[0]),
        asks.ClaimAnswer: claim_answers()[0],
        asks.RecordsReply: pack(asks.RecordsReply(records())),
        asks.ReachReply: pack(asks.ReachReply("some", (BIRDY,))),
        admin.Response: pack(admin.Response(0, "", '{"a": 1}')),
    }


@cache
def lan_texts() -> tuple[bytes, ...]:
    """TXT data of mDNS announcements (RFC 6763 §6): each value behind a byte with its length."""
    properties = lan_properties(Announcement(Provider(FINCH), 7711, PEER.public, REQUEST))
    strings = [f"{name}={value}".encode() for name, value in properties.items()]
    return (
        b"".join(bytes([len(text)]) + text for text in strings),
        b"".join(bytes([len(text)]) + text for text in (*strings[::-1], b"flag", b"=x", b"")),
    )


@cache
def dns_texts() -> tuple[bytes, ...]:
    return dns_value(PEER.public).encode(), b"v=waypost2; key=x", b"v=spf1 -all"


@cache
def configurations() -> tuple[bytes, ...]:
    whole = template(Provider(FINCH), ("127.0.0.1:0",))
    bare = "\n".join(line.removeprefix("# ") for line in whole.splitlines() if " = " in line and "[[" not in line)
    return whole.encode(), bare.encode(), b'name = "finch.local"\n[limits]\naccount_burst = 3\n[log]\nlevel = "info"\n'


ADDRESSES = (
    b"bob@finch.example",
    b" Bob+news@Finch.Local. ",
    "zoë@bücher.example".encode(),
    "\uff41\uff4c@xn--bcher-kva.example".encode(),
    ("a" * 64 + "@" + "b" * 63 + ".example").encode(),
    "שלום@example.org".encode(),
    "ß\u200d@faß.de".encode(),
)
