"""A driver of a benchmark: a process of its own with any number of devices, spoken to by lines.

It says `loaded`, and connects at the next line that it reads; then it says `ready`, and goes on at the next line.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import trio
from scripts.support.bench.devices import Exchanger, Receiver, Sender, open_all, send_at_rate, send_fast
from scripts.support.bench.record import counts, merged, summaries

from waypost_lab.driver import join, percentile


def say(**facts: Any) -> None:
    """One line of JSON for whoever started this process."""
    print(json.dumps(facts), flush=True)


async def hear() -> str:
    line: str = await trio.to_thread.run_sync(sys.stdin.readline)
    return line.strip()


def load_accounts(path: str) -> list[dict[str, Any]]:
    accounts: list[dict[str, Any]] = json.loads(Path(path).read_text())
    return accounts


def save_accounts(path: str, accounts: list[dict[str, Any]]) -> None:
    Path(path).write_text(json.dumps(accounts))


async def open_when_told(devices: list[Sender] | list[Receiver] | list[Exchanger], nursery: trio.Nursery) -> None:
    say(event="loaded")
    await hear()
    await open_all(devices, nursery)
    say(event="ready", at_ns=time.monotonic_ns())


async def run_sender(options: argparse.Namespace) -> None:
    senders = [Sender(row, options) for row in load_accounts(options.accounts)]
    async with trio.open_nursery() as nursery:
        await open_when_told(senders, nursery)
        await hear()
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


async def run_receiver(options: argparse.Namespace) -> None:
    receivers = [Receiver(row, options) for row in load_accounts(options.accounts)]
    async with trio.open_nursery() as nursery:
        await open_when_told(receivers, nursery)
        while line := await hear():
            await arrived(receivers, int(line), options.timeout)
            latencies = [ms for r in receivers for ms in r.latencies_ms]
            say(
                event="received",
                **shown(receivers),
                first_ns=min((r.first_ns for r in receivers if r.first_ns), default=0),
                last_ns=max(r.last_ns for r in receivers),
                p50_ms=round(percentile(latencies, 0.50), 3),
                p95_ms=round(percentile(latencies, 0.95), 3),
                p99_ms=round(percentile(latencies, 0.99), 3),
                latency_in=summaries([batch for r in receivers for batch in r.batches], latencies),
            )
        nursery.cancel_scope.cancel()


async def run_exchange(options: argparse.Namespace) -> None:
    """Drain `messages` at each device, write as many, stay connected until a line comes."""
    devices = [Exchanger(row, options) for row in load_accounts(options.accounts)]
    async with trio.open_nursery() as nursery:
        await open_when_told(devices, nursery)
        await hear()
        await arrived(devices, options.messages * len(devices), options.timeout)
        with trio.fail_after(options.timeout):
            async with trio.open_nursery() as work:
                for device in devices:
                    work.start_soon(send_fast, device.sender)
        say(event="exchanged", **shown(devices))
        await hear()
        nursery.cancel_scope.cancel()


async def arrived(receivers: list[Receiver] | list[Exchanger], wanted: int, timeout_s: float) -> None:
    """Until so many different messages have come to them, or the time is over."""
    with trio.move_on_after(timeout_s):
        while sum(len(r.seen) for r in receivers) < wanted:
            Receiver.arrival = trio.Event()
            await Receiver.arrival.wait()


def shown(receivers: list[Receiver] | list[Exchanger]) -> dict[str, int]:
    return {"arrived": sum(r.arrived for r in receivers), "shown": sum(len(r.seen) for r in receivers)}


async def run_join(options: argparse.Namespace) -> None:
    """Turn invites (lines of JSON: invite, to) into accounts."""
    accounts = []
    for row in load_accounts(options.accounts):
        account = await join(row["invite"], bytes.fromhex(row["seed"]))
        accounts.append({**row, "address": account.address, "host": account.host, "port": account.port})
    save_accounts(options.accounts, accounts)
    say(event="joined", accounts=len(accounts))


def main() -> None:
    roles = {"send": run_sender, "receive": run_receiver, "exchange": run_exchange, "join": run_join}
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=tuple(roles))
    parser.add_argument("accounts")
    parser.add_argument("--body", type=int, default=1024)
    parser.add_argument("--depth", type=int, default=512)
    parser.add_argument("--messages", type=int, default=0, help="per device")
    parser.add_argument("--rate", type=float, default=0, help="messages a second and device; 0: as fast as it goes")
    parser.add_argument("--until", choices=("accepted", "delivered"), default="delivered")
    parser.add_argument("--timeout", type=float, default=300)
    options = parser.parse_args()
    trio.run(roles[options.role], options)


if __name__ == "__main__":
    main()
