"""Real nodes as child processes on loopback, for benchmarks and chaos runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from waypost.daemon.ask import ask_node
from waypost.daemon.state import StateDir, make
from waypost.protocol.operator import AddUser, GetStatus

READY_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Node:
    """One node: its state directory, and its process while it runs. Ports are kept over restarts."""

    def __init__(self, name: str, where: Path, port: int = 0, peers: str = "", limits: str = "") -> None:
        self.name = name
        self.state = StateDir(where / name)
        self.port = port
        self.process: subprocess.Popen[bytes] | None = None
        self.log = where / f"{name}.log"
        make(self.state, self._config(peers, limits), os.urandom(32))

    def _config(self, peers: str, limits: str) -> str:
        return (
            f'name = "{self.name}"\nlisten = ["127.0.0.1:{self.port}"]\npolicy = "open"\nreach = "all"\n{peers}\n'
            f"[mdns]\nenabled = false\n[limits]\naccount_rate_per_s = 0\npeer_rate_per_s = 0\n{limits}\n"
        )

    def reconfigure(self, peers: str = "", limits: str = "") -> None:
        """Takes effect at the next start."""
        self.state.config.write_text(self._config(peers, limits))

    def start(self) -> dict[str, Any]:
        """Start it and wait until it is ready; returns what it said then."""
        readable, writable = os.pipe()
        command = [sys.executable, "-m", "waypost", "run", "--state", str(self.state.path), "--ready-fd", str(writable)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, pass_fds=[writable], stdout=log, stderr=log)
        os.close(writable)
        with os.fdopen(readable) as ready:
            line = ready.readline()
        if not line:
            raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")
        facts: dict[str, Any] = json.loads(line)
        if not self.port:
            self.port = facts["ports"][0]
            self.reconfigure()
        return facts

    @property
    def pid(self) -> int:
        if self.process is None:
            raise RuntimeError(f"{self.name} does not run")
        return self.process.pid

    def stop(self) -> None:
        """In good order."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """As a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)
            self.process = None

    def invite(self, *users: str) -> list[str]:
        """Invites for new users."""
        with ask_node(self.state) as node:
            return [node.ask(AddUser(user)).invite for user in users]

    def stored(self) -> int:
        """How many envelopes wait there."""
        with ask_node(self.state) as node:
            return node.ask(GetStatus()).store.envelopes

    # ── measured ────────────────────────────────────────────────────────────────────────────────────────────────────

    def cpu_s(self) -> float:
        """User and system seconds that the process has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S

    def rss_mib(self) -> float:
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

    def disk_bytes(self) -> int:
        """The database with its write-ahead log."""
        files = (self.state.database, Path(f"{self.state.database}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())


@contextmanager
def two_nodes(where: Path, limits: str = "") -> Iterator[tuple[Node, Node]]:
    """`birdy.local` and `finch.local`, running, each with the other's address in its configuration."""
    one, other = Node("birdy.local", where, limits=limits), Node("finch.local", where, limits=limits)
    try:
        one.start()
        other.start()
        one.stop()
        other.stop()
        for node, peer in ((one, other), (other, one)):
            node.reconfigure(f'[[peers]]\nprovider = "{peer.name}"\nendpoint = "127.0.0.1:{peer.port}"\n', limits)
        one.start()
        other.start()
        yield one, other
    finally:
        for node in (one, other):
            if node.process is not None:
                node.kill()
