"""A proven link, without its I/O: bytes in, events out; calls in, bytes out.

    bytes ── receive ──► frames ──► messages ──► events        offer, report, receipt, ask, answer … ──► bytes_to_send
                                       │                                    ▲
    now ─── expire ──► pings, timeouts ┴── the link's own: Ping, Pong ──────┘

The session keeps the rules that hold for every link: framing, custody windows, requests and their answers, keep-alive.
What an event means for mail is decided above. Four conversations run at once, none of which waits for another:

    custody, both ways   Offer | Delivered ─► Receipt    bounded by the window that the receiver granted in its Hello
    requests, both ways  Query ─► Answer                 QUERIES_IN_FLIGHT_MAX each way; ours end by a timeout at last
    news                 Notice, Signal                  no answer; a signal may be dropped
    life                 Ping ─► Pong                    after PING_AFTER_S of silence; after SILENT_AFTER_S it is over

A session is open, then closed, for good:

    open ──► Goodbye, the end of the connection, a fault of the peer, `close`, or silence ──► closed

`Closed` is the last event, and comes once.

A fault of the peer becomes a Goodbye with its number and a `Closed` event; it never raises out of `receive`. What came
before it in the same bytes is told first. A session that is closed says nothing more: whoever answers late, after a
commit, need not look first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from waypost.clock import NEVER, Instant, WallMs
from waypost.crypto.keys import SigningKey
from waypost.errors import Code, PeerFault
from waypost.limits import PING_AFTER_S, QUERIES_IN_FLIGHT_MAX, QUERY_TIMEOUT_S, SEND_BUFFER_MAX_BYTES, SILENT_AFTER_S
from waypost.protocol.custody.transfer import (
    Delivered,
    Holder,
    Offer,
    Offered,
    Outcome,
    Receipt,
    Receiver,
    Refusal,
    Reported,
    Room,
    Settled,
)
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.codec import FrameBuffer
from waypost.protocol.frames.messages import (
    Answer,
    Goodbye,
    Hello,
    Message,
    Notice,
    Ping,
    Pong,
    Proof,
    Query,
    Signal,
    decode,
    encode,
)


@dataclass(frozen=True, slots=True)
class Terms:
    """What the handshake settled."""

    key: SigningKey
    peer_key: bytes
    peer_window_envelopes: int
    peer_window_bytes: int
    own_window_envelopes: int
    own_window_bytes: int


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: answer with `Session.answer(id, …)`."""

    id: int
    ask: Ask


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request of ours, or TIMED_OUT made here."""

    token: object
    answer: Answer


@dataclass(frozen=True, slots=True)
class Noticed:
    notice: Notice


@dataclass(frozen=True, slots=True)
class Signalled:
    signal: Signal


@dataclass(frozen=True, slots=True)
class Closed:
    """The last event of a session. `code` None: the connection ended without a word."""

    code: int | None
    text: str
    by_peer: bool


Event = Offered | Reported | Settled | Asked | Answered | Noticed | Signalled | Closed


class Session:
    """See the module. `pending_bytes` is what `bytes_to_send` would return now."""

    def __init__(self, terms: Terms, now: Instant, early: bytes = b"") -> None:
        self._terms = terms
        self._holder = Holder(terms.peer_key, terms.peer_window_envelopes, terms.peer_window_bytes)
        self._receiver = Receiver(terms.own_window_envelopes, terms.own_window_bytes)
        self._frames = FrameBuffer()
        self._early = early
        self._out: list[bytes] = []
        self._queries: dict[int, tuple[object, Instant]] = {}
        self._asked: set[int] = set()
        self._next_query = 1
        self._heard = now
        self._pinged = False
        self.pending_bytes = 0
        self.closed = False

    # ── bytes in ────────────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, data: bytes, now: Instant) -> list[Event]:
        """The events in what arrived; `b""` means that the peer hung up."""
        if self.closed:
            return []
        if not data:
            return self._end(Closed(None, "the connection ended", by_peer=True))
        self._heard, self._pinged = now, False
        return self._take(data)

    def start(self) -> list[Event]:
        """The events in what arrived together with the end of the handshake. Call it once, first."""
        early, self._early = self._early, b""
        return [] if self.closed else self._take(early)

    def _take(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        try:
            for frame in self._frames.cut(data):
                event = self._handle(decode(frame))
                if event is not None:
                    events.append(event)
                if self.closed:
                    break
        except PeerFault as fault:
            events += self._fail(fault)
        return events

    def _handle(self, message: Message) -> Event | None:
        match message:
            case Offer():
                return Offered(message.batch, self._receiver.offered(message), message.envelopes)
            case Receipt():
                token, payload = self._holder.settle(message)
                return Settled(token, payload.at_ms, payload.refusals)
            case Delivered():
                self._receiver.reported(message)
                return Reported(message.batch, message.outcomes)
            case Query():
                return self._take_query(message)
            case Answer():
                waiting = self._queries.pop(message.id, None)
                return Answered(waiting[0], message) if waiting else None
            case Notice():
                return Noticed(message)
            case Signal():
                return Signalled(message)
            case Ping():
                self._send(Pong(message.nonce))
                return None
            case Pong():
                return None
            case Goodbye():
                return self._end(Closed(message.code, message.text, by_peer=True))[0]
            case Hello() | Proof():
                raise PeerFault(Code.OUT_OF_ORDER, f"{type(message).__name__} after the handshake")
            case _:
                assert_never(message)

    def _take_query(self, query: Query) -> Asked:
        if query.id in self._asked or len(self._asked) >= QUERIES_IN_FLIGHT_MAX:
            raise PeerFault(Code.TOO_MANY_REQUESTS, f"query {query.id}, {len(self._asked)} open")
        self._asked.add(query.id)
        return Asked(query.id, query.ask)

    # ── calls in ────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def room(self) -> Room:
        """What one further batch may hold: the peer's window, and our own bound on unsent bytes."""
        if self.closed or self.pending_bytes >= SEND_BUFFER_MAX_BYTES:
            return Room(0, 0)
        return self._holder.room

    @property
    def in_flight(self) -> int:
        """Batches of ours without a receipt yet."""
        return self._holder.in_flight

    @property
    def can_ask(self) -> bool:
        return not self.closed and len(self._queries) < QUERIES_IN_FLIGHT_MAX

    def offer(self, envelopes: Sequence[bytes], ids: Sequence[bytes], token: object) -> None:
        """Offer a batch within `room`; `Settled` brings the token back."""
        self._send(self._holder.offer(envelopes, ids, token))

    def report(self, outcomes: Sequence[Outcome], token: object) -> None:
        """Report outcomes within `room`; `Settled` brings the token back."""
        self._send(self._holder.report(outcomes, token))

    def receipt(self, batch: int, refusals: Sequence[Refusal], at_ms: WallMs) -> None:
        """Acknowledge an `Offered` or `Reported` batch. Only after the commit."""
        if not self.closed:
            self._send(self._receiver.receipt(batch, refusals, at_ms, self._terms.key))

    def ask(self, ask: Ask, token: object, now: Instant, timeout_s: float = QUERY_TIMEOUT_S) -> None:
        """Send a request while `can_ask`; `Answered` brings the token back, at the latest after `timeout_s`."""
        number, self._next_query = self._next_query, self._next_query % (2**32 - 1) + 1
        self._queries[number] = (token, now + timeout_s)
        self._send(Query(number, ask))

    def answer(self, number: int, code: int, text: str = "", body: bytes = b"", signature: bytes = b"") -> None:
        """Answer the request `Asked.id`."""
        self._asked.discard(number)
        self._send(Answer(number, code, text, body, signature))

    def notice(self, notice: Notice) -> None:
        self._send(notice)

    def signal(self, signal: Signal) -> None:
        """Pass it on if there is room; a signal may always be dropped."""
        if self.pending_bytes < SEND_BUFFER_MAX_BYTES:
            self._send(signal)

    def close(self, code: Code, text: str = "") -> list[Event]:
        """Say Goodbye; the bytes to send end with it."""
        if self.closed:
            return []
        self._send(Goodbye(code.number, text))
        return self._end(Closed(code.number, text, by_peer=False))

    # ── bytes and time out ──────────────────────────────────────────────────────────────────────────────────────────

    def bytes_to_send(self) -> bytes:
        """Everything to be written now; the session forgets it."""
        if not self._out:
            return b""
        data = self._out[0] if len(self._out) == 1 else b"".join(self._out)
        self._out.clear()
        self.pending_bytes = 0
        return data

    def deadline(self) -> Instant:
        """When `expire` wants to be called; NEVER if not at all."""
        if self.closed:
            return NEVER
        keep_alive = self._heard + (SILENT_AFTER_S if self._pinged else PING_AFTER_S)
        return min(keep_alive, *(due for _, due in self._queries.values())) if self._queries else keep_alive

    def expire(self, now: Instant) -> list[Event]:
        """What the passing of time brings: pings, requests timed out, a silent peer."""
        if self.closed:
            return []
        events: list[Event] = []
        for number, (token, due) in list(self._queries.items()):
            if due <= now:
                del self._queries[number]
                events.append(Answered(token, Answer(number, Code.TIMED_OUT.number)))
        if now >= self._heard + SILENT_AFTER_S:
            return events + self.close(Code.SILENT, f"nothing heard for {SILENT_AFTER_S:.0f} s")
        if now >= self._heard + PING_AFTER_S and not self._pinged:
            self._pinged = True
            self._send(Ping(0))
        return events

    def _send(self, message: Message) -> None:
        if self.closed:
            return
        frame = encode(message)
        self._out.append(frame)
        self.pending_bytes += len(frame)

    def _fail(self, fault: PeerFault) -> list[Event]:
        # The peer gets the number alone; the detail is for our own log.
        self._send(Goodbye(fault.code.number))
        return self._end(Closed(fault.code.number, fault.detail, by_peer=False))

    def _end(self, closed: Closed) -> list[Event]:
        self.closed = True
        return [closed]
