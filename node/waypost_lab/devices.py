"""Apps without encryption: they connect again and again, and forget nothing that they have seen."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable

import trio

from waypost.crypto.keys import envelope_id
from waypost.errors import WaypostError, is_for_good
from waypost.protocol.custody.envelope import decode_envelope
from waypost.protocol.custody.transfer import Offered, Reported, Settled
from waypost.protocol.frames.session import Closed, Event
from waypost_lab.driver import Account, Link, Writer, tls_of, wall_ms, written_ns
from waypost_lab.tally import Tally

RECONNECT_S = (0.02, 0.2)
BODY_BYTES = (64, 256, 1024)
_BATCH_MAX = 64
_IN_FLIGHT_MAX = 4
_RETRY_S = 0.5
#: Where `Writer` puts what makes a body unlike any other.
_MARK = slice(0, 24)


class Device:
    """Stays connected as far as the node allows. `online` False: not even tries.

    It writes what it is told to (`post`), offers again what has no receipt, and shows each message once: what it knows
    by its id is acknowledged and not shown again, as in the SDK.
    """

    def __init__(self, account: Account, tally: Tally, rng: random.Random) -> None:
        self.account = account
        self.tally = tally
        self.online = True
        self.connects = 0
        self.first_at: float | None = None  #: trio's clock, when it showed its first message
        self._tls = tls_of(account.key, "device")
        self._rng = rng
        self._link: Link | None = None
        self._writers: dict[tuple[str, int], Writer] = {}
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._in_flight: dict[int, list[tuple[bytes, bytes]]] = {}
        self._batches = 0
        self._pause_until = 0.0
        self._known: set[bytes] = set()
        self._stirred = trio.Event()

    @property
    def is_connected(self) -> bool:
        return self._link is not None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self.online:
                link = Link(self.account, self._tls)
                try:
                    await link.open(self._handler(link))
                except WaypostError:
                    pass  # the node is down, or was killed in the handshake
                else:
                    await self._live(link)
            await trio.sleep(self._rng.uniform(*RECONNECT_S))

    def disconnect(self) -> None:
        """Go, and stay away."""
        self.online = False
        if self._link is not None:
            self._link.close()

    def post(self, to: str, body_bytes: int, count: int = 1) -> None:
        """Write messages to an address; they go as soon as the node takes them."""
        writer = self._writers.get((to, body_bytes))
        if writer is None:
            writer = self._writers[to, body_bytes] = Writer(self.account.address, to, body_bytes)
        envelopes, ids = writer.write(count)
        for envelope, id_ in zip(envelopes, ids, strict=True):
            self.tally.written[id_] = decode_envelope(envelope).body[_MARK]
            self.tally.between[id_] = (self.account.address, to)
            self._waiting.append((envelope, id_))
        self._stir()

    def _stir(self) -> None:
        self._stirred.set()
        self._stirred = trio.Event()

    async def _live(self, link: Link) -> None:
        self._link, self.connects = link, self.connects + 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, link)
            await link.run()
            nursery.cancel_scope.cancel()
        self._link = None
        for batch in reversed(list(self._in_flight.values())):
            self._waiting.extendleft(reversed(batch))
        self._in_flight.clear()

    def _handler(self, link: Link) -> Callable[[list[Event]], None]:
        def handle(events: list[Event]) -> None:
            for event in events:
                if not isinstance(event, Closed):
                    self._take(link, event)
            self._stir()
            self.tally.ring()

        return handle

    # ── sending ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _speak(self, link: Link) -> None:
        while True:
            if self._pausing:
                await trio.sleep_until(self._pause_until)
            self._write()
            while self._may_offer(link):
                self._offer(link)
                await self._breathe()
                self._write()
            if not self._pausing:
                await self._stirred.wait()

    @property
    def _pausing(self) -> bool:
        return trio.current_time() < self._pause_until

    def _may_offer(self, link: Link) -> bool:
        in_flight = len(self._in_flight)
        return bool(self._waiting and in_flight < _IN_FLIGHT_MAX and link.session.room.envelopes and not self._pausing)

    def _write(self) -> None:
        """What it writes of its own accord."""

    async def _breathe(self) -> None:
        """Between two offers."""

    def _offer(self, link: Link) -> None:
        room = link.session.room
        count = min(len(self._waiting), _BATCH_MAX, room.envelopes)
        batch = [self._waiting.popleft() for _ in range(count)]
        self._batches += 1
        self._in_flight[self._batches] = batch
        self.tally.offers += count
        link.session.offer([envelope for envelope, _ in batch], [id_ for _, id_ in batch], self._batches)
        link.wake()

    def _settled(self, token: int, codes: dict[int, int]) -> None:
        for index, (envelope, id_) in enumerate(self._in_flight.pop(token)):
            code = codes.get(index)
            if code is None:
                self.tally.accepted.add(id_)
            elif is_for_good(code):
                self.tally.refused[id_] = code
            else:
                self.tally.put_off[code] += 1
                self._waiting.append((envelope, id_))
                self._pause_until = trio.current_time() + _RETRY_S

    # ── what the node says ──────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, link: Link, event: Event) -> None:
        match event:
            case Settled(int(token), _, refusals):
                self._settled(token, {refusal.index: refusal.code for refusal in refusals})
            case Reported(batch, outcomes):
                for outcome in outcomes:
                    for start in range(0, len(outcome.ids), 16):
                        self.tally.outcomes[outcome.ids[start : start + 16]] = outcome.code
                link.session.receipt(batch, (), wall_ms())
                link.wake()
            case Offered():
                for id_, envelope in zip(event.ids, event.envelopes, strict=True):
                    self._show(id_, envelope)
                link.session.receipt(event.batch, (), wall_ms())
                link.wake()
            case _:
                pass

    def _show(self, id_: bytes, envelope: bytes) -> None:
        tally = self.tally
        tally.arrivals += 1
        if id_ not in tally.written or envelope_id(envelope) != id_ or tally.between[id_][1] != self.account.address:
            tally.foreign += 1
        elif id_ not in self._known:
            self._known.add(id_)
            body = decode_envelope(envelope).body
            tally.shown[body[_MARK]] += 1
            tally.latencies_ms.append((time.monotonic_ns() - written_ns(envelope, len(body))) / 1e6)
            self.first_at = self.first_at or trio.current_time()


class Sender(Device):
    """Writes to one address as many messages as it may, by itself."""

    def __init__(self, account: Account, to: str, tally: Tally, rng: random.Random) -> None:
        super().__init__(account, tally, rng)
        self.may_write = 0  #: messages in all, until now
        self._to = to

    def allow(self, messages: int) -> None:
        """Write up to so many in all."""
        self.may_write = messages
        self._stir()

    def _write(self) -> None:
        room = min(self.may_write - len(self.tally.written), _BATCH_MAX - len(self._waiting))
        if room > 0:
            self.post(self._to, self._rng.choice(BODY_BYTES), self._rng.randint(1, room))

    async def _breathe(self) -> None:
        # A pause now and then: bursts and single messages both meet the kills.
        await trio.sleep(self._rng.choice((0, 0, 0.001, 0.01)))
