"""Drives handshakes and sessions over a stream: all of the I/O, none of the rules.

Two tasks share a session:

    stream ── receive ──► reader ──► session ──► events ──► handler
                                        │  ▲                    │
    stream ◄─── send ──── writer ◄──────┘  └── says something ──┘ then `wake`
                            └─ also keeps time: pings, timeouts, a silent peer

The laws that keep a link from hanging, and from growing:

- The reader reads no more while more than UNREAD_ABOVE_BYTES wait to be sent, or are on their way: whoever asks without
  reading the answers is not heard. The writer never waits for the reader.
- The handler gets the events one batch after the other, in the session's order, `Closed` last and once. While it
  awaits, nothing is read. The node's handlers do not await: they submit to the store and return.
- A write that makes no progress for SILENT_AFTER_S ends the link.

How it ends, whoever begins:

    open ──► closed, last words to be sent ──► sent, EOF ──► the peer hangs up ──► done
      └─ a write fails ────────────────────────┴─ LINGER_S, at the most ─────────────▲

After the session has closed, what still comes in is read and thrown away, since closing a socket with unread data would
destroy our last words on their way; more than a window of it is a flood. After a failed write the peer's last words are
still looked for: they say more than "broken pipe" does. Cancelled, the stream is closed without a word.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

import anyio
from anyio.abc import TaskGroup

from waypost.errors import Code, PeerFault
from waypost.limits import (
    HANDSHAKE_TIMEOUT_S,
    LINGER_S,
    RECEIVE_CHUNK_BYTES,
    SILENT_AFTER_S,
    UNREAD_ABOVE_BYTES,
    WINDOW_BYTES,
)
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.stream import Stream
from waypost.protocol.frames.handshake import Handshake, PeerIdentity
from waypost.protocol.frames.session import Closed, Event, Session

#: Gets the events of one chunk, in order. While it awaits, nothing more is read from the link.
Handle = Callable[[list[Event]], Awaitable[None] | None]


async def greet(stream: Stream, handshake: Handshake) -> PeerIdentity:
    """Run the handshake, in at most HANDSHAKE_TIMEOUT_S. Whether the peer is welcome is up to the caller.

    Raises PeerFault (the peer has been told; TOO_SLOW if it took too long) or LinkBroken; the stream is closed then.
    """
    try:
        with anyio.move_on_after(HANDSHAKE_TIMEOUT_S) as scope:
            return await _greet(stream, handshake)
        if scope.cancelled_caught:
            raise PeerFault(Code.TOO_SLOW, f"more than {HANDSHAKE_TIMEOUT_S:.0f} s")
        raise AssertionError("unreachable")
    except PeerFault as fault:
        await part(stream, handshake.refuse(fault.code))
        raise
    except BaseException:
        await stream.aclose()
        raise


async def _greet(stream: Stream, handshake: Handshake) -> PeerIdentity:
    while True:
        if data := handshake.bytes_to_send():
            await stream.send(data)
        if handshake.peer is not None:
            return handshake.peer
        handshake.receive(await stream.receive())


async def part(stream: Stream, last_words: bytes) -> None:
    """Send them, wait for the peer to hang up, and close: at most LINGER_S.

    For a link without a pump, as with `Handshake.refuse`. Closing at once could destroy what the peer has not read yet.
    """
    try:
        with anyio.move_on_after(LINGER_S), suppress(LinkBroken):
            await stream.send(last_words)
            await stream.send_eof()
            while await stream.receive():
                pass
    finally:
        await stream.aclose()


class Pump:
    """Drives one session over one stream. Whoever makes the session say something calls `wake` afterwards.

    Call `run` once. All other methods are synchronous and never fail.
    """

    def __init__(self, stream: Stream, session: Session, handle: Handle) -> None:
        self._stream = stream
        self._session = session
        self._handle = handle
        self._turn = anyio.Lock(fast_acquire=True)
        self._output = anyio.Event()
        self._room = anyio.Event()
        self._hung_up = anyio.Event()
        self._timer: anyio.CancelScope | None = None
        self._writing: anyio.CancelScope | None = None
        self._in_hand = 0
        self._read_out_bytes = 0
        self._writes = True
        self._tasks: TaskGroup | None = None
        #: Events that no bytes brought about: time has passed, or a synchronous call ended the session.
        self._late: list[Event] = []
        self._why = ""

    def wake(self) -> None:
        """The session may have something to send, a nearer deadline, or be closed."""
        self._output.set()
        if self._session.closed:
            self._wind_up()
        elif self._timer is not None and (due := self._session.deadline()) < self._timer.deadline:
            self._timer.deadline = due

    def close(self, code: Code, text: str = "") -> None:
        """Say Goodbye and end; the handler still gets Closed."""
        self._late += self._session.close(code, text)
        self.wake()

    async def run(self) -> None:
        """Return when the link has ended and Closed, the last event, has been handled.

        That is at most LINGER_S after the session has closed, plus what the handler takes. What the handler raises
        comes out as an ExceptionGroup, like any error of a task. Cancelled, the stream is closed without a word and
        without Closed.
        """
        self._writing = writing = anyio.CancelScope()
        if self._session.closed:
            self._wind_up()
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                tasks.start_soon(self._write, writing)
                await self._read()
        finally:
            self._tasks = None
            await self._stream.aclose()

    # ── reading ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read(self) -> None:
        session, stream = self._session, self._stream
        await self._deliver(session.start())
        self.wake()
        try:
            while not session.closed:
                if session.pending_bytes + self._in_hand > UNREAD_ABOVE_BYTES:
                    await self._wait_for_room()
                data = await stream.receive()
                events = session.receive(data, anyio.current_time())
                if not self._writes:
                    # Nothing can be answered any more; only the peer's last words are of interest.
                    self._read_out(data)
                    session.bytes_to_send()
                elif session.pending_bytes:
                    self._output.set()
                if events:
                    await self._deliver(events)
                    self.wake()
            # Discarded until the peer hangs up: closing with unread data would destroy our last words on their way.
            while data := await stream.receive():
                self._read_out(data)
        except LinkBroken as broken:
            await self._lost(self._why or broken.detail)
        finally:
            self._hung_up.set()

    def _read_out(self, data: bytes) -> None:
        # What an honest peer may have under way is bounded by the window; more is a flood.
        self._read_out_bytes += len(data)
        if self._read_out_bytes > WINDOW_BYTES:
            raise LinkBroken(Trouble.CLOSED, "the peer does not stop")

    async def _wait_for_room(self) -> None:
        while self._writes and self._session.pending_bytes + self._in_hand > UNREAD_ABOVE_BYTES:
            self._room = anyio.Event()
            await self._room.wait()

    async def _lost(self, why: str) -> None:
        events = self._session.receive(b"", anyio.current_time())
        await self._deliver([replace(event, text=why) if isinstance(event, Closed) else event for event in events])
        self.wake()

    async def _deliver(self, events: list[Event]) -> None:
        if not events:
            return
        # The reader and the timer both deliver; the handler sees one after the other, in the session's order.
        async with self._turn:
            result = self._handle(events)
            if result is not None:
                await result

    # ── writing ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _write(self, writing: anyio.CancelScope) -> None:
        try:
            with writing:
                try:
                    await self._send_all()
                    await self._stream.send_eof()
                except LinkBroken as broken:
                    # What the peer said last may still be there to read, and tells more than a failed write.
                    self._why = broken.detail
                    self._linger()
                finally:
                    self._writes = False
                    self._room.set()
                await self._hung_up.wait()
        finally:
            # Lets go of a reader that still waits.
            await self._stream.aclose()

    async def _send_all(self) -> None:
        """Return when the session is closed and its last bytes are sent."""
        session = self._session
        while True:
            if data := session.bytes_to_send():
                await self._send(data)
            elif session.closed:
                return
            else:
                await self._wait()

    async def _send(self, data: bytes) -> None:
        view = memoryview(data)
        self._in_hand = len(view)
        for start in range(0, len(view), RECEIVE_CHUNK_BYTES):
            with anyio.move_on_after(SILENT_AFTER_S) as scope:
                await self._stream.send(view[start : start + RECEIVE_CHUNK_BYTES])
            if scope.cancelled_caught:
                raise LinkBroken(Trouble.STALLED)
            self._in_hand = max(0, len(view) - start - RECEIVE_CHUNK_BYTES)
            self._room.set()

    # ── time ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait(self) -> None:
        """Until there may be something to send; time is kept meanwhile. A link's own task for that would cost 4 KiB."""
        with anyio.CancelScope(deadline=self._session.deadline()) as self._timer:
            await self._output.wait()
            self._output = anyio.Event()
        self._timer = None
        self._late += self._session.expire(anyio.current_time())
        if self._session.closed:
            self._wind_up()
        else:
            self._deliver_late()

    def _deliver_late(self) -> None:
        # In a task of its own: the handler may take its time, and the writer must not wait for it.
        # Without a reader the session is closed and told of, or all is cancelled and nobody is to be told.
        if self._late and self._tasks is not None and not self._hung_up.is_set():
            late, self._late = self._late, []
            self._tasks.start_soon(self._deliver, late)

    def _wind_up(self) -> None:
        self._output.set()
        self._deliver_late()
        self._linger()

    def _linger(self) -> None:
        if self._writing is not None:
            self._writing.deadline = min(self._writing.deadline, anyio.current_time() + LINGER_S)
