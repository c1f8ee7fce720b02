"""Connections of the lab: two lanes, one each way, that behave as TCP does when the network does not.

Bytes arrive late, in order, or not at all; nobody learns that a path is cut; a host that lost its power says nothing,
and what it left behind is half-open until somebody sends there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import trio

from waypost.clock import NEVER, Instant
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.memory import BUFFER_BYTES, GROUP
from waypost.protocol.frames.handshake import Channel
from waypost_lab.path import Path

#: A kernel goes on trying to tell the other side that a connection was closed, but not for ever.
FIN_RETRIED_S: Final = 600.0


class _Lane:
    """One direction of a connection: what was sent and has not been received."""

    def __init__(self, path: Path, back: Path) -> None:
        self._path = path
        self._back = back  #: acknowledgements come that way
        self._queue: deque[tuple[Instant, bytes]] = deque()
        self._unacked = 0
        self._unconfirmed = 0  #: received, but the sender cannot know while the way back is cut
        self._latest: Instant = 0.0
        self._ends_at: Instant = NEVER
        self._ended_at: Instant | None = None  #: when the end was said
        self._end: Trouble | None = None  #: None: orderly
        self._broken: Trouble | None = None  #: as the sender sees it
        self._deaf = False  #: the receiver has given the connection up
        self._changed = trio.Event()
        path.enter(self)
        back.enter(self)

    # ── the sender's side ───────────────────────────────────────────────────────────────────────────────────────────

    async def put(self, data: memoryview) -> None:
        while data:
            self._meet_reset()
            self.check()
            if not self._back.is_cut and self._unconfirmed:
                self._unacked -= self._unconfirmed
                self._unconfirmed = 0
            room = BUFFER_BYTES - self._unacked
            if room > 0:
                piece = bytes(data[:room])
                data = data[len(piece) :]
                self._unacked += len(piece)
                self._queue.append((self._arrival(), piece))
                self._notify()
            else:
                await self._wait(NEVER)
        await trio.lowlevel.checkpoint()

    def check(self) -> None:
        if self._broken is not None:
            raise LinkBroken(self._broken)

    def _meet_reset(self) -> None:
        """What is sent to somebody who has hung up is answered by a reset, if it gets there and back."""
        if self._deaf and not self._path.is_cut and not self._back.is_cut:
            self._broken = self._broken or Trouble.LOST

    def break_for_sender(self, trouble: Trouble) -> None:
        self._broken = self._broken or trouble
        self._notify()

    def end(self, trouble: Trouble | None) -> None:
        """Nothing more follows; None: in good order. It arrives after all that was sent."""
        if self._ended_at is None:
            self._end = trouble
            self._ended_at = trio.current_time()
            self._ends_at = self._arrival()
            self._notify()

    def _arrival(self) -> Instant:
        if self._path.is_cut:
            return NEVER
        self._latest = max(self._latest, trio.current_time() + self._path.delay_s())
        if self._latest == NEVER:
            self._broken = self._broken or Trouble.LOST
        return self._latest

    # ── the network's ───────────────────────────────────────────────────────────────────────────────────────────────

    def mended(self, wait_s: float) -> None:
        now = trio.current_time()
        if not self._path.is_cut and self._latest != NEVER:
            self._latest = max(self._latest, now + wait_s)
            waiting, self._queue = self._queue, deque()
            for arrival, piece in waiting:
                self._queue.append((arrival if arrival != NEVER else self._arrival(), piece))
            if self._ended_at is not None and self._ends_at == NEVER and now - self._ended_at < FIN_RETRIED_S:
                self._ends_at = self._arrival()
        if self._queue:
            self._meet_reset()
        self._notify()

    def vanish(self) -> None:
        """The sender's machine has lost its power: what is on its way arrives, and then nothing, ever."""
        self._broken = Trouble.LOST
        self._ended_at = trio.current_time()  # and nothing is said of it
        self._queue = deque(entry for entry in self._queue if entry[0] != NEVER)

    def leave(self) -> None:
        """Nothing can come of it any more."""
        self._path.leave(self)
        self._back.leave(self)

    # ── the receiver's ──────────────────────────────────────────────────────────────────────────────────────────────

    async def take(self) -> bytes:
        await trio.lowlevel.checkpoint()
        while True:
            now = trio.current_time()
            if self._queue and self._queue[0][0] <= now:
                return self._taken(now)
            if self._ends_at <= now and not self._queue:
                if self._end is None:
                    return b""
                raise LinkBroken(self._end)
            await self._wait(self._queue[0][0] if self._queue else self._ends_at)

    def _taken(self, now: Instant) -> bytes:
        pieces = []
        while self._queue and self._queue[0][0] <= now:
            pieces.append(self._queue.popleft()[1])
        data = b"".join(pieces) if len(pieces) > 1 else pieces[0]
        if self._back.is_cut:
            self._unconfirmed += len(data)
        else:
            self._unacked -= len(data)
            if self._unacked + len(data) >= BUFFER_BYTES:
                self._notify()
        return data

    def lose(self, trouble: Trouble) -> None:
        """The receiver gets nothing any more."""
        self._queue.clear()
        self._end, self._ends_at = trouble, 0.0
        self._ended_at = trio.current_time()
        self._notify()

    def hang_up(self) -> None:
        """The receiver's kernel answers what still comes by a reset."""
        self._deaf = True
        self._notify()

    async def _wait(self, until: Instant) -> None:
        with trio.CancelScope(deadline=until):
            await self._changed.wait()

    def _notify(self) -> None:
        if self._changed.statistics().tasks_waiting:
            self._changed.set()
            self._changed = trio.Event()


class LabStream:
    """One end of a connection; a `Stream`, which see. The second is made with the first."""

    def __init__(self, incoming: _Lane, outgoing: _Lane, channel: Channel, other: LabStream | None = None) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._channel = channel
        self._unsendable = ""
        self._given_up = False
        self.other = other or self
        if other is not None:
            other.other = self
        self.closed: Callable[[], object] = lambda: None  #: called once this end is given up
        #: Set when the other end's machine knows nothing of this connection any more: whether it answers again.
        self._stranger: Callable[[], bool] | None = None

    @property
    def channel(self) -> Channel:
        return self._channel

    async def receive(self) -> bytes:
        return await self._incoming.take()

    async def send(self, data: bytes | memoryview) -> None:
        if self._unsendable:
            raise LinkBroken(Trouble.CLOSED, self._unsendable)
        self._unsendable = "an earlier send was cut short"
        await self._outgoing.put(memoryview(data))
        self._unsendable = ""
        if self._stranger is not None and self._stranger():
            self.reset()

    async def send_eof(self) -> None:
        if self._unsendable:
            raise LinkBroken(Trouble.CLOSED, self._unsendable)
        self._outgoing.check()
        self._outgoing.end(None)
        self._unsendable = "all was sent"

    async def aclose(self) -> None:
        self.close()

    def close(self) -> None:
        """As `aclose`: the other side learns of it when the network lets it."""
        if self._given_up:
            return
        self._unsendable = self._unsendable or "by this side"
        self._incoming.lose(Trouble.CLOSED)
        self._incoming.hang_up()
        self._outgoing.end(Trouble.LOST)
        self._outgoing.break_for_sender(Trouble.CLOSED)
        self._forget()
        self.closed()

    def vanish(self, answers: Callable[[], bool]) -> None:
        """This end's machine has lost its power: the other side learns nothing, until it sends and `answers()`."""
        self._unsendable = "the machine is off"
        self._incoming.lose(Trouble.LOST)
        self._outgoing.vanish()
        self._forget()
        self.other._stranger = answers  # noqa: SLF001 - the other half of the same connection

    def _forget(self) -> None:
        """Once both ends are given up, the network has nothing more to do with it."""
        self._given_up = True
        if self.other._given_up:  # noqa: SLF001 - the other half of the same connection
            self._incoming.leave()
            self._outgoing.leave()

    def reset(self) -> None:
        """The other side's machine is there again and does not know this connection."""
        self._incoming.lose(Trouble.LOST)
        self._outgoing.break_for_sender(Trouble.LOST)


def connection(exporter: bytes, there: Path, back: Path) -> tuple[LabStream, LabStream]:
    """Both ends of a new one: that which dialled, then that which answered. `exporter` differs from any other's."""
    outgoing, incoming = _Lane(there, back), _Lane(back, there)
    dialer = LabStream(incoming, outgoing, Channel(exporter, GROUP, dialed=True))
    return dialer, LabStream(outgoing, incoming, Channel(exporter, GROUP, dialed=False), dialer)
