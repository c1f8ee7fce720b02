"""`scripts/bench`: what a node can do on this machine, with real processes, TLS and a synchronous disk; and MLS."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.support.bench_record import Record
from scripts.support.bench_simulate import bench as simulated
from scripts.support.mls import bench as bench_mls
from scripts.support.nodes import Node, two_nodes

from waypost.daemon.ask import ask_node
from waypost.protocol.operator import GetStatus, StoreNow
from waypost_lab.timeline import write

_IP_AND_TCP_BYTES = 52  #: a segment's headers on loopback: IPv4, TCP, the timestamps option
_ROOT = Path(__file__).resolve().parents[2]
_LIMITS = "mailbox_max_envelopes = 10000000\nmailbox_max_bytes = 100000000000\n"


class Driver:
    """A driver process, spoken to by lines."""

    def __init__(self, role: str, accounts: Path, **options: Any) -> None:
        command = [sys.executable, "-m", "scripts.support.bench_roles", role, str(accounts)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=_ROOT)

    @property
    def pid(self) -> int:
        return self._process.pid

    def hear(self, event: str) -> dict[str, Any]:
        """Its next line, which must be that event."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        facts: dict[str, Any] = json.loads(line) if line else {}
        if facts.get("event") != event:
            raise RuntimeError(f"driver said {line!r}, not {event}")
        return facts

    def say(self, line: object = "") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def workplace(options: argparse.Namespace) -> Iterator[Path]:
    """A directory for the run; kept if asked to."""
    path = Path(tempfile.mkdtemp(prefix="waypost-bench-", dir=options.dir))
    try:
        yield path
    finally:
        if options.keep:
            print(f"kept: {path}", file=sys.stderr)
        else:
            shutil.rmtree(path, ignore_errors=True)


def join_users(node: Node, where: Path, users: list[str], to: list[str]) -> Path:
    """Accounts for users of a node, each of whom will write to one address."""
    file = where / f"{node.name}.json"
    invites = node.invite(*users)
    rows = [
        {"invite": invite, "seed": os.urandom(32).hex(), "to": address}
        for invite, address in zip(invites, to, strict=True)
    ]
    file.write_text(json.dumps(rows))
    driver = Driver("join", file)
    driver.hear("joined")
    driver.end()
    return file


def make_pairs(nodes: tuple[Node, Node], where: Path, pairs: int) -> tuple[Path, Path]:
    """Accounts for `pairs` senders on one node and as many recipients on the other."""
    one, other = nodes
    senders = [f"alice{n}" for n in range(pairs)]
    recipients = [f"bob{n}" for n in range(pairs)]
    from_a = join_users(one, where, senders, [f"{user}@{other.name}" for user in recipients])
    to_b = join_users(other, where, recipients, [f"{user}@{one.name}" for user in senders])
    return from_a, to_b


def wire_bytes(one: Node, other: Node) -> int | None:
    """IP bytes both ways on the connections between two nodes, from the kernel's counters; None without `ss`."""
    if shutil.which("ss") is None:
        return None
    printed = subprocess.run(["ss", "-tinHOp"], capture_output=True, text=True, check=True).stdout
    total = 0
    for line in printed.splitlines():
        ends = re.findall(r"127\.0\.0\.1:(\d+)", line)
        # The connection stands twice, once from each end; count the end of the first node.
        if f"pid={one.pid}," in line and _is_between(other, ends, printed):
            total += sum(int(n) for n in re.findall(r"bytes_(?:sent|received):(\d+)", line))
            total += _IP_AND_TCP_BYTES * sum(int(n) for n in re.findall(r"segs_(?:out|in):(\d+)", line))
    return total


def _is_between(other: Node, ends: list[str], printed: str) -> bool:
    if len(ends) != 2:
        return False
    mirrored = rf"127\.0\.0\.1:{ends[1]}\s+127\.0\.0\.1:{ends[0]}\s.*pid={other.pid},"
    return re.search(mirrored, printed) is not None


def run_load(
    nodes: tuple[Node, Node], accounts: tuple[Path, Path], **load: Any
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """One load from start to end; what sender and receiver saw, and what it cost."""
    one, other = nodes
    receiver = Driver("receive", accounts[1], timeout=120)
    sender = Driver("send", accounts[0], **load)
    try:
        receiver.hear("ready")
        sender.hear("ready")
        before = [one.cpu_s(), other.cpu_s(), _cpu_s(sender.pid), _cpu_s(receiver.pid)]
        wire = wire_bytes(one, other)
        sender.say()
        sent = sender.hear("done")
        receiver.say(sent["sent"])
        received = receiver.hear("received")
        after = [one.cpu_s(), other.cpu_s(), _cpu_s(sender.pid), _cpu_s(receiver.pid)]
        wire_after = wire_bytes(one, other)
    finally:
        sender.end()
        receiver.end()
    cost = dict(
        zip(
            ("cpu_a", "cpu_b", "cpu_sender", "cpu_receiver"),
            (b - a for a, b in zip(before, after, strict=True)),
            strict=True,
        )
    )
    if wire is not None and wire_after is not None:
        cost["wire"] = (wire_after - wire) / sent["sent"]
    return sent, received, cost


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def forward(options: argparse.Namespace) -> dict[str, Any]:
    """Messages from users of one node to users of the other, both online."""
    with workplace(options) as where, two_nodes(where, _LIMITS) as nodes:
        time.sleep(1.0)  # what starting costs is not what idling costs
        idle = statistics.mean(node.rss_mib() for node in nodes)
        accounts = make_pairs(nodes, where, options.pairs)
        each = max(1, options.messages // options.pairs)
        depth = max(1, options.depth // options.pairs)
        warm_each = max(64, 4000 // options.pairs)
        run_load(nodes, accounts, messages=warm_each, depth=depth)
        options.record.phase(f"as fast as it goes, {options.depth:,} messages on their way")
        sent, received, cost = run_load(nodes, accounts, messages=each, depth=depth)
        options.record.add(sent, received)
        loaded = max(node.rss_mib() for node in nodes)
        seconds = (max(received["last_ns"], sent["last_ns"]) - sent["first_ns"]) / 1e9
        quiet_messages = max(1, int(50 * options.quiet_s) // options.pairs)
        options.record.phase("50 a second")
        slow_sent, slow, _ = run_load(
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
        "disk_bytes_per_message": options.disk,
        "cpu_s_per_1000": round(1000 * (cost["cpu_a"] + cost["cpu_b"]) / n, 4),
        "cpu_s_per_1000_by_process": {
            name.removeprefix("cpu_"): round(1000 * cost[name] / n, 4)
            for name in ("cpu_a", "cpu_b", "cpu_sender", "cpu_receiver")
        },
        "accepted": sent["accepted"] + slow_sent["accepted"],
        "delivered": sent["delivered"] + slow_sent["delivered"],
        "lost": n - received["shown"] + slow_sent["sent"] - slow["shown"],
        "duplicates": received["arrived"] - received["shown"] + slow["arrived"] - slow["shown"],
    }


def offline(options: argparse.Namespace) -> dict[str, Any]:
    """Messages to a user who is away: until the other node has them all, then until the user has."""
    with workplace(options) as where, two_nodes(where, _LIMITS) as nodes:
        accounts = make_pairs(nodes, where, 1)
        other = nodes[1]
        other_empty = settled_disk(other)
        sender = Driver("send", accounts[0], messages=options.messages, depth=4096, until="accepted")
        sender.hear("ready")
        options.record.phase("the recipient is away")
        sender.say()
        sent = sender.hear("done")
        stored_ns = wait_stored(other, sent["sent"])
        sender.end()
        disk = (settled_disk(other) - other_empty) / sent["sent"]
        start_ns = time.monotonic_ns()
        options.record.phase("the recipient comes back")
        receiver = Driver("receive", accounts[1], timeout=120)
        receiver.hear("ready")
        receiver.say(sent["sent"])
        received = receiver.hear("received")
        receiver.end()
        options.record.add(sent, received)
        drain_ns = received["last_ns"] - received["first_ns"]  # 0 if everything came in one batch
    return {
        "store_per_s": round(1e9 * sent["sent"] / (stored_ns - sent["first_ns"])),
        "drain_per_s": round(1e9 * sent["sent"] / drain_ns) if drain_ns else None,
        "drain_first_ms": round((received["first_ns"] - start_ns) / 1e6, 1),
        "disk_bytes_per_message": round(disk),
        "accepted": sent["accepted"],
        "delivered": received["shown"],
        "lost": sent["sent"] - received["shown"],
        "duplicates": received["arrived"] - received["shown"],
    }


def wait_stored(node: Node, how_many: int) -> int:
    """When that many envelopes wait at the node, in monotonic nanoseconds (as its status told, asked every 20 ms)."""
    deadline = time.monotonic() + 120
    stored = StoreNow(0, 0)
    with ask_node(node.state) as asked:
        while time.monotonic() < deadline:
            stored = asked.ask(GetStatus()).store
            if stored.envelopes >= how_many:
                return time.monotonic_ns()
            time.sleep(0.02)
    raise RuntimeError(f"only {stored.envelopes} of {how_many} are stored")


def settled_disk(node: Node) -> int:
    """The size on disk once the write-ahead log is folded back, as the node itself does when it has little to do."""
    node.stop()
    node.start()
    return node.disk_bytes()


def connections(options: argparse.Namespace) -> dict[str, Any]:
    """Devices connected to one node."""
    with workplace(options) as where:
        node = Node("birdy.local", where)
        node.start()
        try:
            users = [f"user{n}" for n in range(options.devices)]
            accounts = join_users(node, where, users, [f"{user}@birdy.local" for user in users])
            node.stop()
            node.start()
            time.sleep(1.0)
            before, started = node.rss_mib(), time.monotonic()
            driver = Driver("receive", accounts)
            driver.hear("ready")
            seconds = time.monotonic() - started
            time.sleep(1.0)
            after = node.rss_mib()
            driver.end()
        finally:
            node.kill()
    return {
        "devices": options.devices,
        "kib_per_device": round((after - before) * 1024 / options.devices, 1),
        "connects_per_s": round(options.devices / seconds),
        "rss_before_mib": round(before, 1),
        "rss_after_mib": round(after, 1),
    }


def mls(_options: argparse.Namespace) -> dict[str, Any]:
    """The group protocol, in this process alone."""
    return bench_mls.measure(lambda what: print(what, file=sys.stderr))


def median_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """The median of each figure over several runs; losses and duplicates are summed."""
    result: dict[str, Any] = {}
    for name, value in runs[0].items():
        values = [run[name] for run in runs]
        if isinstance(value, dict):
            result[name] = median_of(values)
        elif name in ("lost", "duplicates", "accepted", "delivered"):
            result[name] = sum(values)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            result[name] = statistics.median(values)
        else:
            result[name] = value
    return result


def show(name: str, result: dict[str, Any]) -> None:
    """For a person."""
    print(f"{name}:")
    for key, value in result.items():
        if isinstance(value, dict):
            print(f"  {key:<28}" + "  ".join(f"{k} {v}" for k, v in value.items()))
        else:
            print(f"  {key:<28}{value}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("what", choices=("forward", "offline", "connections", "simulate", "mls"))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--runs", type=int, default=1, help="run it so often and print medians")
    parser.add_argument("--pairs", type=int, default=1, help="forward: senders, each with a recipient of its own")
    parser.add_argument("--messages", type=int, default=0, help="of all senders together")
    parser.add_argument(
        "--depth", type=int, default=2048, help="forward: messages on their way, of all senders together"
    )
    parser.add_argument("--quiet-s", type=float, default=20, help="forward: seconds at 50 messages a second")
    parser.add_argument("--devices", type=int, default=1000, help="connections: how many")
    parser.add_argument("--hours", type=float, default=2.0, help="simulate: virtual hours of each size")
    parser.add_argument("--full", action="store_true", help="simulate: a day of 100 nodes and 1,000 users, too")
    parser.add_argument("--dir", default=None, help="where the nodes keep their state during the run")
    parser.add_argument("--keep", action="store_true", help="keep that directory")
    parser.add_argument("--record", type=Path, metavar="FILE", help="write a timeline, for: waypost lab report FILE")
    options = parser.parse_args()
    options.disk = None
    timeline, options.record = options.record, Record(f"bench {options.what}")
    if not options.messages:
        options.messages = 200_000 if options.what == "forward" else 50_000
    run = {
        "forward": forward,
        "offline": offline,
        "connections": connections,
        "simulate": simulated,
        "mls": mls,
    }[options.what]
    result = median_of([run(options) for _ in range(options.runs)])
    if options.what == "forward":
        disk = argparse.Namespace(**{**vars(options), "messages": 20_000, "record": Record("")})
        result["disk_bytes_per_message"] = offline(disk)["disk_bytes_per_message"]
    if timeline:
        write(timeline, options.record.events(result))
    if options.json:
        print(json.dumps(result))
    elif options.what == "mls":
        bench_mls.show(result)
    else:
        show(options.what, result)


if __name__ == "__main__":
    main()
