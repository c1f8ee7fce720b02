"""Frames and msgpack: docs/protocol/wire.md up to the names."""

from __future__ import annotations

from waypost.crypto.keys import Purpose
from waypost.errors import Code
from waypost.limits import FRAME_MAX_BYTES, HANDSHAKE_FRAME_MAX_BYTES, QUERIES_IN_FLIGHT_MAX
from waypost.protocol.custody.transfer import Receipt, ReceiptPayload
from waypost.protocol.directory.asks import AskReach, Claim, Join, Publish, Track
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.messages import Answer, Notice, NoticeKind, Ping, Pong, Proof, Query, encode
from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Area, Need, require
from waypost_lab.conformance.encoding import STRANGE, array, longest, shortened, stretched
from waypost_lab.conformance.peer import Party, frame

AREA = Area()


def _announced(length: int, body: bytes = b"") -> bytes:
    return length.to_bytes(4, "big") + body


def _body(*values: object) -> bytes:
    return frame(pack(values))


_PING = encode(Ping(7))[4:]

#: Clauses, bytes that a proven peer says, and the number with which the link must end.
HOSTILE = (
    (
        "WIRE-2",
        "a frame of 1 MiB and a byte, of which the length alone has come",
        _announced(FRAME_MAX_BYTES + 1),
        Code.FRAME_TOO_LARGE,
    ),
    ("WIRE-2", "the largest length there is", b"\xff" * 4, Code.FRAME_TOO_LARGE),
    ("WIRE-3", "a frame without a body", frame(b""), Code.BAD_FRAME),
    ("WIRE-3", "a map instead of an array", frame(b"\x81\x00\x0a"), Code.BAD_FRAME),
    ("WIRE-3", "a byte behind the array", frame(_PING + b"\xc0"), Code.BAD_FRAME),
    ("WIRE-3", "two arrays in one frame", frame(_PING * 2), Code.BAD_FRAME),
    ("WIRE-3", "an array that is cut short", frame(_PING[:-1]), Code.BAD_FRAME),
    ("WIRE-3", "a byte that msgpack does not use", frame(b"\xc1" * 4), Code.BAD_FRAME),
    ("WIRE-4", "a type number that is not defined", _body(99, 1), Code.UNKNOWN_TYPE),
    ("WIRE-4", "a type number of 0", _body(0), Code.UNKNOWN_TYPE),
    ("WIRE-4", "text instead of a type number", _body("ping", 1), Code.BAD_FRAME),
    ("WIRE-4 WIRE-5", "a float as type number", _body(10.0, 1), Code.BAD_FRAME),
    ("WIRE-4", "an array without elements", frame(b"\x90"), Code.BAD_FRAME),
    ("WIRE-5", "a Ping without its nonce", _body(10), Code.BAD_FRAME),
    ("WIRE-5", "1.0 as an integer", _body(10, 1.0), Code.BAD_FRAME),
    ("WIRE-5", "true as an integer", _body(10, True), Code.BAD_FRAME),
    ("WIRE-5", "nil as an integer", _body(10, None), Code.BAD_FRAME),
    ("WIRE-5", "text as an integer", _body(10, "1"), Code.BAD_FRAME),
    ("WIRE-5", "a negative nonce", _body(10, -1), Code.BAD_FRAME),
    ("WIRE-5", "a nonce of 33 bits", _body(10, 2**32), Code.BAD_FRAME),
    ("WIRE-5", "a str where a bin belongs", _body(2, "s" * 64), Code.BAD_FRAME),
    ("WIRE-5", "a signature of 63 bytes", _body(4, b"", bytes(63)), Code.BAD_FRAME),
    ("WIRE-5", "nil for a field that has a default", _body(8, 1, None), Code.BAD_FRAME),
    ("WIRE-5", "an Offer without envelopes", _body(3, 1, []), Code.BAD_FRAME),
    ("WIRE-5", "a text of 1,025 characters", _body(7, 1, 0, "x" * 1_025), Code.BAD_FRAME),
    ("WIRE-5", "a Query for a method that is not defined", _body(6, 1, [99]), Code.BAD_FRAME),
    ("WIRE-9", "a text that is not UTF-8", frame(b"\x94\x07\x01\x00\xa2\xff\xfe"), Code.BAD_FRAME),
)


def _hostile(clauses: str, what: str, said: bytes, code: Code) -> None:
    @AREA.check(clauses, f"{what}: the link ends with {code}")
    async def run(bench: Bench) -> None:
        peer = await bench.peer()
        await peer.say(said)
        await peer.end(code)


for _row in HOSTILE:
    _hostile(*_row)


@AREA.check("WIRE-2", "before the Proof a frame above 16 KiB ends the link with frame-too-large (101)")
async def large_before_hello(bench: Bench) -> None:
    party = await bench.party()
    await party.say(_announced(HANDSHAKE_FRAME_MAX_BYTES + 1))
    await party.end(Code.FRAME_TOO_LARGE)


@AREA.check("WIRE-2", "between Hello and Proof as well, and a frame of exactly 16 KiB is read")
async def large_before_proof(bench: Bench) -> None:
    party = await bench.party()
    hello = stretched(party.hello())
    filler = HANDSHAKE_FRAME_MAX_BYTES - len(hello) - 5
    await party.say_hello(stretched(party.hello(), b"\xc6" + filler.to_bytes(4, "big") + bytes(filler)))
    await party.expect(Proof, what="a Hello of exactly 16 KiB was not taken")
    await party.say(_announced(HANDSHAKE_FRAME_MAX_BYTES + 1))
    await party.end(Code.FRAME_TOO_LARGE)


@AREA.check("WIRE-2", "a frame of exactly 1 MiB is taken from a proven peer")
async def the_largest_frame(bench: Bench) -> None:
    peer = await bench.peer()
    fields = [longest(10), longest(41)]
    filler = FRAME_MAX_BYTES - len(array(*fields)) - 5
    await peer.say(frame(array(*fields, b"\xc6" + filler.to_bytes(4, "big") + bytes(filler))))
    await peer.expect(Pong, lambda pong: pong.nonce == 41, what="a Ping in a frame of 1 MiB was not answered")


@AREA.check("WIRE-6", "integers, lengths and array headers in their longest form are taken")
async def longest_forms(bench: Bench) -> None:
    party = await bench.party()
    await party.greet(stretched(party.hello()))
    await party.say(frame(stretched(Ping(42))))
    await party.expect(Pong, lambda pong: pong.nonce == 42, what="a Ping in its longest form was not answered")
    answer = Query(43, Track(bytes(16)))
    await party.say(frame(array(longest(6), longest(answer.id), longest([4, bytes(16)]))))
    await party.expect(Answer, lambda each: each.id == 43, what="a Query in its longest form was not answered")


@AREA.check("WIRE-7", "fields at the end that have their default may be left out")
async def defaults_left_out(bench: Bench) -> None:
    party = await bench.party()
    await party.greet(pack(shortened(party.hello(), 2)))
    await party.lives()
    await party.say(_body(8, NoticeKind.HELD), _body(7, 4_000_000, 0))
    await party.lives()


@AREA.check("WIRE-8", "elements behind the known fields are ignored, whatever msgpack they hold")
async def more_elements(bench: Bench) -> None:
    party = await bench.party()
    await party.greet(stretched(party.hello(), *STRANGE))
    await party.say(frame(stretched(Ping(44), *STRANGE)))
    await party.expect(Pong, lambda pong: pong.nonce == 44, what="a Ping with more elements was not answered")


@AREA.people("WIRE-8", "so are those inside a request")
async def more_elements_inside(_bench: Bench, alice: Party, _bob: Party) -> None:
    ask = array(longest(6), longest("show"), longest([]), *STRANGE)
    await alice.say(frame(array(longest(6), longest(45), ask, *STRANGE)))
    answer = await alice.expect(Answer, lambda each: each.id == 45)
    require(answer.code == 0, f"Reach with more elements is answered with {answer.code}")


@AREA.check("WIRE-13 WIRE-30", "a Notice of an unknown kind, or for the other role, or of nonsense is ignored")
async def strange_notices(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(Notice(999, 65_535, 2**53 - 1, bytes(48), b"?"))
    await peer.say(Notice(NoticeKind.KEYS_LOW, 3), Notice(NoticeKind.HELD, 0, 0, bytes(17)))
    await peer.say(Notice(NoticeKind.RECORD, data=b"no record"), Notice(NoticeKind.RECORD))
    await peer.lives()


@AREA.people("WIRE-30", "from a device as well")
async def strange_notices_of_a_device(bench: Bench, alice: Party, _bob: Party) -> None:
    await alice.say(Notice(999), Notice(NoticeKind.RECORD, data=bench.record(bench.stranger())))
    await alice.lives()


@AREA.check("WIRE-28", "an Answer to no open request is ignored")
async def answers_to_nothing(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(Answer(4_000_000_000, 0, "", bytes(100)), Answer(0, 65_535))
    await peer.lives()


@AREA.check("WIRE-28", "each Query gets one Answer with its id")
async def one_answer_each(bench: Bench) -> None:
    peer = await bench.peer()
    numbers = [2**32 - 1, 5, 0, 700, 6]
    await peer.say(*(Query(number, Track(bytes(16))) for number in numbers))
    for number in numbers:
        await peer.expect(Answer, lambda each, number=number: each.id == number)  # type: ignore[misc]
    await peer.lives()
    heard = [answer.id for answer in peer.all(Answer)]
    require(sorted(heard) == sorted(numbers), f"answers {heard} to queries {numbers}")


async def _ended_or_answered(peer: Party, count: int) -> None:
    """A node that is quick may have answered before it saw too many: then it has not been asked too much."""
    await peer.until(
        lambda: peer.parted is not None or len(peer.all(Answer)) >= count, "neither all answers nor a Goodbye"
    )
    if peer.parted is not None:
        await peer.end(Code.TOO_MANY_REQUESTS)


@AREA.check("WIRE-27", "the id of an open request again ends the link with too-many-requests (115)")
async def same_request_twice(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(*[Query(9, Track(bytes(16)))] * 8)
    await _ended_or_answered(peer, 8)


@AREA.check(
    "WIRE-27",
    "65 requests that nobody answers yet end the link with too-many-requests (115), 64 do not",
    Need.PEOPLE,
    Need.LISTEN,
)
async def too_many_requests(bench: Bench) -> None:
    async with bench.provider() as door, bench.people() as (alice, _):

        def claim(number: int) -> Query:
            return Query(number, Claim(number.to_bytes(16, "big"), f"nobody@{door.name}", ("x-check",)))

        await alice.say(claim(1))
        await door.arrival()  # and nobody says a word there
        await alice.say(*map(claim, range(2, QUERIES_IN_FLIGHT_MAX + 1)))
        await alice.lives()
        require(not alice.all(Answer), "the node answers for a provider that has said nothing")
        await alice.say(claim(QUERIES_IN_FLIGHT_MAX + 1))
        await alice.end(Code.TOO_MANY_REQUESTS)


@AREA.people(
    "WIRE-29", "a Query that is right in form but not in content is answered with bad-request (400), and the link stays"
)
async def wrong_contents(bench: Bench, alice: Party, _bob: Party) -> None:
    for ask in (
        AskReach("whatever"),
        Join(bytes(16), b"no list"),
        Publish(bytes(16), bench.node.epoch, (b"no package",)),
    ):
        await alice.answered(ask, Code.BAD_REQUEST)
    await alice.lives()


@AREA.check("WIRE-21 CUST-8", "a Receipt signed for another purpose ends the link with bad-signature (105)")
async def another_purpose(bench: Bench) -> None:
    peer = await bench.peer()
    payload = pack(ReceiptPayload(1, bench.wall_ms(), bytes(32)))
    await peer.say(Receipt(payload, peer.own.key.sign(Purpose.ANSWER, payload)))
    await peer.end(Code.BAD_SIGNATURE)
