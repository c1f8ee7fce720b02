"""While a link lasts, and how it ends: [LINK-13] to [LINK-20] of docs/protocol/link.md."""

from __future__ import annotations

from typing import Final

import trio

from waypost.errors import Code, describe
from waypost.limits import (
    BATCH_MAX_ENVELOPES,
    LINGER_S,
    MIB,
    PING_AFTER_S,
    QUERY_TIMEOUT_S,
    SILENT_AFTER_S,
)
from waypost.links.errors import LinkBroken
from waypost.protocol.custody.transfer import Offer
from waypost.protocol.directory.asks import Track
from waypost.protocol.frames.messages import Goodbye, Notice, Ping, Pong, Role, encode
from waypost_lab.conformance.bench import Bench, Door
from waypost_lab.conformance.check import Area, Failed, Need, Phase, fail, require
from waypost_lab.conformance.peer import Identity, Party, frame
from waypost_lab.conformance.residents import Resident, fresh_key

AREA = Area()

#: What a peer that reads nothing may make a node owe it: far more than any node should hold.
_FLOOD_BYTES: Final = 24 * MIB
_STALLED_S: Final = 5.0


@AREA.check("LINK-13", "a Ping is answered by a Pong with its nonce, each of them")
async def pings(bench: Bench) -> None:
    peer = await bench.peer()
    nonces = [0, 2**32 - 1, 77, 77]
    await peer.say(*map(Ping, nonces))
    await peer.until(lambda: len(peer.all(Pong)) >= len(nonces) + 1, "not every Ping was answered")
    require([pong.nonce for pong in peer.all(Pong)][1:] == nonces, f"nonces {peer.all(Pong)[1:]}")


@AREA.check("LINK-13", f"a node that has heard nothing for {PING_AFTER_S:.0f} s sends a Ping (SHOULD)", takes_s=40)
async def pings_by_itself(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.expect(Ping, within_s=PING_AFTER_S + 10)


@AREA.check("LINK-14", f"a peer that says nothing for {SILENT_AFTER_S:.0f} s is left with silent (111)", takes_s=80)
async def silence(bench: Bench) -> None:
    peer = await bench.peer()
    peer.manners.pongs = False
    began = trio.current_time()
    await peer.end(Code.SILENT, within_s=SILENT_AFTER_S + 15)
    require(trio.current_time() - began > SILENT_AFTER_S - 5, "it was left too early")


@AREA.check("LINK-14", "any bytes count as heard, also a part of a frame", takes_s=120)
async def a_slow_talker(bench: Bench) -> None:
    peer = await bench.peer()
    peer.manners.pongs = False
    slow = frame(encode(Ping(5))[4:])
    for index in range(len(slow) - 1):
        await peer.say(slow[index : index + 1])
        await trio.sleep(SILENT_AFTER_S / 6)
    require(peer.ended is None, f"the link was ended although something came every {SILENT_AFTER_S / 6:.0f} s")
    await peer.say(slow[-1:])
    await peer.expect(Pong, lambda pong: pong.nonce == 5)


@AREA.check("LINK-15", "after a fault comes Goodbye, nothing after it, and an orderly end")
async def last_words(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(frame(b"\x91\x63") + encode(Ping(1)) * 20)
    await peer.until(lambda: peer.ended is not None, "the link was not ended", LINGER_S + 10)
    ended = peer.ended
    require(peer.heard and isinstance(peer.heard[-1], Goodbye), "something came after Goodbye, or there was none")
    require(peer.parted == Code.UNKNOWN_TYPE.number, f"Goodbye with {describe(peer.parted or 0)}")
    require(ended is not None and ended.orderly, "the end was not an orderly one (close_notify)")


@AREA.check("LINK-5 LINK-15", "what arrives together with Goodbye, or before the stream ends, counts")
async def said_in_one_breath(bench: Bench) -> None:
    party = await bench.party()
    await party.say_hello()
    await party.say(encode(await party.proof()) + encode(Ping(9)) + encode(Goodbye(Code.CLOSING.number)))
    await party.expect(Pong, lambda pong: pong.nonce == 9)


@AREA.people(
    "LINK-16 CUST-9",
    "a peer that says Goodbye, whatever the code, is offered next time what it has not acknowledged",
    takes_s=20,
)
async def keeps_after_goodbye(bench: Bench, alice: Party, _bob: Party) -> None:
    peer = await bench.peer(takes=False)
    id_ = await bench.mail(alice, f"eve@{peer.own.name}")
    for code in (Code.NOT_ADMITTED, Code.BLOCKED, Code.BAD_FRAME):
        await peer.arrives(id_)
        await peer.say(Goodbye(code.number))
        await peer.until(lambda peer=peer: peer.ended is not None, "it does not hang up")  # type: ignore[misc]
        peer = await bench.peer(peer.own, takes=False)
    await peer.arrives(id_)


@AREA.check("LINK-17", "a peer that asks and never reads is not listened to for ever", takes_s=90, stage=Phase.ALONE)
async def never_reads(bench: Bench) -> None:
    greeted = await bench.peer()
    await greeted.close()
    # No party: nothing of what comes is read from here on.
    stream = await bench.ground.dial()
    bench.keep(stream)
    deaf = Party(stream, greeted.own, bench.site.witness, bench.wall_ms)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deaf.run)
        await deaf.greet()
        nursery.cancel_scope.cancel()
    said, number = 0, 0
    while said < _FLOOD_BYTES:
        number += 1
        # Each is answered by a receipt that is four times as long.
        data = encode(Offer(number, (b"",) * BATCH_MAX_ENVELOPES))
        try:
            with trio.move_on_after(_STALLED_S) as scope:
                await stream.send(data)
        except LinkBroken:
            return
        if scope.cancelled_caught:
            return
        said += len(data)
    fail(f"it went on reading for {said // MIB} MiB of offers, whose receipts nobody takes")


# ── one link for each pair ──────────────────────────────────────────────────────────────────────────────────────────


@AREA.check("LINK-18", "a newer link from the same side replaces the older: duplicate-link (151)")
async def newer_link(bench: Bench) -> None:
    older = await bench.peer()
    newer = await bench.peer(older.own)
    await older.end(Code.DUPLICATE_LINK)
    await newer.lives()


async def _crossed(bench: Bench, *, lower: bool) -> tuple[Party, Party]:
    """A link that the node has dialled, and one that we dial at once; our key is lower or higher than the node's."""
    own = bench.stranger()
    while (own.key.public < bench.node.key) is not lower:
        own = bench.stranger()
    async with bench.provider(own) as door, bench.people() as (alice, _):
        theirs = await _dialled(door, alice)
        ours = await bench.party(own)
        await ours.greet()
        kept, ended = (ours, theirs) if lower else (theirs, ours)
        await ended.end(Code.DUPLICATE_LINK)
        await kept.lives()
    return ours, theirs


async def _dialled(door: Door, alice: Party) -> Party:
    door.want(alice)
    return await door.welcomed()


@AREA.check(
    "LINK-18",
    "of two links dialled from both ends the one is kept that the lower key dialled: ours here",
    Need.PEOPLE,
    Need.LISTEN,
)
async def crossed_ours(bench: Bench) -> None:
    await _crossed(bench, lower=True)


@AREA.check("LINK-18", "and the node's own where its key is the lower one", Need.PEOPLE, Need.LISTEN)
async def crossed_theirs(bench: Bench) -> None:
    await _crossed(bench, lower=False)


@AREA.people("LINK-19", "a device that connects again replaces its older link: replaced (158)")
async def replaced(bench: Bench, alice: Party, _bob: Party) -> None:
    again = await bench.device(alice.own)
    await alice.end(Code.REPLACED)
    await again.lives()


# ── devices ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _not_let_in(bench: Bench, own: Identity) -> None:
    for said in (Ping(1), Track(bytes(16)), Notice(1)):
        link = await bench.party(own)
        await link.greet()
        if isinstance(said, Track):
            try:
                answer = await link.ask(said)
            except Failed:
                await link.end(Code.UNKNOWN_DEVICE)
                continue
            fail(f"a request other than Join is answered: {answer}")
        if isinstance(said, Ping):
            continue  # a node may answer that before it looks who asks
        await link.say(said)
        await link.end(Code.UNKNOWN_DEVICE)


@AREA.check("LINK-20", "a device that no account lists may ask Join and nothing else: unknown-device (156)")
async def unknown_device(bench: Bench) -> None:
    await _not_let_in(bench, Identity(Role.DEVICE, f"eve@{bench.node.name}", fresh_key()))


@AREA.persons("LINK-20", "nor one that is listed, under another account's address")
async def device_of_another(bench: Bench, alice: Resident, bob: Resident) -> None:
    await _not_let_in(bench, Identity(Role.DEVICE, bob.address, alice.key))
    await _not_let_in(bench, Identity(Role.DEVICE, f"{alice.user}@elsewhere.example", alice.key))


@AREA.check("LINK-20", f"it may stay for {QUERY_TIMEOUT_S:.0f} s, and no longer", takes_s=30)
async def unknown_device_stays(bench: Bench) -> None:
    link = await bench.party(Identity(Role.DEVICE, f"eve@{bench.node.name}", fresh_key()))
    await link.greet()
    await link.until(lambda: link.ended is not None or link.parted is not None, "it may stay", QUERY_TIMEOUT_S + 10)
