"""What senders are told, and traces: [CUST-23] to [CUST-31] of custody.md."""

from __future__ import annotations

import secrets

import trio

from waypost.crypto.keys import envelope_id
from waypost.errors import Code
from waypost.protocol.custody.transfer import Delivered, Outcome, Refusal
from waypost.protocol.directory.asks import Track, TrackReply
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Notice, NoticeKind
from waypost_lab.conformance.bench import Bench, refused_with
from waypost_lab.conformance.check import Area, Need, require
from waypost_lab.conformance.peer import PAUSE_S, Party

AREA = Area()


@AREA.people(
    "CUST-23 CUST-24 CUST-25",
    "once a device has taken an envelope of a peer's user, the peer is told: code 0, user part, recipient, id",
)
async def delivered_to_a_peer(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    envelope = bench.envelope(f"eve@{peer.own.name}", bob.own.name)
    refused_with(await peer.offer(envelope), None)
    outcome = await peer.told(envelope_id(envelope), 0)
    require(outcome.sender == "eve", f"its sender is {outcome.sender!r}")
    require(outcome.recipient == bob.own.name, f"its recipient is {outcome.recipient!r}")


@AREA.people("CUST-23", "nobody is told of a delivery that no device has acknowledged")
async def not_before_the_receipt(bench: Bench, alice: Party, bob: Party) -> None:
    bob.manners.takes = False
    id_ = await bench.mail(alice, bob.own.name)
    await bob.arrives(id_)
    await trio.sleep(PAUSE_S)
    require(not alice.outcomes(id_), "the sender was told before the device's receipt")
    again = await bench.device(bob.own)
    await again.arrives(id_)
    await alice.told(id_)


@AREA.people("CUST-23", "what a peer's node refuses for good is told for every recipient that the envelope names")
async def refused_by_a_peer(bench: Bench, alice: Party, _bob: Party) -> None:
    peer = await bench.peer()
    peer.manners.verdict = lambda _id: Refusal(0, Code.NOT_FOUND.number)
    recipients = [f"{user}@{peer.own.name}" for user in ("eve", "ian")]
    id_ = await bench.mail(alice, *recipients)
    await alice.until(lambda: len(alice.outcomes(id_)) >= 2, "not every recipient has an outcome")
    found = sorted((outcome.recipient, outcome.code) for outcome in alice.outcomes(id_))
    require(found == [(each, Code.NOT_FOUND.number) for each in recipients], f"outcomes {found}")


@AREA.check(
    "CUST-23 CUST-2",
    "what has expired in the node's custody is told to the sender: expired (301)",
    Need.PEOPLE,
    takes_s=100,
)
async def expired(bench: Bench) -> None:
    async with bench.people() as (alice, _):
        own = bench.stranger()
        await bench.peer(own, takes=False)
        id_ = await bench.mail(alice, f"eve@{own.name}", expires_s=5)
    await trio.sleep(60)
    # Another check, which had the users meanwhile, may have heard it.
    told_already = bench.site.witness.told
    async with bench.people() as (alice, _):
        if (id_, Code.EXPIRED.number) not in told_already:
            await alice.told(id_, Code.EXPIRED.number, 30)


@AREA.people("CUST-25 CUST-9", "outcomes that were not acknowledged are told again on the next link")
async def told_again(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer(takes=False)
    envelope = bench.envelope(f"eve@{peer.own.name}", bob.own.name)
    refused_with(await peer.offer(envelope), None)
    await peer.told(envelope_id(envelope), 0)
    await peer.close()
    again = await bench.peer(peer.own)
    await again.told(envelope_id(envelope), 0)


@AREA.people(
    "CUST-26", "outcomes for others' recipients, or senders that do not exist, count as taken and reach nobody"
)
async def speaks_for_its_own(bench: Bench, alice: Party, bob: Party) -> None:
    liar = await bench.peer()
    user = alice.own.name.rpartition("@")[0]
    ids = [secrets.token_bytes(16) for _ in range(4)]
    now_ms = bench.wall_ms()
    told_by_it = (
        Outcome(user, bob.own.name, 0, now_ms, ids[0]),
        Outcome(user, f"eve@{bench.stranger().name}", 300, now_ms, ids[1]),
        Outcome("nobody-here", f"eve@{liar.own.name}", 0, now_ms, ids[2]),
        Outcome(user, f"eve@{liar.own.name}", 0, now_ms, ids[3]),
    )
    batch = liar.next_batch()
    await liar.say(Delivered(batch, told_by_it))
    refused_with(await liar.receipt_for(batch, ids), *[None] * 4)
    await alice.told(ids[3], 0)
    await trio.sleep(PAUSE_S)
    require(not alice.outcomes(ids[0]) + alice.outcomes(ids[1]), "it was believed about others' users")


@AREA.people("CUST-28", "Delivered from a device ends the link with out-of-order (103)")
async def devices_do_not_report(bench: Bench, alice: Party, bob: Party) -> None:
    user = bob.own.name.rpartition("@")[0]
    await alice.say(Delivered(1, (Outcome(user, alice.own.name, 0, bench.wall_ms(), bytes(16)),)))
    await alice.end(Code.OUT_OF_ORDER)


@AREA.check("WIRE-5 WIRE-17", "ids of an Outcome that are not whole end the link with bad-frame (100)")
async def broken_ids(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(Delivered(1, (Outcome("bob", f"eve@{peer.own.name}", 0, 0, bytes(17)),)))
    await peer.end(Code.BAD_FRAME)


@AREA.people("CUST-30", "the sender's connected device is told when the recipient's node has it: HELD")
async def held(bench: Bench, alice: Party, _bob: Party) -> None:
    peer = await bench.peer()
    id_ = await bench.mail(alice, f"eve@{peer.own.name}")
    await alice.expect(Notice, lambda each: each.kind == NoticeKind.HELD and id_ in each.ids, what="no HELD")


# ── traces ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@AREA.people("CUST-31", "Track tells the sender's and the recipient's devices, and anyone else unknown-message (407)")
async def traces(bench: Bench, alice: Party, bob: Party) -> None:
    id_ = await bench.mail(alice, bob.own.name)
    await alice.told(id_, 0)
    for link in (alice, bob):
        reply = read((await link.answered(Track(id_))).body, TrackReply)
        require(reply.state == "delivered", f"{link.own.name} is told the state {reply.state!r}")
        require(reply.rows and reply.rows[0].event == "accepted", "the trace does not begin with `accepted`")
    peer = await bench.peer()
    other = await bench.mail(alice, f"eve@{peer.own.name}")
    await alice.answered(Track(other))
    await bob.answered(Track(other), Code.UNKNOWN_MESSAGE)
    await bob.answered(Track(secrets.token_bytes(16)), Code.UNKNOWN_MESSAGE)


@AREA.check("CUST-31", "Track from a peer node is forbidden (402)")
async def traces_for_peers(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.answered(Track(secrets.token_bytes(16)), Code.FORBIDDEN)
