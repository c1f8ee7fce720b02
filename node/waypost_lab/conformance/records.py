"""Node records and what they may do: [LINK-26] to [LINK-34] of docs/protocol/link.md."""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import Final

import trio

from waypost.crypto.keys import Purpose
from waypost.errors import Code, PeerFault
from waypost.limits import RECORD_LIFETIME_MS, RECORDS_PER_MESSAGE_MAX
from waypost.protocol.directory.asks import Claim, Records, RecordsReply
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, open_record, succession_payload
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Notice, NoticeKind
from waypost_lab.conformance.bench import Bench, refused_with
from waypost_lab.conformance.check import Area, Need, fail, require
from waypost_lab.conformance.peer import Identity, Party
from waypost_lab.conformance.residents import fresh_key

AREA = Area()

NOWHERE: Final = RecordEndpoint("127.0.0.1", 9)  #: the discard port, where nobody listens


def opened(bench: Bench, data: bytes) -> NodeRecord:
    """A record that the node has sent; it must be valid."""
    try:
        return open_record(data, bench.wall_ms()).record
    except PeerFault as fault:
        fail(f"the node passes on a record that is not valid: {fault}")


async def known(link: Party, *told: bytes) -> tuple[bytes, ...]:
    """What the node answers to Records."""
    return read((await link.answered(Records(told))).body, RecordsReply).records


def of(bench: Bench, records: tuple[bytes, ...], name: str) -> list[NodeRecord]:
    return [record for data in records if (record := opened(bench, data)).name == name]


@AREA.check("LINK-12 LINK-26 LINK-27 WIRE-14", "the node's own record is valid and of its name and key")
async def own_record(bench: Bench) -> None:
    peer = await bench.peer()
    hello, _ = await peer.their_hello()
    if not hello.record:
        fail("its Hello has no record")
    record = opened(bench, hello.record)
    require((record.name, record.key) == (hello.name, hello.key), "the record is of another name or key than the Hello")
    require(record.state is RecordState.ACTIVE, "the record says that the node has closed")


@AREA.check(
    "LINK-26",
    "before its record expires the node sends a newer one to its peers",
    takes_s=RECORD_LIFETIME_MS / 1000 + 60,
)
async def renews(bench: Bench) -> None:
    peer = await bench.peer()
    hello, _ = await peer.their_hello()
    first = opened(bench, hello.record)
    left_s = (first.expires_ms - bench.wall_ms()) / 1000
    notice = await peer.expect(
        Notice, lambda each: each.kind == NoticeKind.RECORD, left_s, "no new record before the last one expires"
    )
    second = opened(bench, notice.data)
    require(second.sequence > first.sequence, "the new record has no higher sequence")
    require(second.expires_ms > first.expires_ms, "the new record expires no later")


@AREA.check("LINK-32", "Records is answered with at most 64 records: its own, and those of peers it has met")
async def exchange(bench: Bench) -> None:
    met = bench.stranger()
    await bench.peer(replace(met, record=bench.record(met)))
    heard_of = bench.stranger()
    peer = await bench.peer()
    answer = await known(peer, bench.record(heard_of))
    require(len(answer) <= RECORDS_PER_MESSAGE_MAX, f"{len(answer)} records")
    require(opened(bench, answer[0]).key == bench.node.key, "the first is not its own")
    require(not of(bench, answer, heard_of.name), "it passes on a record of somebody it has never met")
    if len(answer) < RECORDS_PER_MESSAGE_MAX:
        require(of(bench, answer, met.name), "it does not pass on the record of a peer that it has let in")


@AREA.check("LINK-33 LINK-27", "what is no record, or a wrong one, is passed over, and the link stays")
async def bad_records(bench: Bench) -> None:
    own, liar, stale = bench.stranger(), bench.stranger(), bench.stranger()
    peer = await bench.peer(own)
    forged = bench.record(liar, signer=fresh_key())
    expired = bench.record(stale, expires_ms=bench.wall_ms() - 1)
    good = bench.record(own, sequence=5)
    answer = await known(peer, b"", b"no record", forged, expired, good)
    require(good in answer, "the good one among them was not taken")
    await peer.lives()


@AREA.check("LINK-33", "a record of the node's own name is passed over")
async def own_name(bench: Bench) -> None:
    peer = await bench.peer()
    usurper = bench.record(Identity(bench.node.role, bench.node.name, fresh_key()), sequence=60)
    answer = of(bench, await known(peer, usurper), bench.node.name)
    require([record.key for record in answer] == [bench.node.key], "it passes on somebody else's record as its own")


@AREA.people("LINK-34", "Records from a device is forbidden (402)")
async def records_of_a_device(_bench: Bench, alice: Party, _bob: Party) -> None:
    await alice.answered(Records(()), Code.FORBIDDEN)


@AREA.check("LINK-28", "of two records of one name and key the one with the higher sequence wins")
async def higher_sequence(bench: Bench) -> None:
    own = bench.stranger()
    second, third = bench.record(own, sequence=2), bench.record(own, sequence=3)
    peer = await bench.peer(replace(own, record=second))
    await peer.say(Notice(NoticeKind.RECORD, data=bench.record(own, sequence=1)))
    require(second in await known(peer), "an older record has taken the place of a newer one")
    await peer.say(Notice(NoticeKind.RECORD, data=third))
    require(third in await known(peer), "a newer record has not taken the place of an older one")


@AREA.check("LINK-28 LINK-22", "a record of a pinned name with another key is ignored")
async def another_key(bench: Bench) -> None:
    own = bench.stranger()
    first = bench.record(own)
    await bench.peer(replace(own, record=first))
    other = await bench.peer()
    usurper = bench.record(replace(own, key=fresh_key()), sequence=60)
    require(first in await known(other, usurper), "another key's record has taken its place")


@AREA.check("LINK-31 LINK-23", "a record by itself binds no key: who proves another one first has the name")
async def records_bind_nothing(bench: Bench) -> None:
    own = bench.stranger()
    herald = await bench.peer()
    await known(herald, bench.record(own))
    await bench.peer(replace(own, key=fresh_key()))


@AREA.check("LINK-22", "a name with a key on record keeps it: another one is refused with key-changed (154)")
async def pinned(bench: Bench) -> None:
    own = bench.stranger()
    await (await bench.peer(own)).close()
    await bench.turned_away(replace(own, key=fresh_key()), Code.KEY_CHANGED)


def _succession(bench: Bench, old: Identity, new: Identity, name: str) -> bytes:
    signature = old.key.sign(Purpose.RECORD_SUCCESSION, succession_payload(name, new.key.public))
    return bench.record(new, old_key=old.key.public, old_signature=signature)


@AREA.check("LINK-22 LINK-29", "the pinned key may hand the name on: its successor is let in")
async def succession(bench: Bench) -> None:
    old = bench.stranger()
    await (await bench.peer(old)).close()
    new = replace(old, key=fresh_key())
    await (await bench.peer(replace(new, record=_succession(bench, old, new, old.name)))).close()
    # From now on the name is the successor's.
    await bench.turned_away(old, Code.KEY_CHANGED)


@AREA.check("LINK-29 LINK-22", "a succession from a key that is not the pinned one lets nobody in")
async def false_succession(bench: Bench) -> None:
    old = bench.stranger()
    await (await bench.peer(old)).close()
    thief, new = replace(old, key=fresh_key()), replace(old, key=fresh_key())
    await bench.turned_away(replace(new, record=_succession(bench, thief, new, old.name)), Code.KEY_CHANGED)


@AREA.check("LINK-25", "the node's own name is refused with name-in-use (159)")
async def name_in_use(bench: Bench) -> None:
    await bench.turned_away(bench.stranger(name=bench.node.name), Code.NAME_IN_USE)


# ── tombstones ──────────────────────────────────────────────────────────────────────────────────────────────────────


@AREA.check("LINK-25 LINK-30", "a stranger whose own record is a tombstone is refused with not-admitted (152)")
async def tombstone_of_a_stranger(bench: Bench) -> None:
    own = bench.stranger()
    await bench.turned_away(replace(own, record=bench.record(own, state=RecordState.GONE)), Code.NOT_ADMITTED)


@AREA.people(
    "LINK-30 CUST-23",
    "once a peer has left a tombstone, what waits for it bounces with peer-gone (306), and so does what comes",
)
async def tombstone(bench: Bench, alice: Party, _bob: Party) -> None:
    own = bench.stranger()
    peer = await bench.peer(replace(own, record=bench.record(own, endpoints=(NOWHERE,))), takes=False)
    waiting = await bench.mail(alice, f"eve@{own.name}")
    await peer.say(Notice(NoticeKind.RECORD, data=bench.record(own, sequence=1, state=RecordState.GONE)))
    await alice.told(waiting, Code.PEER_GONE.number)
    refused_with(await alice.offer(bench.envelope(alice.own.name, f"eve@{own.name}")), Code.PEER_GONE)


@AREA.people("LINK-30", "a tombstone for a name that the node has never met is ignored")
async def tombstone_of_the_unknown(bench: Bench, alice: Party, _bob: Party) -> None:
    own = bench.stranger()
    herald = await bench.peer()
    await known(herald, bench.record(own, state=RecordState.GONE))
    peer = await bench.peer(replace(own, record=bench.record(own, sequence=1)))
    await peer.lives()
    await bench.mail(alice, f"eve@{own.name}")


@AREA.check("LINK-30", "a name whose tombstone it has is not dialled", Need.PEOPLE, Need.LISTEN, takes_s=20)
async def the_dead_are_not_dialled(bench: Bench) -> None:
    own = bench.stranger()
    async with bench.provider(own, announce=False) as door, bench.people() as (alice, _):
        peer = await bench.peer(replace(own, record=door.record()))
        grave = door.record(sequence=1, state=RecordState.MOVED, moved_to="elsewhere.example")
        await peer.say(Notice(NoticeKind.RECORD, data=grave))
        await peer.lives()
        await peer.close()
        await alice.answered(Claim(secrets.token_bytes(16), f"eve@{own.name}", ("x",)), Code.PEER_GONE)
        with trio.move_on_after(5):
            await door.arrivals.receive()
            fail("it was dialled")
