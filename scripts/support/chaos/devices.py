"""Two apps without encryption: they connect again and again, and forget nothing that they have seen."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import trio
from scripts.support.chaos.tally import Tally
from scripts.support.driver import Account, Link, Writer, tls_of, wall_ms

from waypost.crypto.keys import envelope_id
from waypost.errors import WaypostError, is_for_good
from waypost.protocol.envelope import decode_envelope
from waypost.protocol.session import Closed, Event, Offered, Reported, Settled

RECONNECT_S = (0.02, 0.2)
_BATCH_MAX = 64
_IN_FLIGHT_MAX = 4
_BODY_BYTES = (64, 256, 1024)
_RETRY_S = 0.5
#: Where `Writer` puts what makes a body unlike any other.
_MARK = slice(0, 24)


class Device:
    """Stays connected as far as the node allows. `online` False: not even tries."""

    def __init__(self, account: Account, tally: Tally, rng: random.Random) -> None:
        self.account = account
        self.tally = tally
        self.online = True
        self.connects = 0
        self._tls = tls_of(account.key, "device")
        self._rng = rng
        self._link: Link | None = None

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

    async def _live(self, link: Link) -> None:
        self._link, self.connects = link, self.connects + 1
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._speak, link, nursery.cancel_scope)
            await link.run()
            nursery.cancel_scope.cancel()
        self._link = None
        self._lost()

    def disconnect(self) -> None:
        """Go, and stay away."""
        self.online = False
        if self._link is not None:
            self._link.close()

    def _handler(self, link: Link) -> Callable[[list[Event]], None]:
        def handle(events: list[Event]) -> None:
            for event in events:
                if not isinstance(event, Closed):
                    self._take(link, event)
            self.tally.ring()

        return handle

    def _take(self, link: Link, event: Event) -> None:
        raise NotImplementedError

    async def _speak(self, link: Link, scope: trio.CancelScope) -> None:
        """What this side says of its own accord."""

    def _lost(self) -> None:
        """The link has ended."""


class Sender(Device):
    """Writes as many messages as it may, and offers again what has no receipt."""

    def __init__(self, account: Account, to: str, tally: Tally, rng: random.Random) -> None:
        super().__init__(account, tally, rng)
        self.may_write = 0  #: messages in all, until now
        self._writers = [Writer(account.address, to, size) for size in _BODY_BYTES]
        self._waiting: deque[tuple[bytes, bytes]] = deque()
        self._in_flight: dict[int, list[tuple[bytes, bytes]]] = {}
        self._batches = 0
        self._pause_until = 0.0

    @property
    def _pausing(self) -> bool:
        return trio.current_time() < self._pause_until

    def allow(self, messages: int) -> None:
        self.may_write = messages
        self.tally.ring()

    async def _speak(self, link: Link, scope: trio.CancelScope) -> None:
        while True:
            if self._pausing:
                await trio.sleep_until(self._pause_until)
            self._write()
            while (
                self._waiting
                and len(self._in_flight) < _IN_FLIGHT_MAX
                and link.session.room.envelopes
                and not self._pausing
            ):
                self._offer(link)
                # A pause now and then: bursts and single messages both meet the kills.
                await trio.sleep(self._rng.choice((0, 0, 0.001, 0.01)))
                self._write()
            if not self._pausing:
                await self.tally.changed.wait()

    def _write(self) -> None:
        room = min(self.may_write - len(self.tally.written), _BATCH_MAX - len(self._waiting))
        if room > 0:
            envelopes, ids = self._rng.choice(self._writers).write(self._rng.randint(1, room))
            for envelope, id_ in zip(envelopes, ids, strict=True):
                self.tally.written[id_] = decode_envelope(envelope).body[_MARK]
                self._waiting.append((envelope, id_))

    def _offer(self, link: Link) -> None:
        room = link.session.room
        count = min(len(self._waiting), _BATCH_MAX, room.envelopes)
        batch = [self._waiting.popleft() for _ in range(count)]
        self._batches += 1
        self._in_flight[self._batches] = batch
        self.tally.offers += count
        link.session.offer([envelope for envelope, _ in batch], [id_ for _, id_ in batch], self._batches)
        link.wake()

    def _take(self, link: Link, event: Event) -> None:
        match event:
            case Settled(token, _, refusals):
                assert isinstance(token, int)
                self._settled(token, {refusal.index: refusal.code for refusal in refusals})
            case Reported(batch, outcomes):
                for outcome in outcomes:
                    for start in range(0, len(outcome.ids), 16):
                        self.tally.outcomes[outcome.ids[start : start + 16]] = outcome.code
                link.session.receipt(batch, (), wall_ms())
                link.wake()
            case _:
                pass

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

    def _lost(self) -> None:
        for batch in reversed(list(self._in_flight.values())):
            self._waiting.extendleft(reversed(batch))
        self._in_flight.clear()


class Recipient(Device):
    """Shows each message once: what it knows by its id is acknowledged and not shown again, as in the SDK."""

    def __init__(self, account: Account, tally: Tally, rng: random.Random) -> None:
        super().__init__(account, tally, rng)
        self.first_at: float | None = None
        self._known: set[bytes] = set()

    def _take(self, link: Link, event: Event) -> None:
        if not isinstance(event, Offered):
            return
        for id_, envelope in zip(event.ids, event.envelopes, strict=True):
            self.tally.arrivals += 1
            if id_ not in self.tally.written or envelope_id(envelope) != id_:
                self.tally.foreign += 1
            elif id_ not in self._known:
                self._known.add(id_)
                self.tally.shown[decode_envelope(envelope).body[_MARK]] += 1
                self.first_at = self.first_at or trio.current_time()
        link.session.receipt(event.batch, (), wall_ms())
        link.wake()
