"""A node without a relay: it says what a test wants it to say, in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import trio
from tests.relay.world import VirtualClock, World, key_of

from waypost.crypto.keys import SigningKey, envelope_id
from waypost.errors import PeerFault
from waypost.links.errors import LinkBroken
from waypost.links.pump import Pump, greet
from waypost.links.stream import Stream
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import Offered, Refusal, Reported, Settled
from waypost.protocol.directory.asks import Ask
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, sign_record
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Answer, Role
from waypost.protocol.frames.session import Answered, Asked, Closed, Event, Noticed, Session

Handle = Callable[["Stranger", Event], None]


def record_of(name: str, key: SigningKey, sequence: int = 0, **fields: Any) -> bytes:
    """A signed node record; `sequence` counts from now."""
    now_ms = VirtualClock().wall_ms()
    values: dict[str, Any] = {
        "endpoints": (RecordEndpoint(name, 7711),),
        "state": RecordState.ACTIVE,
        "moved_to": "",
        "old_key": b"",
        "old_signature": b"",
        "issued_ms": now_ms,
        "expires_ms": now_ms + 86_400_000,
        "body_max_bytes": 65_536,
        "features": (),
    } | fields
    return sign_record(NodeRecord(1, name, key.public, now_ms + sequence, **values), key)


def envelope_from(sender: str, to: str, body: bytes = b"hello", **fields: Any) -> bytes:
    users, _, provider = to.rpartition("@")
    values: dict[str, Any] = {"created_ms": VirtualClock().wall_ms(), "expires_s": 432_000} | fields
    return encode_envelope(
        Envelope(
            1,
            provider,
            tuple(users.split(",")),
            sender,
            values["created_ms"],
            values["expires_s"],
            EnvelopeClass.TEXT,
            "x-test",
            body,
        )
    )


class Stranger:
    """One node; at most one link at a time."""

    def __init__(self, world: World, name: str, key: SigningKey | None = None, record: bytes | None = None) -> None:
        self.world = world
        self.name = name
        self.key = key or key_of(name)
        self.record = record_of(name, self.key) if record is None else record
        self.session: Session
        self.stream: Stream
        self.pump: Pump
        self.events: list[Event] = []
        self.settled: list[Settled] = []
        self.offered: list[Offered] = []
        self.reported: list[Reported] = []
        self.answers: list[tuple[object, Answer]] = []
        self.closed: Closed | None = None
        self.links = 0
        self.refusal: Callable[[int], Refusal | None] = lambda _index: None
        self.answers_receipts = True
        self.on_event: Handle = lambda _stranger, _event: None
        self.greeted: Callable[[], bool] = lambda: True  #: whether to go on after a proof
        self._news = trio.Event()

    def listen(self) -> None:
        """Be dialled under the own name."""
        self.world.net.listeners[self.name] = self  # type: ignore[assignment]
        self.world.net.down.discard(self.name)

    async def dial(self, node: str) -> None:
        stream = await self.world.net.dial(node, 7711)
        await self._greet(stream)
        self.world.nursery.start_soon(self.pump.run)

    async def accept(self, stream: Stream) -> None:
        """As `Relay.accept`."""
        try:
            await self._greet(stream)
        except (PeerFault, LinkBroken):
            return
        if not self.greeted():
            await stream.aclose()
            return
        await self.pump.run()

    async def _greet(self, stream: Stream) -> None:
        own = Own(Role.NODE, self.name, self.key, (), record=self.record)
        handshake = Handshake(own, stream.channel, VirtualClock().wall_ms())
        self.links += 1
        await greet(stream, handshake)
        self.session, self.stream, self.closed = handshake.finish(trio.current_time()), stream, None
        self.pump = Pump(stream, self.session, self._handle)

    def offer(self, *envelopes: bytes) -> list[bytes]:
        ids = [bytes(envelope_id(each)) for each in envelopes]
        self.session.offer(envelopes, ids, ids)
        self.pump.wake()
        return ids

    async def ask(self, ask: Ask) -> Answer:
        token = object()
        self.session.ask(ask, token, trio.current_time())
        self.pump.wake()
        await self.until(lambda: any(each is token for each, _ in self.answers))
        return next(answer for each, answer in self.answers if each is token)

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        with trio.fail_after(seconds):
            while not condition():
                await self._news.wait()

    async def goodbye(self, seconds: float = 60.0) -> int | None:
        """The code with which the other side ends the link."""
        await self.until(lambda: self.closed is not None, seconds)
        assert self.closed is not None
        return self.closed.code

    def codes(self) -> dict[bytes, int]:
        """What was refused, by id."""
        refused: dict[bytes, int] = {}
        for settled in self.settled:
            ids: list[bytes] = settled.token  # type: ignore[assignment]
            refused |= {ids[refusal.index]: refusal.code for refusal in settled.refusals}
        return refused

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            self.events.append(event)
            match event:
                case Offered():
                    self.offered.append(event)
                    self._receipt(event.batch, len(event.ids))
                case Reported():
                    self.reported.append(event)
                    self._receipt(event.batch, len(event.outcomes))
                case Settled():
                    self.settled.append(event)
                case Answered(token, answer):
                    self.answers.append((token, answer))
                case Closed():
                    self.closed = event
                case Asked() | Noticed() | _:
                    pass
            self.on_event(self, event)
        self._news.set()
        self._news = trio.Event()

    def _receipt(self, batch: int, count: int) -> None:
        if self.answers_receipts:
            refusals = [refusal for index in range(count) if (refusal := self.refusal(index)) is not None]
            self.session.receipt(batch, refusals, VirtualClock().wall_ms())
