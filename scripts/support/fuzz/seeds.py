"""Valid inputs of every kind, always the same: what the mutations start from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from hashlib import blake2b

from msgspec.structs import replace as alter

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
from waypost.protocol.custody import transfer as custody
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import batch_digest
from waypost.protocol.directory import asks
from waypost.protocol.directory.bundle import DeviceList, DevicePackage, sign_claim, sign_device_list, sign_package
from waypost.protocol.directory.invite import Invite, invite_text
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, sign_record, succession_payload
from waypost.protocol.frames import messages as m
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.handshake import Channel, Handshake, Own
from waypost.protocol.frames.messages import encode

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
ENVELOPES = (
    encode_envelope(ENVELOPE),
    encode_envelope(alter(ENVELOPE, users=tuple(f"user{n}" for n in range(20)), class_=EnvelopeClass.BULK)),
    encode_envelope(alter(ENVELOPE, provider="xn--bcher-kva.example", users=("zoë",), body=bytes(600))),
)


# ── signed things ───────────────────────────────────────────────────────────────────────────────────────────────────

RECORD = NodeRecord(
    1, FINCH, NODE.public, 7, NOW_MS, NOW_MS + DAY_MS, (RecordEndpoint("192.0.2.7", 7711),), ("seal.1",)
)
DEVICES = DeviceList(1, BOB, IDENTITY.public, 3, (DEVICE.public, PEER.public))
PACKAGE = DevicePackage(1, "seal.1", DEVICE.public, KEM.public, NOW_MS + DAY_MS, last_resort=False)


_FORMER = key("former")
MOVED = alter(
    RECORD,
    sequence=8,
    endpoints=(),
    features=("a", "b"),
    state=RecordState.MOVED,
    moved_to="wren.example",
    body_max_bytes=9,
    old_key=_FORMER.public,
    old_signature=_FORMER.sign(Purpose.RECORD_SUCCESSION, succession_payload(FINCH, NODE.public)),
)
RECORDS = sign_record(RECORD, NODE), sign_record(MOVED, NODE)
DEVICE_LIST, SIGNED_PACKAGE = sign_device_list(DEVICES, IDENTITY), sign_package(PACKAGE, DEVICE)
DEVICE_KEYS = (
    asks.DeviceKeys(DEVICE.public, "one-time", SIGNED_PACKAGE),
    asks.DeviceKeys(PEER.public, "exhausted"),
)
CLAIM_REPLY = asks.ClaimReply(REQUEST, BOB, NOW_MS, DEVICE_LIST, DEVICE_KEYS)
CLAIM_ANSWER = pack(sign_claim(CLAIM_REPLY, NODE, RECORDS[0]))

_FOR_DEVICE = (seal.package_id(SIGNED_PACKAGE), KEM.public)
SIGNED_CONTENT = seal.sign_content(DEVICE, b"payload" * 9)
SEALED_BODIES = tuple(
    seal.seal(SIGNED_CONTENT, blake2b(b"content", digest_size=32).digest(), BOB, entries)
    for entries in ([_FOR_DEVICE], [(bytes(16), KemKey(bytes(32)).public), _FOR_DEVICE])
)
_SENDERS = sign_device_list(DeviceList(1, ALICE, IDENTITY.public, 3, (DEVICE.public,)), IDENTITY)
#: What bob finds in `ENVELOPE`.
CONTENTS = tuple(
    sign_payload(Payload(1, PURPOSE, ALICE, BOB, REQUEST, NOW_MS, PLAIN_TEXT, b"hello", reply, _SENDERS), DEVICE)
    for reply in (b"", REQUEST)
)


def find_kem(package_id: bytes) -> KemKey | None:
    """The key behind the one package that the sealed seeds use."""
    return KEM if package_id == _FOR_DEVICE[0] else None


VAULT = vault.lock(b"secret" * 9, PASSPHRASE, bytes(16), bytes(12), vault.Cost(1, 8))
INVITE = invite_text(Invite(1, BOB, REQUEST, NODE.public, (RecordEndpoint("192.0.2.7", 7711),), NOW_MS + DAY_MS))
INVITES = INVITE.encode(), b"waypost:\n  " + INVITE[8:].encode() + b" \n"


# ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────────

CHANNEL = Channel(bytes(range(32)), "x25519", dialed=True)
OWN = Own(m.Role.NODE, BIRDY, NODE)
_FAR = Own(m.Role.NODE, FINCH, PEER, ("seal.1",))
OUTCOME = custody.Outcome("alice", BOB, 0, NOW_MS, REQUEST * 3)


def far_frames(far: Own, spoil: Callable[[bytes], bytes] = bytes) -> bytes:
    """Hello and Proof of the other side. `spoil` may change the Hello; the Proof then signs what was sent."""
    near, other = Handshake(OWN, CHANNEL, NOW_MS), Handshake(far, replace(CHANNEL, dialed=False), NOW_MS)
    hello = other.bytes_to_send()
    body = spoil(hello[4:])
    other._transcript.own = body  # noqa: SLF001 - a liar's own transcript
    other.receive(near.bytes_to_send())
    return len(body).to_bytes(4, "big") + body + other.bytes_to_send()


_FAR_RECORD = alter(RECORD, key=PEER.public, sequence=1, endpoints=(RecordEndpoint("192.0.2.9", 1),), features=())
#: Both frames of a peer, for the handshake that `OWN` begins on `CHANNEL`; of a node and of a device.
HANDSHAKES = (
    far_frames(replace(_FAR, record=sign_record(_FAR_RECORD, PEER), epoch=4)),
    far_frames(replace(_FAR, role=m.Role.DEVICE, name=ALICE)),
    encode(m.Goodbye(152, "no")),
)
REQUESTS: tuple[asks.Ask, ...] = (
    asks.Join(REQUEST, DEVICE_LIST, "phone"),
    asks.Publish(REQUEST, 1, (SIGNED_PACKAGE,), SIGNED_PACKAGE),
    asks.Claim(REQUEST, BOB, ("seal.1", "mls.1")),
    asks.Track(REQUEST),
    asks.Records(RECORDS),
    asks.AskReach("some", (BIRDY, "wren.example")),
)
_DIGEST = batch_digest(envelope_id(ENVELOPES[0]))
#: For the batch that `targets.session` has offered.
RECEIPT_PAYLOADS = (
    pack(custody.ReceiptPayload(1, NOW_MS, _DIGEST)),
    pack(custody.ReceiptPayload(1, NOW_MS, _DIGEST, (custody.Refusal(0, 201, 30),))),
)
#: One of each kind, and of each that a session takes a different way.
MESSAGES: tuple[m.Message, ...] = (
    m.Hello(1, 1, m.Role.NODE, FINCH, PEER.public, ("seal.1",), "x25519", NOW_MS, 4096, 2**24, RECORDS[0], 3),
    m.Proof(bytes(64)),
    custody.Offer(1, ENVELOPES),
    custody.Offer(1, ENVELOPES[:1]),
    *(custody.Receipt(payload, PEER.sign(Purpose.RECEIPT, payload)) for payload in RECEIPT_PAYLOADS),
    custody.Delivered(2, (OUTCOME, custody.Outcome("carol", BOB, 300, NOW_MS, REQUEST))),
    *(m.Query(number, ask) for number, ask in enumerate(REQUESTS, 1)),
    m.Answer(1, 0, "", CLAIM_ANSWER, bytes(64)),
    m.Answer(1, 300, "no such user"),
    m.Notice(m.NoticeKind.HELD, 0, NOW_MS, REQUEST * 4),
    m.Notice(m.NoticeKind.RECORD, data=RECORDS[0]),
    m.Signal(BOB, ALICE, "x-typing", b"..."),
    m.Ping(7),
    m.Pong(7),
    m.Goodbye(150, "until later"),
)
FRAMES = tuple(map(encode, MESSAGES))
#: What arrives in one piece: single frames, and several in a row.
CONVERSATIONS = (
    *FRAMES,
    b"".join(FRAMES[4:8]),
    FRAMES[2] + FRAMES[-3] + FRAMES[6],
    b"".join(FRAMES[7:13]) + FRAMES[-1],
)

# ── other texts and answers ─────────────────────────────────────────────────────────────────────────────────────────


_OPERATORS = (
    admin.GetStatus(),
    admin.AddUser("bob", again=True),
    admin.ListUsers(),
    admin.RemoveUser("bob"),
    admin.SetReach("bob", ReachMode.SOME, (BIRDY,)),
    admin.ListPeers(),
    admin.SetPeer(FINCH, admin.PeerAction.PIN, "1" * 60),
    admin.ListQueue(),
    admin.ActOnQueue(FINCH, admin.QueueAction.RETRY),
    admin.Why("00" * 16),
    admin.Leave("wren.example"),
    admin.Backup("copy"),
    admin.Stop(),
)
ADMIN_REQUESTS = tuple(map(pack, _OPERATORS))
#: The body of each kind of answer.
REPLIES: dict[type, bytes] = {
    custody.ReceiptPayload: RECEIPT_PAYLOADS[1],
    custody.Outcome: pack(OUTCOME),
    asks.TrackReply: pack(asks.TrackReply((asks.TrackRow(NOW_MS, "held", FINCH, 0),) * 3, "held", 5, 0)),
    asks.JoinReply: pack(asks.JoinReply(BOB, RECORDS[0], 3)),
    asks.PublishReply: pack(asks.PublishReply(99, 3)),
    asks.ClaimReply: pack(CLAIM_REPLY),
    asks.ClaimAnswer: CLAIM_ANSWER,
    asks.RecordsReply: pack(asks.RecordsReply(RECORDS)),
    asks.ReachReply: pack(asks.ReachReply("some", (BIRDY,))),
    admin.Response: pack(admin.Response(0, "", pack(admin.Stopped(BIRDY)), "0.1")),
}
_PROPERTIES = lan_properties(Announcement(Provider(FINCH), 7711, PEER.public, REQUEST))
_STRINGS = [f"{name}={value}".encode() for name, value in _PROPERTIES.items()]
#: TXT data of mDNS announcements (RFC 6763 §6): each value behind a byte with its length.
LAN_TEXTS = [
    b"".join(bytes([len(text)]) + text for text in strings)
    for strings in (_STRINGS, (*_STRINGS[::-1], b"flag", b"=x", b""))
]
DNS_TEXTS = dns_value(PEER.public).encode(), b"v=waypost2; key=x", b"v=spf1 -all"
_TEMPLATE = template(Provider(FINCH), ("127.0.0.1:0",))
_KEYS = [line.removeprefix("# ") for line in _TEMPLATE.splitlines() if " = " in line and "[[" not in line]
CONFIGURATIONS = (
    _TEMPLATE.encode(),
    "\n".join(_KEYS).encode(),
    b'name = "finch.local"\n[limits]\naccount_burst = 3\n[log]\nlevel = "info"\n',
)
ADDRESSES = (
    b"bob@finch.example",
    b" Bob+news@Finch.Local. ",
    "zoë@bücher.example".encode(),
    "\uff41\uff4c@xn--bcher-kva.example".encode(),
    ("a" * 64 + "@" + "b" * 63 + ".example").encode(),
    "שלום@example.org".encode(),
    "ß\u200d@faß.de".encode(),
)
