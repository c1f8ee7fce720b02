"""Hello and Proof: [LINK-6] to [LINK-12] of docs/protocol/link.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import trio

from waypost.clock import DAY_MS, MINUTE_MS
from waypost.crypto.keys import Purpose
from waypost.errors import Code
from waypost.limits import HANDSHAKE_TIMEOUT_S
from waypost.protocol.directory.asks import Records
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.messages import Hello, Ping, Proof, Query, Role, encode
from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Area, Need, require
from waypost_lab.conformance.peer import Identity, Party, frame
from waypost_lab.conformance.records import opened
from waypost_lab.conformance.residents import fresh_key

AREA = Area()

GROUPS: Final = ("X25519MLKEM768", "x25519", "secp256r1")


@AREA.check("LINK-8 LINK-6", "a right Proof is taken, and the node's own fits; `group` is the link's group")
async def a_right_handshake(bench: Bench) -> None:
    party = await bench.party()
    theirs = await party.greet()
    await party.lives()
    group = party.stream.channel.group
    require(theirs.group == group, f"its Hello has group {theirs.group!r}, the link has {group!r}")
    require(group in GROUPS or group == "memory", f"the group is {group!r}")


@AREA.check("LINK-7", "the node's first message is Hello, its second Proof, and both come once")
async def the_nodes_own_order(bench: Bench) -> None:
    party = await bench.peer()
    require(isinstance(party.heard[0], Hello), f"its first message is {type(party.heard[0]).__name__}")
    require(isinstance(party.heard[1], Proof), f"its second message is {type(party.heard[1]).__name__}")
    require(len(party.all(Hello)) == len(party.all(Proof)) == 1, "Hello or Proof came again")


Fields = dict[str, Any]
#: What is wrong in a Hello, the fields that are, and the number with which it must be refused.
LIES: tuple[tuple[str, Callable[[Bench], Fields], Code], ...] = (
    ("only versions from 2 up", lambda _: {"version_min": 2, "version_max": 9}, Code.VERSION),
    ("only version 0", lambda _: {"version_min": 0, "version_max": 0}, Code.VERSION),
    ("a name with a capital", lambda b: {"name": b.stranger().name.upper()}, Code.BAD_FRAME),
    ("a name that is none", lambda _: {"name": "not a name"}, Code.BAD_FRAME),
    ("a name of one label", lambda _: {"name": "checker"}, Code.BAD_FRAME),
    ("a name with a dot at its end", lambda b: {"name": b.stranger().name + "."}, Code.BAD_FRAME),
    ("an address as the name of a node", lambda b: {"name": f"eve@{b.node.name}"}, Code.BAD_FRAME),
    ("a provider as the name of a device", lambda _: {"role": Role.DEVICE}, Code.BAD_FRAME),
    (
        "a device whose user part is not canonical",
        lambda b: {"role": Role.DEVICE, "name": f"EVE@{b.node.name}"},
        Code.BAD_FRAME,
    ),
    ("the node's own key", lambda b: {"key": b.node.key}, Code.WRONG_PEER),
    ("another group than the link has", lambda _: {"group": "ffdhe2048"}, Code.BAD_PROOF),
    ("a clock 7 minutes ahead", lambda b: {"now_ms": b.wall_ms() + 7 * MINUTE_MS}, Code.CLOCK_SKEW),
    ("a clock 7 minutes behind", lambda b: {"now_ms": b.wall_ms() - 7 * MINUTE_MS}, Code.CLOCK_SKEW),
    # The order of the checks: the first that fails is told.
    ("both no common version and no name", lambda _: {"version_min": 9, "version_max": 9, "name": ""}, Code.VERSION),
    ("both no name and the node's own key", lambda b: {"name": "", "key": b.node.key}, Code.BAD_FRAME),
    ("both the node's own key and another group", lambda b: {"key": b.node.key, "group": "x"}, Code.WRONG_PEER),
    ("both another group and a wrong clock", lambda _: {"group": "x", "now_ms": 0}, Code.BAD_PROOF),
)


def _lie(what: str, fields: Callable[[Bench], Fields], code: Code) -> None:
    @AREA.check("LINK-7 WIRE-14 WIRE-15", f"a Hello with {what} is refused with {code}")
    async def run(bench: Bench) -> None:
        party = await bench.party()
        await party.say_hello(party.hello(**fields(bench)))
        await party.end(code)


for _row in LIES:
    _lie(*_row)


@AREA.check("LINK-7", "a clock 4 minutes ahead or behind is let in, and so is a range of versions around 1")
async def within_tolerance(bench: Bench) -> None:
    for skew in (4 * MINUTE_MS, -4 * MINUTE_MS):
        party = await bench.party()
        await party.greet(party.hello(now_ms=bench.wall_ms() + skew, version_min=0, version_max=65_535))
        await party.lives()


async def _out_of_order(bench: Bench, *said: bytes) -> None:
    party = await bench.party()
    await party.say(*said)
    await party.end(Code.OUT_OF_ORDER)


@AREA.check("LINK-7", "anything but Hello as the first message is out-of-order (103)")
async def no_hello(bench: Bench) -> None:
    await _out_of_order(bench, encode(Ping(1)))
    await _out_of_order(bench, encode(Proof(bytes(64))))


@AREA.check("LINK-7", "anything but Proof as the second message is out-of-order (103), Hello included")
async def no_proof(bench: Bench) -> None:
    for second in (encode(Ping(1)), None):
        party = await bench.party()
        await party.say_hello()
        await party.say(second or frame(party.said_hello))
        await party.end(Code.OUT_OF_ORDER)


@AREA.check("LINK-7", "Hello or Proof after the handshake is out-of-order (103)")
async def again(bench: Bench) -> None:
    for which in (Hello, Proof):
        party = await bench.party()
        await party.greet()
        await party.say(frame(party.said_hello) if which is Hello else Proof(bytes(64)))
        await party.end(Code.OUT_OF_ORDER)


# ── the Proof ───────────────────────────────────────────────────────────────────────────────────────────────────────


#: What is wrong in a Proof, and how it comes to be.
FORGERIES: tuple[tuple[str, Callable[[Bench, Party], Fields]], ...] = (
    ("of another role", lambda _b, _p: {"role": Role.DEVICE}),
    ("for another connection's exporter", lambda _b, _p: {"exporter": bytes(32)}),
    ("with another key of the signer", lambda _b, _p: {"own": fresh_key().public}),
    ("for another node's key", lambda _b, _p: {"other": fresh_key().public}),
    ("with the keys exchanged", lambda b, p: {"own": b.node.key, "other": p.own.key.public}),
    ("for another group", lambda _b, _p: {"group": "x"}),
    ("over another Hello of the node", lambda _b, _p: {"theirs": b"another"}),
    ("of another purpose", lambda _b, _p: {"purpose": Purpose.RECEIPT}),
)


def _forgery(what: str, lies: Callable[[Bench, Party], Fields]) -> None:
    clauses = "LINK-8 LINK-9 WIRE-21" if "purpose" in what else "LINK-8 LINK-9"

    @AREA.check(clauses, f"a Proof {what} is refused with bad-proof (106)")
    async def run(bench: Bench) -> None:
        party = await bench.party()
        await party.say_hello()
        await party.say(await party.proof(**lies(bench, party)))
        await party.end(Code.BAD_PROOF)


for _forged in FORGERIES:
    _forgery(*_forged)


@AREA.check("LINK-9", "a Proof over another Hello than was sent is refused with bad-proof (106)")
async def another_hello_of_ours(bench: Bench) -> None:
    party = await bench.party()
    await party.say_hello()
    party.said_hello = pack(party.hello(window_envelopes=7))
    await party.say(await party.proof())
    await party.end(Code.BAD_PROOF)


@AREA.check("LINK-9", "a Hello and Proof that were right on another connection are refused with bad-proof (106)")
async def replay(bench: Bench) -> None:
    first = await bench.party()
    await first.say_hello()
    proof = await first.proof()
    await first.close()
    second = await bench.party(first.own)
    await second.say_hello(first.said_hello)
    await second.say(proof)
    await second.end(Code.BAD_PROOF)


@AREA.check("LINK-11", f"who says nothing is sent away after {HANDSHAKE_TIMEOUT_S:.0f} s", takes_s=25)
async def says_nothing(bench: Bench) -> None:
    await _too_slow(bench, await bench.party())


@AREA.check("LINK-11", "so is who says Hello and no more, or a part of it", takes_s=25)
async def says_little(bench: Bench) -> None:
    party = await bench.party()
    await party.say_hello()
    part = await bench.party()
    await part.say(encode(part.hello())[:20])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_too_slow, bench, party)
        nursery.start_soon(_too_slow, bench, part)


async def _too_slow(_bench: Bench, party: Party) -> None:
    began = trio.current_time()
    await party.end(Code.TOO_SLOW, within_s=20)
    took = trio.current_time() - began
    require(took > HANDSHAKE_TIMEOUT_S - 2, f"it was sent away after {took:.1f} s already")


# ── a record in Hello ───────────────────────────────────────────────────────────────────────────────────────────────


def _record_lie(what: str, code: Code, make: Callable[[Bench, Identity], bytes], more: str = "") -> None:
    async def run(bench: Bench) -> None:
        own = bench.stranger()
        party = await bench.party(replace(own, record=make(bench, own)))
        await party.say_hello()
        await party.say(await party.proof())
        await party.end(code)

    AREA.check(f"LINK-12 LINK-27 {more}", f"a record in Hello {what} is refused with {code}")(run)


def with_another_key(own: Identity) -> Identity:
    """The same name with another key."""
    return replace(own, key=fresh_key())


_record_lie("that does not decode", Code.BAD_FRAME, lambda _b, _o: b"no record")
_record_lie("with a name that is not canonical", Code.BAD_FRAME, lambda b, o: b.record(o, name=o.name.upper()))
_record_lie(
    "with a `moved_to` that is not canonical", Code.BAD_FRAME, lambda b, o: b.record(o, state=2, moved_to="No Name")
)
_record_lie("that its key has not signed", Code.BAD_SIGNATURE, lambda b, o: b.record(o, signer=fresh_key()))
_record_lie("of another name", Code.BAD_SIGNATURE, lambda b, o: b.record(o, name=b.stranger().name))
_record_lie("of another key", Code.BAD_SIGNATURE, lambda b, o: b.record(with_another_key(o)))
_record_lie(
    "whose former key has not signed the succession",
    Code.BAD_SIGNATURE,
    lambda b, o: b.record(o, old_key=fresh_key().public, old_signature=bytes(64)),
    "WIRE-20",
)
_record_lie("issued 7 minutes ahead", Code.CLOCK_SKEW, lambda b, o: b.record(o, issued_ms=b.wall_ms() + 7 * MINUTE_MS))
_record_lie("that has expired", Code.EXPIRED, lambda b, o: b.record(o, expires_ms=b.wall_ms() - 1_000))
_record_lie("that is good for 31 days", Code.EXPIRED, lambda b, o: b.record(o, expires_ms=b.wall_ms() + 31 * DAY_MS))


@AREA.check("LINK-27 WIRE-5", "a record of more than 4 KiB in Hello is refused with bad-frame (100)")
async def record_too_long(bench: Bench) -> None:
    party = await bench.party()
    await party.say_hello(party.hello(record=bytes(4_097)))
    await party.end(Code.BAD_FRAME)


# ── as the node dials ───────────────────────────────────────────────────────────────────────────────────────────────


@AREA.check("LINK-10", "a dialled node under another name is refused with wrong-peer (112)", Need.PEOPLE, Need.LISTEN)
async def another_name_answers(bench: Bench) -> None:
    await _answers_as(bench, lambda _party: {"name": bench.stranger().name})


@AREA.check("LINK-10", "so is a device that answers", Need.PEOPLE, Need.LISTEN)
async def a_device_answers(bench: Bench) -> None:
    await _answers_as(bench, lambda party: {"role": Role.DEVICE, "name": f"eve@{party.own.name}"})


async def _answers_as(bench: Bench, lies: Callable[[Party], Fields]) -> None:
    async with bench.provider() as door, bench.people() as (alice, _):
        door.want(alice)
        party = await door.arrival()
        said = lies(party)
        party.own = replace(party.own, role=said.get("role", Role.NODE))
        await party.say_hello(party.hello(**said))
        await party.say(await party.proof())
        await party.end(Code.WRONG_PEER)


@AREA.check(
    "LINK-8 LINK-31 LINK-32",
    "the node dials where a record says, proves itself, and asks for records with its own first",
    Need.PEOPLE,
    Need.LISTEN,
)
async def dials_and_proves(bench: Bench) -> None:
    async with bench.provider() as door, bench.people() as (alice, _):
        door.want(alice)
        party = await door.welcomed()
        asked = await party.expect(Query, lambda each: isinstance(each.ask, Records), what="no Records request")
        told = asked.ask.records if isinstance(asked.ask, Records) else ()
        require(told, "it sends no record, not even its own")
        require(opened(bench, told[0]).key == bench.node.key, "the first record is not the node's own")
