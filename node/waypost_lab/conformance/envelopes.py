"""Names, signatures, envelopes and signals: the second half of docs/protocol/wire.md."""

from __future__ import annotations

import secrets
from typing import Final

import trio

from waypost.clock import MINUTE_MS
from waypost.crypto.keys import Purpose, envelope_id
from waypost.errors import Code
from waypost.limits import BODY_MAX_BYTES, ENVELOPE_MAX_BYTES, EXPIRY_MAX_S, RECIPIENTS_MAX
from waypost.protocol.custody.envelope import Envelope
from waypost.protocol.custody.transfer import Offer, Receipt, ReceiptPayload
from waypost.protocol.directory.asks import AskReach, Join, Records, RecordsReply
from waypost.protocol.directory.bundle import DeviceList
from waypost.protocol.directory.record import NodeRecord
from waypost.protocol.frames.codec import pack, read
from waypost.protocol.frames.messages import Proof, Signal
from waypost.protocol.frames.signed import Signed
from waypost_lab.conformance.bench import Bench, refused_with
from waypost_lab.conformance.check import Area, require
from waypost_lab.conformance.encoding import STRANGE, array, longest, stretched
from waypost_lab.conformance.peer import PAUSE_S, Party
from waypost_lab.conformance.residents import Resident

AREA = Area()

#: The order of Ed25519's group (RFC 8032 §5.1); a signature's S must be below it.
ORDER: Final = 2**252 + 27742317777372353535851937790883648493
#: The neutral point: a key of order 1, for which R = key, S = 0 is a "signature" of everything.
NEUTRAL: Final = b"\x01" + bytes(31)
FORGED: Final = NEUTRAL + bytes(32)


def unreduced(signature: bytes) -> bytes:
    """The same signature with S + L: equal in the group, and another spelling."""
    s = int.from_bytes(signature[32:], "little") + ORDER
    return signature[:32] + s.to_bytes(32, "little")


@AREA.people("WIRE-16 CUST-16", "a user part in another spelling is nobody: not-found (300)")
async def other_spellings(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    user = bob.own.name.rpartition("@")[0]
    shouted, spaced = f"{user.upper()}@{bench.node.name}", f" {user}@{bench.node.name}"
    right = bob.own.name
    sender = f"eve@{peer.own.name}"
    refused = await peer.offer(*(bench.envelope(sender, each) for each in (shouted, spaced, right)))
    refused_with(refused, Code.NOT_FOUND, Code.NOT_FOUND, None)


@AREA.check("WIRE-16", "so is a provider in another spelling: not-ours (303)")
async def other_spelling_of_the_provider(bench: Bench) -> None:
    peer = await bench.peer()
    refused = await peer.offer(bench.envelope(f"eve@{peer.own.name}", f"bob@{bench.node.name.upper()}"))
    refused_with(refused, Code.NOT_OURS)


@AREA.people("WIRE-17", "receipts and outcomes name an envelope by the BLAKE2b-128 of its bytes")
async def ids(bench: Bench, alice: Party, bob: Party) -> None:
    id_ = await bench.mail(alice, bob.own.name)
    await bob.arrives(id_)
    await alice.told(id_)


@AREA.check("WIRE-19 LINK-32", "a record in an odd encoding is checked as it came, and passed on as it came")
async def signatures_are_over_bytes(bench: Bench) -> None:
    own = bench.stranger()
    payload = stretched(read(read(bench.record(own), Signed).payload, NodeRecord), *STRANGE)
    record = array(longest(payload), longest(own.key.sign(Purpose.NODE_RECORD, payload)), *STRANGE)
    peer = await bench.peer(bench.stranger(name=own.name, key=own.key, record=record))
    known = read((await peer.answered(Records(()))).body, RecordsReply).records
    require(record in known, "the node does not pass on the record's very bytes")


@AREA.check("WIRE-20 LINK-9", "a Proof under a key of low order, whose signature fits everything, is refused")
async def low_order_key(bench: Bench) -> None:
    party = await bench.party()
    await party.say_hello(party.hello(key=NEUTRAL))
    await party.say(Proof(FORGED))
    await party.end(Code.BAD_PROOF)


@AREA.check("WIRE-20 LINK-9", "a Proof whose S is not reduced is refused with bad-proof (106)")
async def unreduced_proof(bench: Bench) -> None:
    party = await bench.party()
    await party.say_hello()
    await party.say(Proof(unreduced((await party.proof()).signature)))
    await party.end(Code.BAD_PROOF)


@AREA.check("WIRE-20", "a Receipt whose S is not reduced ends the link with bad-signature (105)")
async def unreduced_receipt(bench: Bench) -> None:
    peer = await bench.peer()
    payload = pack(ReceiptPayload(1, bench.wall_ms(), bytes(32)))
    await peer.say(Receipt(payload, unreduced(peer.own.key.sign(Purpose.RECEIPT, payload))))
    await peer.end(Code.BAD_SIGNATURE)


@AREA.persons("WIRE-20 DIR-4", "a device list under an identity key of low order is refused")
async def low_order_identity(bench: Bench, alice: Resident, _bob: Resident) -> None:
    link = await bench.device(alice.as_device)
    payload = pack(DeviceList(1, alice.address, NEUTRAL, 9, (alice.key.public,)))
    await link.answered(Join(alice.token, pack(Signed(payload, FORGED))), Code.BAD_REQUEST)


@AREA.people("WIRE-22", "an envelope in an odd encoding and with unknown fields is handed on byte for byte")
async def passed_on_as_it_came(bench: Bench, alice: Party, bob: Party) -> None:
    plain = read(bench.envelope(alice.own.name, bob.own.name), Envelope)
    envelope = stretched(plain, *STRANGE)
    await bench.send(alice, envelope)
    require(await bob.arrives(envelope_id(envelope)) == envelope, "other bytes arrive")


def _malformed(bench: Bench, sender: str, to: str) -> tuple[bytes, ...]:
    user, _, provider = to.rpartition("@")
    head, now_ms = (provider, [user], sender), bench.wall_ms()
    tail = (now_ms, 60, 0, "x", b"")
    return (
        b"",
        secrets.token_bytes(40),
        pack((2, *head, *tail)),
        pack((1, provider, [], sender, *tail)),
        pack((1, provider, [user] * (RECIPIENTS_MAX + 1), sender, *tail)),
        pack((1, *head, now_ms, 0, 0, "x", b"")),
        pack((1, *head, now_ms, EXPIRY_MAX_S + 1, 0, "x", b"")),
        pack((1, *head, now_ms, 60, 2, "x", b"")),
        pack((1, *head, now_ms, 60, 0, "", b"")),
        pack((1, *head, now_ms, 60, 0, "x", "text")),
        pack((1, *head, now_ms, 60, 0, "x", bytes(BODY_MAX_BYTES + 1))),
        pack((1, *head, *tail)) + b"\xc0",
    )


@AREA.people(
    "WIRE-23 CUST-15",
    "each malformed envelope of a batch is refused with malformed-envelope (302), and the good one is taken",
)
async def malformed(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    sender = f"eve@{peer.own.name}"
    bad = _malformed(bench, sender, bob.own.name)
    good = bench.envelope(sender, bob.own.name)
    refused = await peer.offer(*bad[:6], good, *bad[6:])
    codes = [Code.MALFORMED_ENVELOPE] * len(bad)
    refused_with(refused, *codes[:6], None, *codes[6:])
    await bob.arrives(envelope_id(good))


@AREA.check("WIRE-23", "an envelope of more than 73,728 bytes ends the link with bad-frame (100)")
async def oversized(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(Offer(1, (bytes(ENVELOPE_MAX_BYTES + 1),)))
    await peer.end(Code.BAD_FRAME)


@AREA.people(
    "WIRE-24", "from-future (308) beyond 5 minutes ahead, expired (301) once the time is up; what lies between is taken"
)
async def times(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    now_ms, sender = bench.wall_ms(), f"eve@{peer.own.name}"

    def made(created_ms: int, expires_s: int = 3_600) -> bytes:
        return bench.envelope(sender, bob.own.name, created_ms=created_ms, expires_s=expires_s)

    refused = await peer.offer(
        made(now_ms + 7 * MINUTE_MS),
        made(now_ms + 4 * MINUTE_MS),
        made(now_ms - 2 * MINUTE_MS, 60),
        made(now_ms - 2 * MINUTE_MS, 600),
        made(0, EXPIRY_MAX_S),
    )
    refused_with(refused, Code.FROM_FUTURE, None, Code.EXPIRED, None, Code.EXPIRED)


@AREA.people("WIRE-26", "any suite and any body within the bounds is taken")
async def any_body(bench: Bench, alice: Party, bob: Party) -> None:
    bodies = [("seal.1", b""), ("\N{SNOWMAN}" * 32, b"\xc1" * 9), ("no suite", secrets.token_bytes(BODY_MAX_BYTES))]
    for suite, body in bodies:
        await bob.arrives(await bench.mail(alice, bob.own.name, suite=suite, body=body))


# ── signals ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _signalled(link: Party, body: bytes) -> None:
    await link.expect(Signal, lambda each: each.body == body, what="a Signal whose way is open was not passed on")


def _heard(link: Party) -> list[bytes]:
    return [signal.body for signal in link.all(Signal)]


@AREA.people("WIRE-31", "a Signal is passed on if its sender is that of the link, and dropped without a word if not")
async def signals(bench: Bench, alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    to, theirs = bob.own.name, f"eve@{peer.own.name}"
    await alice.say(Signal(to, f"eve@{bench.node.name}", "x", b"forged by a device"))
    await peer.say(Signal(to, alice.own.name, "x", b"forged by a peer"))
    await alice.say(Signal(to, alice.own.name, "x", b"of a device"))
    await peer.say(Signal(to, theirs, "x", b"of a peer"))
    await peer.say(Signal(f"nobody@{bench.node.name}", theirs, "x", b"to nobody"))
    await _signalled(bob, b"of a device")
    await _signalled(bob, b"of a peer")
    await peer.lives()
    await alice.lives()
    require(not [body for body in _heard(bob) if body.startswith(b"forged")], "a forged Signal was passed on")


@AREA.people("WIRE-31 DIR-26", "a Signal for a user who may not be written to is dropped")
async def unwelcome_signals(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    await bob.answered(AskReach("none"))
    try:
        await peer.say(Signal(bob.own.name, f"eve@{peer.own.name}", "x", b"unwelcome"))
        await peer.lives()
        await trio.sleep(PAUSE_S)
    finally:
        with trio.CancelScope(shield=True):
            await bob.answered(AskReach("all"))
    require(not _heard(bob), "it was passed on")


@AREA.persons("WIRE-31", "a Signal for a device that is not there is not kept")
async def signals_are_not_kept(bench: Bench, alice: Resident, bob: Resident) -> None:
    one = await bench.device(alice.as_device)
    await one.say(Signal(bob.address, alice.address, "x", b"too early"))
    await one.lives()
    other = await bench.device(bob.as_device)
    await other.lives()
    await trio.sleep(PAUSE_S)
    require(not _heard(other), "a Signal was kept until the device came")
