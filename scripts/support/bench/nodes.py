"""Nodes of a side, as seen from the measuring process: told what to do through a keeper, measured through /proc."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scripts.support.bench.sides import Side

LIMITS = "mailbox_max_envelopes = 10000000\nmailbox_max_bytes = 100000000000\n"
_ESTABLISHED = "01"  #: in /proc/net/tcp
_HERE = Path(__file__).resolve().parent


def cpu_s(pid: int) -> float:
    """User and system seconds that a process has used, all its threads, to the nanosecond."""
    # What clock_getcpuclockid(3) makes of a process id on Linux; Python has it for threads only.
    return time.clock_gettime((~pid << 3) | 2)


def _target(descriptor: Path) -> str | None:
    try:
        return str(descriptor.readlink())
    except FileNotFoundError:
        return None  # closed meanwhile


class Nodes:
    """The nodes of one side in one directory.

    `apart` gives them a network of their own if that can be had (Linux, root). With `tell`, a directory, they write
    there what their allocators hold when SIGUSR2 asks them (see `inside/`).
    """

    def __init__(self, side: Side, where: Path, *, apart: bool = False, tell: Path | None = None) -> None:
        self.where = where
        around = side.environment()
        if tell is not None:
            around = {**side.environment(_HERE / "inside"), "WAYPOST_BENCH_TELL": str(tell)}
        self._keeper = subprocess.Popen(
            [side.python, "-P", str(_HERE / "keeper.py"), *(["apart"] if apart else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=side.tree,
            env=around,
        )

    def make(self, name: str) -> Node:
        return Node(self, name, Path(self.tell("make", name, where=str(self.where), limits=LIMITS)["database"]))

    def tell(self, do: str, node: str, **more: Any) -> Any:
        """Raises RuntimeError with what went wrong over there."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.write(json.dumps({"do": do, "node": node, **more}) + "\n")
        self._keeper.stdin.flush()
        line = self._keeper.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"error": "its keeper has ended"}
        if "error" in answer:
            raise RuntimeError(f"{node}: {answer['error']}")
        return answer["ok"]

    def end(self) -> None:
        """Of all nodes, at once."""
        with self._keeper:
            self._keeper.communicate(timeout=60)


class Node:
    """One node, made but not started. Its port is its own from the first start."""

    def __init__(self, nodes: Nodes, name: str, database: Path) -> None:
        self._nodes = nodes
        self._database = database
        self.name = name
        self.pid = self.port = 0

    def start(self) -> None:
        facts = self._nodes.tell("start", self.name)
        self.pid, self.port = facts["pid"], facts["port"]

    def stop(self) -> None:
        self._nodes.tell("stop", self.name)

    def invite(self, *users: str) -> list[str]:
        invites: list[str] = self._nodes.tell("invite", self.name, users=users)
        return invites

    def introduce(self, other: Node) -> None:
        """It knows where the other is, from its next start."""
        peers = f'[[peers]]\nprovider = "{other.name}"\nendpoint = "127.0.0.1:{other.port}"\n'
        self._nodes.tell("reconfigure", self.name, peers=peers, limits=LIMITS)

    def edit(self, old: str, new: str) -> None:
        """Another configuration, from the next start."""
        self._nodes.tell("edit", self.name, old=old, new=new)

    def stored(self) -> int:
        """How many envelopes wait there."""
        return int(self._nodes.tell("stored", self.name))

    def wait_stored(self, wanted: range) -> int:
        """When so many envelopes wait there, in monotonic nanoseconds (as its status told, asked every 20 ms)."""
        deadline = time.monotonic() + 120
        while (found := self.stored()) not in wanted:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name}: {found} envelopes are stored, not {wanted}")
            time.sleep(0.02)
        return time.monotonic_ns()

    def cpu_s(self) -> float:
        return cpu_s(self.pid)

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def links(self) -> int:
        """Connections that it has, to others and from them."""
        own = {target for each in Path(f"/proc/{self.pid}/fd").iterdir() if (target := _target(each)) is not None}
        rows = [line.split() for line in Path(f"/proc/{self.pid}/net/tcp").read_text().splitlines()[1:]]
        return sum(row[3] == _ESTABLISHED and f"socket:[{row[9]}]" in own for row in rows)

    def settled_disk(self) -> int:
        """Bytes on disk once the write-ahead log is folded back, as a node does when it ends."""
        self.stop()
        self.start()
        files = (self._database, Path(f"{self._database}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def nodes_of(side: Side, where: Path, *, apart: bool = False, tell: Path | None = None) -> Iterator[Nodes]:
    nodes = Nodes(side, where, apart=apart, tell=tell)
    try:
        yield nodes
    finally:
        nodes.end()


@contextmanager
def two_nodes(side: Side, where: Path, *, tell: Path | None = None) -> Iterator[tuple[Node, Node]]:
    """`birdy.local` and `finch.local`, running, each knowing where the other is."""
    with nodes_of(side, where, tell=tell) as nodes:
        one, other = nodes.make("birdy.local"), nodes.make("finch.local")
        for node in (one, other):
            node.start()
            node.stop()
        one.introduce(other)
        other.introduce(one)
        one.start()
        other.start()
        yield one, other
