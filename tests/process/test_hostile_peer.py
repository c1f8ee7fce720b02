"""What a peer that breaks the rules is told by a real node, over TLS; and the node goes on as if nothing had been."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import pytest
import trio
from scripts.support.nodes import Node
from tests.process.support import MALLORY, killed

from waypost.clock import DAY_MS
from waypost.errors import Code
from waypost.limits import FRAME_MAX_BYTES, MIB, QUERIES_IN_FLIGHT_MAX, WINDOW_ENVELOPES
from waypost.links import tcp
from waypost.links.errors import LinkBroken
from waypost.links.pump import greet
from waypost.links.tls import TlsStream
from waypost.protocol.custody.transfer import Offer, Receipt, ReceiptPayload
from waypost.protocol.directory.asks import Track
from waypost.protocol.directory.record import NodeRecord, sign_record
from waypost.protocol.frames.codec import FrameBuffer, read
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Goodbye, Hello, Message, Proof, Query, Role, decode, encode
from waypost_lab.driver import Writer, tls_of, wall_ms

NAME = "mallory.local"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node("birdy.local", tmp_path_factory.mktemp("hostile"))
    made.start()
    try:
        yield made
    finally:
        killed(made)


async def dial(node: Node) -> TlsStream:
    return await tcp.connect("127.0.0.1", node.port, tls_of(MALLORY, "mallory"))


def own(record: bytes = b"") -> Own:
    return Own(Role.NODE, NAME, MALLORY, record=record)


@dataclass
class Proven:
    """A link as NAME, as an honest peer would begin it, with what came together with the end of the handshake."""

    stream: TlsStream
    early: bytes

    async def receive(self) -> bytes:
        early, self.early = self.early, b""
        return early or await self.stream.receive()

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def aclose(self) -> None:
        await self.stream.aclose()


async def proven(node: Node, record: bytes = b"") -> Proven:
    stream = await dial(node)
    handshake = Handshake(own(record), stream.channel, wall_ms())
    await greet(stream, handshake)
    return Proven(stream, handshake.finish(trio.current_time())._early)


async def answers(stream: TlsStream | Proven, said: bytes) -> list[Message]:
    """Everything that the node says after that, until it hangs up or falls silent for a while."""
    frames, heard = FrameBuffer(), []
    with trio.move_on_after(10):
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_send, stream, said)
                while data := await stream.receive():
                    heard += [decode(frame) for frame in frames.feed(data)]
                    if any(isinstance(message, Goodbye | Receipt) for message in heard):
                        break
                nursery.cancel_scope.cancel()
        except* LinkBroken:
            pass
    await stream.aclose()
    return heard


async def _send(stream: TlsStream | Proven, said: bytes) -> None:
    # It may have hung up already, which is its right.
    with suppress(LinkBroken):
        await stream.send(said)


def goodbye(heard: list[Message]) -> Code | None:
    codes = {code.number: code for code in Code}
    return next((codes[message.code] for message in heard if isinstance(message, Goodbye)), None)


def envelopes(count: int, to: str = "nobody@birdy.local", body: int = 64) -> tuple[bytes, ...]:
    return tuple(Writer(f"eve@{NAME}", to, body).write(count)[0])


def too_many_offers() -> bytes:
    each = envelopes(512)
    return b"".join(encode(Offer(number, each)) for number in range(1, WINDOW_ENVELOPES // 512 + 3))


def too_many_queries() -> bytes:
    # The same number twice at once, whatever the pace of the answers.
    return encode(Query(1, Track(bytes(16)))) * (QUERIES_IN_FLIGHT_MAX + 2)


def large(length: int) -> bytes:
    return length.to_bytes(4, "big")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (lambda: os.urandom(3) + b"\xff" * 60, Code.FRAME_TOO_LARGE),
        (lambda: large(FRAME_MAX_BYTES + 1), Code.FRAME_TOO_LARGE),
        (lambda: large(4) + b"\xc1" * 4, Code.BAD_FRAME),
        (lambda: large(2) + b"\x91\x7f", Code.UNKNOWN_TYPE),
        (lambda: large(FRAME_MAX_BYTES) + b"\x91" * FRAME_MAX_BYTES, Code.BAD_FRAME),
        (lambda: encode(Proof(bytes(64))), Code.OUT_OF_ORDER),
        (lambda: encode(Offer(1, envelopes(1))) * 2, Code.DUPLICATE_BATCH),
        (lambda: encode(Receipt(b"\x90", bytes(64))), Code.BAD_SIGNATURE),
        (too_many_queries, Code.TOO_MANY_REQUESTS),
    ],
)
async def test_broken_rules_close_the_link_with_their_number(node: Node, said: Callable[[], bytes], code: Code) -> None:
    assert goodbye(await answers(await proven(node), said())) is code


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"key": bytes(31) + b"\x01"}, Code.BAD_PROOF),
        ({"name": "not a name"}, Code.BAD_FRAME),
        ({"version_min": 2, "version_max": 9}, Code.VERSION),
        ({"group": "X25519-but-weaker"}, Code.BAD_PROOF),
        ({"now_ms": 0}, Code.CLOCK_SKEW),
    ],
)
async def test_a_hello_that_does_not_fit(node: Node, change: dict[str, object], code: Code) -> None:
    stream = await dial(node)
    fields = {
        "version_min": 1,
        "version_max": 1,
        "role": Role.NODE,
        "name": NAME,
        "key": MALLORY.public,
        "features": (),
        "group": stream.channel.group,
        "now_ms": wall_ms(),
        "window_envelopes": 100,
        "window_bytes": MIB,
    }
    hello = Hello(**(fields | change))  # type: ignore[arg-type]
    assert goodbye(await answers(stream, encode(hello) + encode(Proof(bytes(64))))) is code


async def test_a_proof_of_another_connection(node: Node) -> None:
    first = await dial(node)
    handshake = Handshake(own(), first.channel, wall_ms())
    said = handshake.bytes_to_send()
    await first.send(said)
    while (proof := handshake.bytes_to_send()) == b"":
        handshake.receive(await first.receive())
    await first.aclose()
    assert goodbye(await answers(await dial(node), said + proof)) is Code.BAD_PROOF


async def test_a_record_with_a_bad_signature(node: Node) -> None:
    now = wall_ms()
    good = NodeRecord(1, NAME, MALLORY.public, now, now, now + DAY_MS, (), ())
    signed = bytearray(sign_record(good, MALLORY))
    signed[-1] ^= 1
    assert goodbye(await answers(await proven(node, bytes(signed)), b"")) is Code.BAD_SIGNATURE


async def test_mail_that_is_not_for_this_node_or_not_from_this_peer(node: Node) -> None:
    foreign = envelopes(1, "bob@finch.local")[0]
    forged = Writer("eve@finch.local", "nobody@birdy.local", 64).write(1)[0][0]
    garbled = b"\x99" + os.urandom(40)
    unknown = envelopes(1)[0]
    offered = (foreign, forged, garbled, unknown)
    heard = await answers(await proven(node), encode(Offer(1, offered)))
    [receipt] = [message for message in heard if isinstance(message, Receipt)]
    refusals = {refusal.index: refusal.code for refusal in read(receipt.payload, ReceiptPayload).refusals}
    expected = (Code.NOT_OURS, Code.FORGED_SENDER, Code.MALFORMED_ENVELOPE, Code.NOT_FOUND)
    assert refusals == {index: code.number for index, code in enumerate(expected)}


async def test_floods_cost_bounded_memory_and_the_node_goes_on(node: Node) -> None:
    before = node.rss_mib()
    for _ in range(5):
        stream = await dial(node)
        # Before it has proved anything it may make us hold little.
        assert goodbye(await answers(stream, large(FRAME_MAX_BYTES) + bytes(FRAME_MAX_BYTES))) is Code.FRAME_TOO_LARGE
        await answers(await proven(node), too_many_offers())
        await answers(await proven(node), large(FRAME_MAX_BYTES) + b"\xdd\x00\x0f\xff\xf0" + b"\x90" * FRAME_MAX_BYTES)
    assert node.rss_mib() - before < 64
    assert node.invite(f"user{os.getpid()}")
    assert "Traceback" not in node.log.read_text()
