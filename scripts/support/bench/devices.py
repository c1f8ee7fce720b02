"""What a benchmark's devices do: write as fast as they may, take what comes, or both."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import trio

from waypost.protocol.custody.outbox import EAGER_BATCHES
from waypost.protocol.custody.transfer import Offered, Reported, Settled
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.session import Closed, Event
from waypost_lab.driver import Account, Link, Writer, tls_of, wall_ms, written_ns

OFFER_MAX = 64  #: envelopes a driver offers at once: an app's burst, not a bulk loader's
_AT_ONCE = 64  #: connects under way in one driver


def account_of(row: dict[str, Any]) -> Account:
    return Account(row["address"], bytes.fromhex(row["seed"]), row["host"], row["port"])


def _link(row: dict[str, Any]) -> Link:
    return Link(account_of(row), tls_of(account_of(row).key, "device"))


class Sender:
    """Keeps up to `depth` messages on their way, or sends at a rate; a message is over when its outcome is back."""

    def __init__(self, row: dict[str, Any], options: argparse.Namespace, link: Link | None = None) -> None:
        self.link = link or _link(row)
        self._writer = Writer(row["address"], row["to"], options.body)
        self._depth = options.depth
        self._until_accepted = options.until == "accepted"
        self.quota = options.messages
        self.sent = self.accepted = self.delivered = self.bounced = 0
        self.first_ns = self.last_ns = 0
        self.accepted_at: list[tuple[int, int]] = []  #: monotonic ns, how many
        self.changed = trio.Event()

    @property
    def open(self) -> int:
        return self.sent - (self.accepted if self._until_accepted else self.delivered + self.bounced)

    @property
    def done(self) -> bool:
        return self.sent >= self.quota and self.open == 0

    def handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Settled(token, _, refusals):
                    if refusals:
                        raise RuntimeError(f"refused: {refusals[:3]}")
                    self.accepted += int(token)  # type: ignore[call-overload]
                    self.last_ns = time.monotonic_ns()
                    self.accepted_at.append((self.last_ns, int(token)))  # type: ignore[call-overload]
                case Reported(batch, outcomes):
                    for outcome in outcomes:
                        n = len(outcome.ids) // ID_BYTES
                        if outcome.code:
                            self.bounced += n
                        else:
                            self.delivered += n
                    self.last_ns = time.monotonic_ns()
                    self.link.session.receipt(batch, (), wall_ms())
                case Closed() if not self.done:
                    raise RuntimeError(f"link lost: {event}")
                case _:
                    pass
        self.changed.set()

    def offer(self, how_many: int) -> None:
        envelopes, ids = self._writer.write(how_many)
        self.first_ns = self.first_ns or time.monotonic_ns()
        self.link.session.offer(envelopes, ids, how_many)
        self.sent += how_many
        self.link.wake()

    def fill(self) -> None:
        """Offer what the depth allows, in bursts, so that what waits meanwhile goes together."""
        while True:
            room = min(self._depth - self.open, self.quota - self.sent, self.link.session.room.envelopes)
            burst = min(OFFER_MAX, self._depth, self.quota - self.sent)
            if burst < 1 or room < burst or self.link.session.in_flight >= 2 * EAGER_BATCHES + self._depth // OFFER_MAX:
                return
            self.offer(burst)


class Receiver:
    """Takes all that comes and notes when."""

    arrival = trio.Event()  #: of anything, at any of them

    def __init__(self, row: dict[str, Any], options: argparse.Namespace) -> None:
        self.link = _link(row)
        self._body = options.body
        self.seen: set[bytes] = set()
        self.arrived = 0
        self.latencies_ms: list[float] = []
        self.batches: list[tuple[int, int]] = []  #: monotonic ns, how many of the latencies
        self.first_ns = self.last_ns = 0

    def handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Offered):
                now = time.monotonic_ns()
                self.first_ns = self.first_ns or now
                self.last_ns = now
                self.arrived += len(event.ids)
                self.seen.update(event.ids)
                self.latencies_ms += [(now - written_ns(data, self._body)) / 1e6 for data in event.envelopes]
                self.batches.append((now, len(event.envelopes)))
                self.link.session.receipt(event.batch, (), wall_ms())
                Receiver.arrival.set()


class Exchanger(Receiver):
    """Drains what waits for it, then writes as much, and stays."""

    def __init__(self, row: dict[str, Any], options: argparse.Namespace) -> None:
        super().__init__(row, options)
        self.sender = Sender(row, options, self.link)

    def handle(self, events: list[Event]) -> None:
        super().handle(events)
        self.sender.handle(events)


async def open_all(devices: Sequence[Sender | Receiver], nursery: trio.Nursery) -> None:
    """Connect them, many at once: one after the other, it would be the way there and back that is measured."""
    limit = trio.CapacityLimiter(_AT_ONCE)

    async def connect(device: Sender | Receiver) -> None:
        async with limit:
            await device.link.open(device.handle)
        nursery.start_soon(device.link.run)

    async with trio.open_nursery() as opening:
        for device in devices:
            opening.start_soon(connect, device)


async def send_fast(sender: Sender) -> None:
    while not sender.done:
        sender.changed = trio.Event()
        sender.fill()
        await sender.changed.wait()


async def send_at_rate(sender: Sender, rate: float, offset: float) -> None:
    start, step = trio.current_time() + offset / rate, 1 / rate
    for number in range(sender.quota):
        await trio.sleep_until(start + number * step)
        sender.offer(1)
    while not sender.done:
        sender.changed = trio.Event()
        await sender.changed.wait()
