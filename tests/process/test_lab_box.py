"""A lab with real nodes, driven as a person drives it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trio

LAB = """
title = "Three birds"
users = 1

[[nodes]]
name = "birdy"

[[nodes]]
name = "finch"

[[nodes]]
name = "robin"

[[links]]
between = ["finch", "robin"]
latency = "5ms"
"""

Lab = Callable[..., Any]


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """The command, in a directory of its own; the JSON that it prints."""

    def run(*arguments: str, code: int = 0) -> Any:
        command = [sys.executable, "-m", "waypost", "lab", *arguments, "--json", "--dir", str(tmp_path / "lab")]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=90)
        assert ran.returncode == code, ran.stdout + ran.stderr
        return json.loads(ran.stdout)

    yield run
    if (tmp_path / "lab").exists():
        run("down")


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()


async def until(lab: Lab, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Of the status: nothing tells when a link is up."""
    with trio.fail_after(20):
        while True:
            seen: dict[str, Any] = await trio.to_thread.run_sync(lab, "status")
            if condition(seen):
                return seen


def linked(seen: dict[str, Any], a: str, b: str) -> bool:
    """As the first of them sees it."""
    [link] = [each for each in seen["links"] if (each["from"], each["to"]) == (f"{a}.local", f"{b}.local")]
    return bool(link["linked"])


async def test_a_lab_from_start_to_end(lab: Lab, tmp_path: Path) -> None:
    file, timeline = tmp_path / "lab.toml", tmp_path / "run.jsonl"
    file.write_text(LAB)
    up = lab("up", "--file", str(file), "--record", str(timeline), "--detach")
    assert up["missing"] == []
    seen = lab("status")
    pids = {node["name"]: node["pid"] for node in seen["nodes"]}
    assert seen["title"] == "Three birds"
    assert {node["links"] for node in seen["nodes"]} == {2}
    assert all(0 < node["rss"] < 60 << 20 for node in seen["nodes"])
    assert {link["fault"] for link in seen["links"] if link["from"] == "robin.local"} == {"", "5 ms"}

    sent = lab("traffic", "--rate", "100", "--for", "1s")
    assert sent["good"]
    assert sent["accepted"] == sent["delivered"] == sent["written"] > 0

    # A node that comes back cannot be linked over a cut way, by whatever address it is known.
    lab("cut", "birdy", "finch", "--one-way")
    lab("kill", "birdy")
    assert not is_there(pids["birdy.local"])
    assert lab("kill", "birdy", code=2)["error"]["number"] == 400
    lab("start", "birdy")
    seen = await until(lab, lambda seen: linked(seen, "birdy", "robin"))
    assert not linked(seen, "birdy", "finch")
    # What crosses the cut waits, and is not lost.
    sent = lab("traffic", "--rate", "100", "--for", "1s", "--settle", "0s")
    assert sent["good"]
    assert any(where.startswith("waits at") for where in sent["waits"]), sent
    assert not linked(lab("status"), "birdy", "finch")
    healed = lab("heal", "birdy", "finch")
    assert healed["healed"] == ["birdy.local → finch.local: cut"]
    await until(lab, lambda seen: linked(seen, "birdy", "finch"))

    lab("stop", "robin")
    assert {node["state"] for node in lab("status")["nodes"] if node["name"] == "robin.local"} == {"down"}
    last = {node["name"]: node["pid"] for node in lab("status")["nodes"] if node["pid"]}
    assert lab("down") == {"directory": str(tmp_path / "lab"), "nodes": last, "left": [], "kept": False}
    assert not any(map(is_there, [*pids.values(), *last.values(), up["pid"]]))
    assert names_in(tmp_path) == ["lab.toml", "run.jsonl"]
    kinds = [json.loads(line)["kind"] for line in timeline.read_text().splitlines()]
    assert (kinds[0], kinds[-1]) == ("run", "end")
    assert {"node", "fault", "mended"} <= set(kinds)


def test_nodes_left_by_a_killed_supervisor_are_cleared_away(lab: Lab, tmp_path: Path) -> None:
    up = lab("up", "2", "--users", "0", "--detach")
    nodes = {node["name"]: node["pid"] for node in lab("status")["nodes"]}
    os.kill(up["pid"], signal.SIGKILL)
    assert lab("status", code=3)["error"]["code"] == "no-lab"
    assert lab("up", "2", code=5)["error"]["code"] == "lab-exists"
    assert lab("down")["nodes"] == nodes
    assert not any(map(is_there, nodes.values()))
    assert names_in(tmp_path) == []


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        ('exec "$@"', signal.SIGINT),
        # As a shell without job control starts what it puts into the background.
        ("trap '' INT; exec \"$@\"", signal.SIGINT),
        ('exec "$@"', signal.SIGTERM),
    ],
    ids=["ctrl-c", "ctrl-c-in-the-background", "terminate"],
)
def test_a_lab_goes_with_whoever_started_it(tmp_path: Path, shell: str, told: signal.Signals) -> None:
    where = tmp_path / "lab"
    command = ["sh", "-c", shell, "sh", sys.executable, "-m", "waypost"]
    command += ["lab", "up", "1", "--json", "--dir", str(where)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        [node] = json.loads(starter.stdout.readline())["nodes"]
        starter.send_signal(told)
        *_, ended = starter.stdout.read().splitlines()
        assert json.loads(ended)["left"] == []
        assert starter.wait(30) == 130
    assert not is_there(node["pid"])
    assert names_in(tmp_path) == []


def test_bad_input_is_told_in_a_line(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "lab.toml"
    file.write_text('[[nodes]]\nname = "birdy"\nuser = 3\n[[links]]\nbetween = ["birdy", "wren"]\nloss = "5"\n')
    error = lab("up", "--file", str(file), code=2)["error"]
    assert "nodes[0].user = 3: no such key" in error["text"]
    assert "links[0].loss" in error["text"]
    assert lab("up", "3", "--file", str(file), code=2)["error"]["number"] == 400
    assert lab("up", "0", code=2)["error"]["number"] == 400
    for verb in (["down"], ["traffic"], ["kill", "birdy"]):
        assert lab(*verb, code=3)["error"]["code"] == "no-lab", verb
    assert names_in(tmp_path) == ["lab.toml"]
