"""The README's tour and its program do what the README says."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## (.+?)$(.*?)(?=^## |\Z)", re.DOTALL | re.MULTILINE)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PORTS = ("7711", "7712")
SECTIONS = ("A five-minute tour", "The SDK")
#: Where the README waits, it is for the two nodes to be up and linked. A busy machine takes as long as it takes.
WAIT = """
set -u
sleep() {
    for _ in $(seq 150); do
        if waypost status --state birdy 2>/dev/null | grep -q ' linked '; then return; fi
        command sleep 0.1
    done
    echo "never linked" >&2; cat birdy.log finch.log >&2; exit 9
}
"""


def blocks(section: str, language: str) -> list[str]:
    text = dict(SECTION.findall(README))[section]
    return [body for found, body in BLOCK.findall(text) if found == language]


def free_ports(count: int) -> list[str]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [str(each.getsockname()[1]) for each in sockets]


def elsewhere(text: str, ports: list[str], mark: str) -> str:
    """The same between nodes that meet no others on this machine's loopback interface."""
    for old, new in zip(PORTS, ports, strict=True):
        text = text.replace(old, new)
    return re.sub(r"\b(birdy|finch)\.local\b", rf"\1-{mark}.local", text)


def perform(directory: Path, script: str) -> tuple[int, str]:
    """Exit code and output; nothing that the script started outlives it."""
    bin_directory = directory / "bin"
    bin_directory.mkdir()
    for name, words in {"waypost": "-m waypost ", "python": ""}.items():
        path = bin_directory / name
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {words}"$@"\n')
        path.chmod(0o755)
    environment = {**os.environ, "PATH": f"{bin_directory}:{os.environ['PATH']}"}
    with (directory / "output").open("w") as output:
        process = subprocess.Popen(
            ["bash", "-c", script], cwd=directory, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            code = process.wait(150)
        finally:
            with suppress(ProcessLookupError):  # all of it has ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return code, (directory / "output").read_text(encoding="utf-8")


def test_the_tour_and_the_program(tmp_path: Path) -> None:
    mark = secrets.token_hex(4)
    ports = free_ports(2)
    (program,) = blocks("The SDK", "python")
    (tmp_path / "hello.py").write_text(elsewhere(program, ports, mark))
    steps = [step for section in SECTIONS for step in blocks(section, "sh")]
    code, output = perform(tmp_path, WAIT + elsewhere("\n".join(steps), ports, mark))
    if "other nodes on this network are not looked for" in (tmp_path / "birdy.log").read_text():
        pytest.skip("no multicast on loopback")
    assert code == 0, output
    shown = "".join(body for section in SECTIONS for body in blocks(section, "text"))
    position = 0
    for words in (
        "birdy.local  up",
        " linked ",
        "You are alice@birdy.local.",
        "You are bob@finch.local.",
        "accepted by your provider's node",
        "held by the recipient's node",
        "alice@birdy.local  (",
        "  Hello Bob\n",
        "accepted by your provider's node",
        "last error",
        f"127.0.0.1 port {ports[1]}",
        "put in the queue for finch.local",
        "Waiting: provider cannot be reached (204)",
        "  Are you there?\n",
        "handed to finch.local, which has confirmed that it holds it",
        "delivered to bob@finch.local, whose device has confirmed it",
        "\nDelivered.\n",
        "bounced: no such user (300).",
        "exit code 1",
        "alice@birdy.local says Hello from Python",
        "Alice was told: delivered",
    ):
        found = output.find(elsewhere(words, ports, mark), position)
        assert found >= 0, f"{words!r} is missing in what follows:\n{output[position:]}"
        assert words in shown or words.endswith(ports[1]), f"the README does not show {words!r}"
        position = found
    mine, theirs = re.findall(r"^(?:\d{5} ){11}\d{5}$", output, re.MULTILINE)
    assert mine == theirs
    for log in ("birdy.log", "finch.log"):
        assert "Traceback" not in (tmp_path / log).read_text()
