"""One end of a connection to the node: raw frames, our own handshake, and every lie that the wire allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import count
from typing import Any, TypeVar

import msgspec
import trio

from waypost.clock import WallMs
from waypost.crypto.keys import Purpose, SigningKey, envelope_id, verify
from waypost.errors import Code, PeerFault, describe
from waypost.limits import WINDOW_BYTES
from waypost.links.errors import LinkBroken
from waypost.links.stream import Stream
from waypost.protocol.custody.transfer import Delivered, Offer, Outcome, Receipt, ReceiptPayload, Refusal
from waypost.protocol.directory.asks import Ask, Records, RecordsReply
from waypost.protocol.frames.codec import FrameBuffer, pack, read
from waypost.protocol.frames.handshake import proof_payload
from waypost.protocol.frames.messages import Answer, Goodbye, Hello, Message, Ping, Pong, Proof, Query, Role, encode
from waypost_lab.conformance.check import Failed, fail, require
from waypost_lab.conformance.sender_watch import Order, Witness

PAUSE_S = 1.0  #: long enough to see that nothing comes
SOON_S = 10.0  #: for what a node does at once; real ones share their machine with others

M = TypeVar("M")


@dataclass(frozen=True)
class Identity:
    """Who the checker says it is on one link."""

    role: Role
    name: str
    key: SigningKey
    record: bytes = b""
    window_envelopes: int = 1_024
    window_bytes: int = WINDOW_BYTES


def _answer(query: Query) -> Answer:
    if isinstance(query.ask, Records):
        return Answer(query.id, 0, "", pack(RecordsReply(())))
    return Answer(query.id, Code.NOT_FOUND.number)


@dataclass
class Manners:
    """What is done without being told."""

    pongs: bool = True
    takes: bool = True  #: acknowledge what is offered
    verdict: Callable[[bytes], Refusal | None] = lambda _id: None  #: of an envelope; the index is filled in
    answer: Callable[[Query], Answer | None] = _answer


def frame(body: bytes) -> bytes:
    """Any bytes as the body of a frame."""
    return len(body).to_bytes(4, "big") + body


def digest_of(ids: Sequence[bytes]) -> bytes:
    return blake2b(b"".join(ids), digest_size=32).digest()


@dataclass
class StreamEnd:
    """How the node's side of the stream ended. `orderly`: with close_notify, or what stands for it."""

    orderly: bool
    why: str = ""


@dataclass
class Party:
    """See the module. `run` reads until the end; everything heard stays in `heard`."""

    stream: Stream
    own: Identity
    witness: Witness
    wall_ms: Callable[[], WallMs]
    manners: Manners = field(default_factory=Manners)
    heard: list[Message] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    ended: StreamEnd | None = None
    proven: bool = False  #: the node's Proof has been heard
    said_hello: bytes = b""

    def __post_init__(self) -> None:
        self._news = trio.Event()
        self._sending = trio.Lock()
        self._numbers = count(1)
        self._batches = count(1)
        self._order = Order(self.witness, self.own.window_envelopes, self.own.window_bytes)

    # ── listening ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """Until the stream ends."""
        frames = FrameBuffer()
        try:
            while data := await self.stream.receive():
                for body in frames.cut(data):
                    await self._hear(body)
            self.ended = StreamEnd(orderly=True)
        except LinkBroken as broken:
            self.ended = StreamEnd(orderly=False, why=broken.detail)
        except PeerFault as fault:
            self.ended = StreamEnd(orderly=False, why=f"it said what nobody can decode: {fault.detail}")
            await self.stream.aclose()
        self._notify()

    async def _hear(self, body: bytes) -> None:
        message = self.witness.frame(body, proven=self.proven)
        self.proven = self.proven or isinstance(message, Proof)
        self.heard.append(message)
        self.bodies.append(body)
        self._notify()
        if isinstance(message, Offer | Delivered):
            self._order.takes(message)
        if (reply := self._reply(message)) is not None:
            await self.say(reply)

    def _reply(self, message: Message) -> Message | None:
        match message:
            case Ping(nonce) if self.manners.pongs:
                return Pong(nonce)
            case Offer() if self.manners.takes:
                refusals = [
                    msgspec.structs.replace(refusal, index=index)
                    for index, each in enumerate(message.envelopes)
                    if (refusal := self.manners.verdict(envelope_id(each))) is not None
                ]
                return self.receipt(message, refusals)
            case Delivered() if self.manners.takes:
                return self.receipt(message)
            case Query():
                return self.manners.answer(message)
            case _:
                return None

    def _notify(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def until(self, condition: Callable[[], object], what: str, within_s: float = SOON_S) -> None:
        """Wait for something to be heard. Raises Failed with `what` if it does not come."""
        with trio.move_on_after(within_s):
            while not condition():
                if self.ended is not None:
                    break
                await self._news.wait()
        if not condition():
            fail(f"{what}: {self._instead()}")

    def _instead(self) -> str:
        if (code := self.parted) is not None:
            return f"the link was ended with {describe(code)}"
        if self.ended is not None:
            return f"the link ended without a word{f' ({self.ended.why})' if self.ended.why else ''}"
        names = [type(message).__name__ for message in self.heard[-5:]]
        return f"nothing of the kind came; last heard: {', '.join(names) or 'nothing'}"

    async def expect(
        self, kind: type[M], where: Callable[[M], object] = lambda _m: True, within_s: float = SOON_S, what: str = ""
    ) -> M:
        """The first message of that kind, heard already or to come."""
        found: list[M] = []

        def looks() -> bool:
            found[:] = [each for each in self.heard if isinstance(each, kind) and where(each)][:1]
            return bool(found)

        await self.until(looks, what or f"no {kind.__name__}", within_s)
        return found[0]

    def all(self, kind: type[M]) -> list[M]:
        return [each for each in self.heard if isinstance(each, kind)]

    @property
    def parted(self) -> int | None:
        """The code of the node's Goodbye."""
        return next((message.code for message in self.heard if isinstance(message, Goodbye)), None)

    async def end(self, code: Code, within_s: float = SOON_S) -> None:
        """The node must end the link with that code."""
        await self.until(lambda: self.parted is not None, f"no Goodbye with {code}", within_s)
        require(self.parted == code.number, f"expected {code}, got {describe(self.parted or 0)}")

    # ── speaking ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def say(self, *what: Message | bytes) -> None:
        """Send it, if anyone is there to take it: a node may hang up at any time."""
        data = b"".join(each if isinstance(each, bytes) else encode(each) for each in what)
        async with self._sending:
            try:
                await self.stream.send(data)
            except LinkBroken:
                await trio.lowlevel.checkpoint()

    async def close(self) -> None:
        await self.stream.aclose()

    async def lives(self, within_s: float = SOON_S) -> None:
        """The link must still work: a Ping is answered by its Pong."""
        nonce = 0x5EED0000 + next(self._numbers)
        await self.say(Ping(nonce))
        await self.expect(Pong, lambda pong: pong.nonce == nonce, within_s, "the link should have stayed")

    # ── the handshake ───────────────────────────────────────────────────────────────────────────────────────────────

    def hello(self, **lies: Any) -> Hello:
        """What it says of itself, but for the lies."""
        own = self.own
        honest = Hello(
            1,
            1,
            own.role,
            own.name,
            own.key.public,
            (),
            self.stream.channel.group,
            self.wall_ms(),
            own.window_envelopes,
            own.window_bytes,
            own.record,
        )
        return msgspec.structs.replace(honest, **lies)

    async def say_hello(self, hello: Hello | bytes | None = None) -> None:
        """Send a Hello; bytes are a body, which may be in any encoding."""
        body = hello if isinstance(hello, bytes) else encode(hello or self.hello())[4:]
        self.said_hello = body
        await self.say(frame(body))

    async def their_hello(self) -> tuple[Hello, bytes]:
        """The node's Hello and its body."""
        hello = await self.expect(Hello, what="no Hello")
        return hello, self.bodies[self.heard.index(hello)]

    async def proof(self, purpose: Purpose = Purpose.LINK_PROOF, **lies: Any) -> Proof:
        """The Proof that fits; `lies`: exporter, group, role, own (key), other (key), theirs (Hello's body)."""
        hello, body = await self.their_hello()
        channel = self.stream.channel
        payload = proof_payload(
            lies.get("role", self.own.role),
            replace(channel, exporter=lies.get("exporter", channel.exporter), group=lies.get("group", channel.group)),
            (lies.get("own", self.own.key.public), lies.get("other", hello.key)),
            (self.said_hello, lies.get("theirs", body)),
        )
        return Proof(self.own.key.sign(purpose, payload))

    async def greet(self, hello: Hello | bytes | None = None) -> Hello:
        """The whole handshake, honestly, and the node's Proof checked. Raises Failed."""
        await self.say_hello(hello)
        await self.say(await self.proof())
        return await self.check_proof()

    async def check_proof(self) -> Hello:
        """The node's Proof must fit. Returns its Hello."""
        theirs, body = await self.their_hello()
        proof = await self.expect(Proof, what="no Proof")
        keys = (theirs.key, self.own.key.public)
        payload = proof_payload(Role.NODE, self.stream.channel, keys, (body, self.said_hello))
        try:
            verify(theirs.key, Purpose.LINK_PROOF, payload, proof.signature)
        except PeerFault:
            raise Failed("the node's Proof does not fit this connection and these Hellos") from None
        return theirs

    # ── custody and requests ────────────────────────────────────────────────────────────────────────────────────────

    def next_batch(self) -> int:
        return next(self._batches)

    async def offer(self, *envelopes: bytes, within_s: float = SOON_S) -> dict[int, int]:
        """Offer one batch; what was refused, by index, from a receipt that fits."""
        batch = self.next_batch()
        await self.say(Offer(batch, envelopes))
        return await self.receipt_for(batch, [envelope_id(each) for each in envelopes], within_s)

    async def receipt_for(self, batch: int, ids: Sequence[bytes], within_s: float = SOON_S) -> dict[int, int]:
        """The refusals in the receipt for a batch of ours; it must be signed and have the right digest."""
        receipt = await self.expect(
            Receipt, lambda each: read(each.payload, ReceiptPayload).batch == batch, within_s, f"no receipt for {batch}"
        )
        payload = read(receipt.payload, ReceiptPayload)
        node, _ = await self.their_hello()
        try:
            verify(node.key, Purpose.RECEIPT, receipt.payload, receipt.signature)
        except PeerFault:
            raise Failed("the receipt is not signed by the key that the node has proved") from None
        require(payload.digest == digest_of(ids), "the receipt's digest is not that of the batch's ids")
        indexes = [refusal.index for refusal in payload.refusals]
        require(len(set(indexes)) == len(indexes), "the receipt refuses an index twice")
        require(all(index < len(ids) for index in indexes), "the receipt refuses what was not offered")
        return {refusal.index: refusal.code for refusal in payload.refusals}

    def receipt(self, batch: Offer | Delivered, refusals: Sequence[Refusal] = (), **lies: Any) -> Receipt:
        """The receipt that fits; `lies`: number, digest, purpose."""
        if isinstance(batch, Offer):
            ids: list[bytes] = [envelope_id(each) for each in batch.envelopes]
        else:
            ids = [outcome.ids for outcome in batch.outcomes]
        number, digest = lies.get("number", batch.batch), lies.get("digest", digest_of(ids))
        payload = pack(ReceiptPayload(number, self.wall_ms(), digest, tuple(refusals)))
        self._order.settled(batch.batch)
        return Receipt(payload, self.own.key.sign(lies.get("purpose", Purpose.RECEIPT), payload))

    async def arrives(self, id_: bytes, within_s: float = SOON_S) -> bytes:
        """The bytes of an envelope that the node offers on this link."""
        what = "an envelope that was taken was not handed on"
        offer = await self.expect(Offer, lambda each: id_ in [*map(envelope_id, each.envelopes)], within_s, what)
        return next(envelope for envelope in offer.envelopes if envelope_id(envelope) == id_)

    def offered(self, id_: bytes) -> int:
        """How often the node has offered it on this link."""
        return sum(envelope_id(each) == id_ for offer in self.all(Offer) for each in offer.envelopes)

    def outcomes(self, id_: bytes) -> list[Outcome]:
        """All that the node has told about an envelope on this link."""
        every = (outcome for message in self.all(Delivered) for outcome in message.outcomes)
        return [each for each in every if id_ in (each.ids[at : at + 16] for at in range(0, len(each.ids), 16))]

    async def told(self, id_: bytes, code: int = 0, within_s: float = SOON_S) -> Outcome:
        """The outcome with that code."""

        def fitting() -> list[Outcome]:
            return [outcome for outcome in self.outcomes(id_) if outcome.code == code]

        await self.until(fitting, f"no outcome with {describe(code)}", within_s)
        return fitting()[0]

    async def ask(self, ask: Ask, within_s: float = SOON_S + 5) -> Answer:
        """The answer to a request."""
        number = next(self._numbers)
        await self.say(Query(number, ask))
        name = type(ask).__name__
        return await self.expect(Answer, lambda answer: answer.id == number, within_s, f"no answer to {name}")

    async def answered(self, ask: Ask, code: Code | None = None) -> Answer:
        """The answer, which must have that code; without one: be a success."""
        answer = await self.ask(ask)
        number = code.number if code is not None else 0
        expected = code or "success"
        require(answer.code == number, f"{type(ask).__name__}: expected {expected}, got {describe(answer.code)}")
        return answer
