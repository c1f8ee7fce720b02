"""`scripts/bench memory`: what a node keeps for a device that has exchanged a backlog, against one that never did."""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scripts.support.bench.drivers import connect, driving, join_users, make_pairs, workplace
from scripts.support.bench.nodes import Node, two_nodes
from scripts.support.bench.sides import Side

SETTLE_S = 2.0  #: for what is written late, and for links that were closed


@dataclass(frozen=True)
class Held:
    """Bytes in use in a node, after `gc.collect` and `malloc_trim`; `resident` is what the kernel says."""

    malloc: int  #: glibc's: OpenSSL, SQLite, Python objects above 512 bytes
    python: int  #: Python's own allocator; 0 where it has none, as without a GIL
    resident: int

    @property
    def used(self) -> int:
        return self.malloc + self.python


def memory(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """KiB for each device, by the allocators of one and the same node process.

    First idle devices connect and leave; then others connect, drain what had waited for them and write as much.
    """
    devices: int = options.devices
    each: int = options.messages
    with workplace(options) as where:
        tell = where / "tell"
        tell.mkdir()
        with two_nodes(side, where, tell=tell) as nodes:
            _, node = nodes
            away, busy = make_pairs(nodes, where, devices)
            users = [f"idle{n}" for n in range(devices)]
            idle = join_users(node, where, users, [f"{user}@{node.name}" for user in users])
            _fill(node, away, devices * each, each)
            node.stop()
            node.start()
            empty = held(node, tell, options.settle_s)
            with driving("receive", idle) as quiet:
                connect(quiet)
                with_idle = held(node, tell, options.settle_s)
            without_idle = held(node, tell, options.settle_s)
            with driving("exchange", busy, messages=each, depth=min(64, each), until="accepted") as exchange:
                connect(exchange)
                exchange.say()
                done = exchange.hear("exchanged")
                node.wait_stored(range(1))
                with_busy = held(node, tell, options.settle_s)
            without_busy = held(node, tell, options.settle_s)

    def kib(more: int, less: int) -> float:
        return round((more - less) / 1024 / devices, 1)

    idle_kib, busy_kib = kib(with_idle.used, empty.used), kib(with_busy.used, without_idle.used)
    return {
        "devices": devices,
        "messages_each_way": each,
        "idle_kib": idle_kib,
        "after_backlog_kib": busy_kib,
        "after_backlog_over_idle_kib": round(busy_kib - idle_kib, 1),
        "after_backlog_malloc_kib": kib(with_busy.malloc, without_idle.malloc),
        "after_backlog_python_kib": kib(with_busy.python, without_idle.python),
        "after_backlog_resident_kib": kib(with_busy.resident, without_idle.resident),
        "left_when_idle_are_gone_kib": kib(without_idle.used, empty.used),
        "left_when_all_are_gone_kib": kib(without_busy.used, without_idle.used),
        "node_empty_mib": round(empty.used / 2**20, 2),
        "lost": devices * each - done["shown"],
        "duplicates": done["arrived"] - done["shown"],
    }


def _fill(node: Node, senders: Path, total: int, each: int) -> None:
    """Messages from the other node, until all of them wait at this one."""
    with driving("send", senders, messages=each, depth=min(64, each), until="accepted") as sender:
        connect(sender)
        sender.say()
        sender.hear("done")
        node.wait_stored(range(total, total + 1))


def held(node: Node, tell: Path, settle_s: float) -> Held:
    """Ask a node at rest that was made with this `tell`."""
    time.sleep(settle_s)
    file = tell / f"{node.pid}.json"
    file.unlink(missing_ok=True)
    os.kill(node.pid, signal.SIGUSR2)
    deadline = time.monotonic() + 60
    while not file.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{node.name} does not tell what it holds")
        time.sleep(0.02)
    facts = json.loads(file.read_text())
    return Held(facts["malloc"], facts["python"] or 0, round(node.rss_mib() * 2**20))
