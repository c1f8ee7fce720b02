"""Loads on two nodes, and connections to one."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from scripts.support.bench.drivers import connect, driving, join_users, make_pairs, run_load, workplace
from scripts.support.bench.nodes import nodes_of, two_nodes
from scripts.support.bench.sides import Side


def forward(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """Messages from users of one node to users of the other, both online."""
    with workplace(options) as where, two_nodes(side, where) as nodes:
        time.sleep(options.settle_s)  # what starting costs is not what idling costs
        idle = statistics.mean(node.rss_mib() for node in nodes)
        accounts = make_pairs(nodes, where, options.pairs)
        each = max(1, options.messages // options.pairs)
        depth = max(1, options.depth // options.pairs)
        run_load(nodes, accounts, messages=max(64, 4000 // options.pairs), depth=depth)
        options.record.phase(f"as fast as it goes, {options.depth:,} messages on their way")
        sent, received, cost = run_load(nodes, accounts, messages=each, depth=depth)
        options.record.add(sent, received)
        loaded = max(node.rss_mib() for node in nodes)
        seconds = (max(received["last_ns"], sent["last_ns"]) - sent["first_ns"]) / 1e9
        quiet_messages = max(1, int(50 * options.quiet_s) // options.pairs)
        options.record.phase("50 a second")
        slow_sent, slow, slow_cost = run_load(
            nodes, accounts, messages=quiet_messages, rate=50 / options.pairs, depth=1_000_000
        )
        options.record.add(slow_sent, slow)
    n = sent["sent"]
    return {
        "pairs": options.pairs,
        "messages_per_s": round(n / seconds),
        "p50_ms": slow["p50_ms"],
        "p95_ms": slow["p95_ms"],
        "p99_ms": slow["p99_ms"],
        "p50_ms_saturated": received["p50_ms"],
        "p95_ms_saturated": received["p95_ms"],
        "p99_ms_saturated": received["p99_ms"],
        "wire_bytes_per_message": round(cost["wire"]) if "wire" in cost else None,
        "rss_idle_mib": round(idle, 1),
        "rss_loaded_mib": round(loaded, 1),
        "disk_bytes_per_message": None,
        "cpu_s_per_1000": round(1000 * (cost["cpu_a"] + cost["cpu_b"]) / n, 5),
        "cpu_s_per_1000_at_50": round(1000 * (slow_cost["cpu_a"] + slow_cost["cpu_b"]) / slow_sent["sent"], 3),
        "cpu_s_per_1000_by_process": {
            name.removeprefix("cpu_"): round(1000 * cost[name] / n, 5)
            for name in ("cpu_a", "cpu_b", "cpu_sender", "cpu_receiver")
        },
        "accepted": sent["accepted"] + slow_sent["accepted"],
        "delivered": sent["delivered"] + slow_sent["delivered"],
        "lost": n - received["shown"] + slow_sent["sent"] - slow["shown"],
        "duplicates": received["arrived"] - received["shown"] + slow["arrived"] - slow["shown"],
    }


def offline(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """Messages to a user who is away: until the other node has them all, then until the user has."""
    with workplace(options) as where, two_nodes(side, where) as nodes:
        accounts = make_pairs(nodes, where, 1)
        other = nodes[1]
        other_empty = other.settled_disk()
        with driving("send", accounts[0], messages=options.messages, depth=4096, until="accepted") as sender:
            connect(sender)
            options.record.phase("the recipient is away")
            store_cpu = -sum(node.cpu_s() for node in nodes)
            sender.say()
            sent = sender.hear("done")
            stored_ns = other.wait_stored(range(sent["sent"], sent["sent"] + 1))
            store_cpu += sum(node.cpu_s() for node in nodes)
        disk = (other.settled_disk() - other_empty) / sent["sent"]
        options.record.phase("the recipient comes back")
        with driving("receive", accounts[1], timeout=120) as receiver:
            start_ns, drain_cpu = time.monotonic_ns(), -other.cpu_s()
            connect(receiver)
            receiver.say(sent["sent"])
            received = receiver.hear("received")
            drain_cpu += other.cpu_s()
        options.record.add(sent, received)
        drain_ns = received["last_ns"] - received["first_ns"]  # 0 if everything came in one batch
    return {
        "store_per_s": round(1e9 * sent["sent"] / (stored_ns - sent["first_ns"])),
        "drain_per_s": round(1e9 * sent["sent"] / drain_ns) if drain_ns else None,
        "drain_first_ms": round((received["first_ns"] - start_ns) / 1e6, 1),
        "store_cpu_s_per_1000": round(1000 * store_cpu / sent["sent"], 5),
        "drain_cpu_s_per_1000": round(1000 * drain_cpu / sent["sent"], 5),
        "disk_bytes_per_message": round(disk),
        "accepted": sent["accepted"],
        "delivered": received["shown"],
        "lost": sent["sent"] - received["shown"],
        "duplicates": received["arrived"] - received["shown"],
    }


def connections(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """Devices that connect to one node, from several drivers and many at once, so that the node is what limits."""
    with workplace(options) as where, nodes_of(side, where) as nodes, ExitStack() as ends:
        node = nodes.make("birdy.local")
        node.start()
        users = [f"user{n}" for n in range(options.devices)]
        accounts = join_users(node, where, users, [f"{user}@birdy.local" for user in users])
        drivers = [ends.enter_context(driving("receive", part)) for part in _parts(accounts, max(2, _cores() - 1))]
        node.stop()
        node.start()
        time.sleep(options.settle_s)
        before, cpu, started = node.rss_mib(), node.cpu_s(), time.monotonic_ns()
        for driver in drivers:
            driver.say()
        seconds = (max(driver.hear("ready")["at_ns"] for driver in drivers) - started) / 1e9
        cpu = node.cpu_s() - cpu
        time.sleep(options.settle_s)
        after = node.rss_mib()
    return {
        "devices": options.devices,
        "kib_per_device": round((after - before) * 1024 / options.devices, 1),
        "connects_per_s": round(options.devices / seconds),
        "cpu_ms_per_connect": round(1000 * cpu / options.devices, 2),
        "rss_before_mib": round(before, 1),
        "rss_after_mib": round(after, 1),
    }


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _parts(accounts: Path, how_many: int) -> list[Path]:
    """The accounts dealt out to files of their own."""
    rows = json.loads(accounts.read_text())
    files = [accounts.with_suffix(f".{number}.json") for number in range(min(how_many, len(rows)))]
    for number, file in enumerate(files):
        file.write_text(json.dumps(rows[number :: len(files)]))
    return files
