"""What a node costs that nobody talks to. Real time is the subject here: a timer gone wrong spins a core for real."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from scripts.support.nodes import Node

#: Everything that runs at regular intervals has run once by then.
SETTLED_S, WATCHED_S = 17, 35
CPU_MAX_S = 0.2

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


@contextmanager
def on_a_lan(where: Path) -> Iterator[Node]:
    """A node as `waypost init` makes it, looking for others by mDNS; on loopback, where it meets nobody by accident."""
    node = Node("birdy.local", where)
    node.state.config.write_text(
        'name = "birdy.local"\nlisten = ["127.0.0.1:0"]\n[mdns]\nenabled = true\ninterfaces = ["127.0.0.1"]\n'
    )
    try:
        node.start()
        yield node
    finally:
        node.kill()


@contextmanager
def in_a_lab(where: Path) -> Iterator[dict[str, int]]:
    """The process ids of two nodes, by name."""

    def lab(*arguments: str) -> dict[str, list[dict[str, object]]]:
        command = [sys.executable, "-m", "waypost", "lab", *arguments, "--json", "--dir", str(where)]
        ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
        found: dict[str, list[dict[str, object]]] = json.loads(ran.stdout)
        return found

    lab("up", "2", "--detach")
    try:
        yield {str(node["name"]): int(str(node["pid"])) for node in lab("status")["nodes"]}
    finally:
        lab("down")


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the time that a process has used is read from /proc")
def test_an_idle_node_sleeps(tmp_path: Path) -> None:
    with ExitStack() as stack:
        node = stack.enter_context(on_a_lan(tmp_path / "lan"))
        pids = {"on a LAN": node.pid, **stack.enter_context(in_a_lab(tmp_path / "lab"))}
        time.sleep(SETTLED_S)
        before = {name: cpu_s(pid) for name, pid in pids.items()}
        time.sleep(WATCHED_S - SETTLED_S)
        used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
        if "are not looked for" in node.log.read_text():
            pytest.skip("no multicast on loopback, so nothing of mDNS ran")
    assert {name: seconds for name, seconds in used.items() if seconds > CPU_MAX_S} == {}, used
