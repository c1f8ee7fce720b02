"""The sending and the receiving driver of a benchmark, each a process of its own with any number of devices."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import trio
from scripts.support.bench_record import counts, merged, summaries

from waypost.protocol.custody.outbox import EAGER_BATCHES
from waypost.protocol.custody.transfer import Offered, Reported, Settled
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.session import Closed, Event
from waypost_lab.driver import Account, Link, Writer, join, percentile, tls_of, wall_ms, written_ns

OFFER_MAX = 64  #: envelopes a driver offers at once: an app's burst, not a bulk loader's


def say(**facts: Any) -> None:
    """One line of JSON for whoever started this process."""
    print(json.dumps(facts), flush=True)


def load_accounts(path: str) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = json.loads(Path(path).read_text())
    return accounts


def save_accounts(path: str, accounts: list[dict[str, Any]]) -> None:
    Path(path).write_text(json.dumps(accounts))


def account_of(row: dict[str, Any]) -> Account:
    return Account(row["address"], bytes.fromhex(row["seed"]), row["host"], row["port"])


class Sender:
    """Keeps up to `depth` messages on their way, or sends at a rate; a message is over when its outcome is back."""

    def __init__(self, row: dict[str, Any], options: argparse.Namespace) -> None:
        self.link = Link(account_of(row), tls_of(account_of(row).key, "device"))
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


async def run_sender(options: argparse.Namespace) -> None:
    senders = [Sender(row, options) for row in load_accounts(options.accounts)]
    async with trio.open_nursery() as nursery:
        for sender in senders:
            await sender.link.open(sender.handle)
            nursery.start_soon(sender.link.run)
        say(event="ready")
        await trio.to_thread.run_sync(sys.stdin.readline)
        with trio.fail_after(options.timeout):
            async with trio.open_nursery() as work:
                for index, sender in enumerate(senders):
                    if options.rate:
                        # Out of step with each other, as people are.
                        work.start_soon(send_at_rate, sender, options.rate, index / len(senders))
                    else:
                        work.start_soon(send_fast, sender)
        say(
            event="done",
            sent=sum(s.sent for s in senders),
            accepted=sum(s.accepted for s in senders),
            delivered=sum(s.delivered for s in senders),
            bounced=sum(s.bounced for s in senders),
            first_ns=min(s.first_ns for s in senders),
            last_ns=max(s.last_ns for s in senders),
            accepted_in=merged(counts(s.accepted_at) for s in senders),
        )
        nursery.cancel_scope.cancel()


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


class Receiver:
    """Takes all that comes and notes when."""

    arrival = trio.Event()  #: of anything, at any of them

    def __init__(self, row: dict[str, Any], options: argparse.Namespace) -> None:
        self.link = Link(account_of(row), tls_of(account_of(row).key, "device"))
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


async def run_receiver(options: argparse.Namespace) -> None:
    receivers = [Receiver(row, options) for row in load_accounts(options.accounts)]
    async with trio.open_nursery() as nursery:
        for receiver in receivers:
            await receiver.link.open(receiver.handle)
            nursery.start_soon(receiver.link.run)
        say(event="ready")
        while True:
            line = await trio.to_thread.run_sync(sys.stdin.readline)
            if not line.strip():
                break
            wanted = int(line)
            with trio.move_on_after(options.timeout):
                while sum(len(r.seen) for r in receivers) < wanted:
                    Receiver.arrival = trio.Event()
                    await Receiver.arrival.wait()
            latencies = [ms for r in receivers for ms in r.latencies_ms]
            say(
                event="received",
                arrived=sum(r.arrived for r in receivers),
                shown=sum(len(r.seen) for r in receivers),
                first_ns=min((r.first_ns for r in receivers if r.first_ns), default=0),
                last_ns=max(r.last_ns for r in receivers),
                p50_ms=round(percentile(latencies, 0.50), 3),
                p95_ms=round(percentile(latencies, 0.95), 3),
                p99_ms=round(percentile(latencies, 0.99), 3),
                latency_in=summaries([batch for r in receivers for batch in r.batches], latencies),
            )
        nursery.cancel_scope.cancel()


async def run_join(options: argparse.Namespace) -> None:
    """Turn invites (lines of JSON: invite, to) into accounts."""
    accounts = []
    for row in load_accounts(options.accounts):
        account = await join(row["invite"], bytes.fromhex(row["seed"]))
        accounts.append({**row, "address": account.address, "host": account.host, "port": account.port})
    save_accounts(options.accounts, accounts)
    say(event="joined", accounts=len(accounts))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=("send", "receive", "join"))
    parser.add_argument("accounts")
    parser.add_argument("--body", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=512)
    parser.add_argument("--messages", type=int, default=0, help="per device")
    parser.add_argument("--rate", type=float, default=0, help="messages a second and device; 0: as fast as it goes")
    parser.add_argument("--until", choices=("accepted", "delivered"), default="delivered")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args()
    trio.run({"send": run_sender, "receive": run_receiver, "join": run_join}[options.role], options)


if __name__ == "__main__":
    main()
