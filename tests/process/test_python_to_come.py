"""A node without what newer releases of Python have taken away, and with every warning an error."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from subprocess import PIPE

import pytest
import trio
from scripts.support.nodes import Node
from tests.process.support import arrived, killed, peer_at, people, start

#: What Python 3.14 removed, and what it made strict. Python runs it before anything else.
REMOVED = """
import asyncio, asyncio.events, asyncio.unix_events, pkgutil, sqlite3, sys

GONE = {
    "AbstractChildWatcher", "FastChildWatcher", "MultiLoopChildWatcher", "PidfdChildWatcher", "SafeChildWatcher",
    "ThreadedChildWatcher", "get_child_watcher", "set_child_watcher",
    "find_loader", "get_loader", "version", "version_info",
}

def none(*_):
    raise RuntimeError("There is no current event loop")

if sys.version_info < (3, 14):
    for module in (asyncio, asyncio.events, asyncio.unix_events, pkgutil, sqlite3):
        for name in GONE & set(vars(module)):
            delattr(module, name)
    # It warns of these.
    del asyncio.get_event_loop_policy, asyncio.set_event_loop_policy
    asyncio.unix_events._UnixDefaultEventLoopPolicy.get_event_loop = none
"""

#: Imports every module but `__main__`, which would run, and the one that only says where it has gone.
IMPORT_ALL = """
import importlib, pkgutil, waypost, waypost_lab
for package in (waypost, waypost_lab):
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not found.name.endswith("__main__") and found.name != "waypost.lab":
            importlib.import_module(found.name)
"""


@pytest.fixture
def newer_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For every Python that is started."""
    first = tmp_path / "first"
    first.mkdir()
    (first / "sitecustomize.py").write_text(REMOVED)
    monkeypatch.setenv("PYTHONPATH", str(first))
    monkeypatch.setenv("PYTHONWARNINGS", "error")
    ran = subprocess.run([sys.executable, "-c", "import asyncio; asyncio.get_child_watcher"], check=False, stderr=PIPE)
    assert b"AttributeError" in ran.stderr


def configure(node: Node, peer: str) -> None:
    """Everything that a node can use: peers that it is told of, and mDNS, on loopback."""
    node.state.config.write_text(
        f'name = "{node.name}"\nlisten = ["127.0.0.1:{node.port}"]\npolicy = "open"\nreach = "all"\n'
        f'{peer}\n[mdns]\nenabled = true\ninterfaces = ["127.0.0.1"]\n'
    )


def test_every_module_can_be_imported(newer_python: None) -> None:
    subprocess.run([sys.executable, "-c", IMPORT_ALL], check=True, timeout=60)


async def test_nodes_run_on_python_3_14(newer_python: None, tmp_path: Path) -> None:
    birdy, finch = Node("birdy.local", tmp_path), Node("finch.local", tmp_path)
    try:
        configure(birdy, "")
        await start(birdy)
        configure(finch, peer_at(birdy.name, birdy.port))
        await start(finch)
        async with people(birdy, finch) as (sender, book):
            sender.allow(1)
            await arrived(book, 1)
        for node in (birdy, finch):
            await trio.to_thread.run_sync(node.stop)
            said = node.log.read_text()
            assert "Warning" not in said
            assert "Traceback" not in said
            assert "node stopped" in said
    finally:
        killed(birdy, finch)
