"""The drivers of a run: processes that speak the device protocol and are spoken to by lines."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.support.bench.nodes import Node, cpu_s
from scripts.support.bench.sides import ROOT

_IP_AND_TCP_BYTES = 52  #: a segment's headers on loopback: IPv4, TCP, the timestamps option


class Driver:
    """A driver process."""

    def __init__(self, role: str, accounts: Path, **options: Any) -> None:
        command = [sys.executable, "-m", "scripts.support.bench.roles", role, str(accounts)]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

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
        with self._process:
            self._process.kill()


@contextmanager
def driving(role: str, accounts: Path, **options: Any) -> Iterator[Driver]:
    """A driver that has loaded its accounts; it connects when it is told to."""
    driver = Driver(role, accounts, **options)
    try:
        driver.hear("loaded")
        yield driver
    finally:
        driver.end()


def connect(driver: Driver) -> dict[str, Any]:
    """Let all its devices connect, many at once; what it said then."""
    driver.say()
    return driver.hear("ready")


@contextmanager
def workplace(options: argparse.Namespace) -> Iterator[Path]:
    """A directory for the run; kept if asked to."""
    path = Path(tempfile.mkdtemp(prefix="waypost-bench-", dir=options.dir)).resolve()
    try:
        yield path
    finally:
        if options.keep:
            print(f"kept: {path}", file=sys.stderr)
        else:
            shutil.rmtree(path, ignore_errors=True)


def join_users(node: Node, where: Path, users: list[str], to: list[str]) -> Path:
    """Accounts for users of a node, each of whom will write to one address."""
    file = where / f"{node.name}-{users[0]}.json"
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
    """Accounts for `pairs` senders on one node and as many recipients on the other, who may answer."""
    one, other = nodes
    senders = [f"alice{n}" for n in range(pairs)]
    recipients = [f"bob{n}" for n in range(pairs)]
    from_a = join_users(one, where, senders, [f"{user}@{other.name}" for user in recipients])
    to_b = join_users(other, where, recipients, [f"{user}@{one.name}" for user in senders])
    return from_a, to_b


def run_load(
    nodes: tuple[Node, Node], accounts: tuple[Path, Path], **load: Any
) -> tuple[dict[str, Any], dict[str, Any], dict[str, float]]:
    """One load from start to end; what sender and receiver saw, and what it cost."""
    one, other = nodes
    with driving("receive", accounts[1], timeout=120) as receiver, driving("send", accounts[0], **load) as sender:
        connect(receiver)
        connect(sender)
        pids = (one.pid, other.pid, sender.pid, receiver.pid)
        before, wire = [cpu_s(pid) for pid in pids], wire_bytes(one, other)
        sender.say()
        sent = sender.hear("done")
        receiver.say(sent["sent"])
        received = receiver.hear("received")
        after, wire_after = [cpu_s(pid) for pid in pids], wire_bytes(one, other)
    names = ("cpu_a", "cpu_b", "cpu_sender", "cpu_receiver")
    cost = {name: b - a for name, a, b in zip(names, before, after, strict=True)}
    if wire is not None and wire_after is not None:
        cost["wire"] = (wire_after - wire) / sent["sent"]
    return sent, received, cost


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
