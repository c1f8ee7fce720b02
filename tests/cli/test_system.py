"""The whole of it, as its users meet it: nodes as processes, and every verb against them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from typer.testing import CliRunner

from waypost.cli.main import app
from waypost.cli.outcome import Exit
from waypost.cli.shapes import SHAPES, VerbFailed
from waypost.daemon.state import StateDir
from waypost.errors import Code

COMMAND = [sys.executable, "-m", "waypost"]


def run(*words: str | Path, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    return result.output


def run_json(*words: str | Path, code: int = 0) -> Any:
    """What it prints, which is what docs/json.md says that it prints."""
    found = json.loads(run(*words, "--json", code=code))
    verb = " ".join(map(str, words[:2]))
    shapes = SHAPES[verb if verb in SHAPES else str(words[0])]
    either: tuple[type[Struct], ...] = (*shapes, VerbFailed) if code else shapes
    assert any(is_whole(found, shape) for shape in either), found
    return found


def is_whole(found: object, shape: type[Struct]) -> bool:
    """Whether it has all fields of the shape, with values of their types, and no other."""
    try:
        return bool(json.loads(msgspec.json.encode(msgspec.convert(found, shape))) == found)
    except msgspec.ValidationError:
        return False


def make_state(path: Path, name: str = "birdy.local", more: str = "") -> StateDir:
    state = StateDir(path)
    run("init", name, "--listen", "127.0.0.1:0", "--state", path)
    with state.config.open("a") as file:
        file.write(more)
    state.config.write_text(state.config.read_text().replace("[mdns]\n", "[mdns]\nenabled = false\n"))
    return state


def start(state: StateDir) -> tuple[subprocess.Popen[bytes], dict[str, Any]]:
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(
            [*COMMAND, "run", "--state", str(state.path), "--ready-fd", str(writing)],
            pass_fds=[writing],
            stderr=subprocess.PIPE,
        )
    finally:
        os.close(writing)
    with os.fdopen(reading) as ready:
        line = ready.read()
    if not line:
        process.wait(10)
        raise AssertionError(process.communicate()[1].decode())
    facts: dict[str, Any] = json.loads(line)
    return process, facts


@contextmanager
def running(state: StateDir) -> Iterator[dict[str, Any]]:
    process, facts = start(state)
    try:
        yield facts
    finally:
        process.terminate()
        try:
            _, log = process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, log.decode()
    assert b"Traceback" not in log, log.decode()


def test_life_of_a_process(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    with running(state) as facts:
        assert facts["provider"] == "birdy.local"
        assert facts["endpoints"] == [["127.0.0.1", facts["ports"][0]]]
        known = json.loads(state.running.read_text())
        assert (known["pid"], known["ports"]) == (facts["pid"], facts["ports"])
        modes = {path.name: path.stat().st_mode & 0o777 for path in state.path.iterdir()}
        assert set(modes.values()) == {0o600}, modes
        second = subprocess.run(
            [*COMMAND, "run", "--state", str(state.path)], capture_output=True, timeout=20, check=False, text=True
        )
        assert second.returncode == Exit.TROUBLE
        assert second.stderr.count("\n") == 1
        assert f"process {facts['pid']}" in second.stderr
        assert run_json("status", "--state", state.path)["provider"] == "birdy.local"
    assert not state.running.exists()
    assert not state.socket.exists()


def test_killed_node_starts_again(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    process, _ = start(state)
    run("user", "add", "alice", "--state", state.path)
    process.kill()
    process.communicate(timeout=10)
    assert state.socket.exists()
    run("status", "--state", state.path, code=Exit.ABSENT)
    with running(state):
        assert run_json("status", "--state", state.path)["users"] == 1


def test_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    process, _ = start(state)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=10)
    assert process.returncode in (-signal.SIGTERM, -signal.SIGINT)


def test_port_that_is_taken(tmp_path: Path) -> None:
    import socket

    state = make_state(tmp_path / "node")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        state.config.write_text(state.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        refused = subprocess.run(
            [*COMMAND, "run", "--state", str(state.path)], capture_output=True, timeout=20, check=False, text=True
        )
    assert refused.returncode == Exit.TROUBLE
    assert refused.stderr.count("\n") == 1
    assert f"[{Code.CANNOT_LISTEN.number}]" in refused.stderr
    assert not state.running.exists()


def test_key_that_others_may_read(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    state.key.chmod(0o644)
    refused = subprocess.run(
        [*COMMAND, "run", "--state", str(state.path)], capture_output=True, timeout=20, check=False, text=True
    )
    assert refused.returncode == Exit.TROUBLE
    assert f"chmod 600 {state.key}" in refused.stderr


def test_operator_and_apps(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    with running(state) as facts:
        at: list[str | Path] = ["--state", state.path]
        invite = run("user", "add", "alice", *at).strip()
        assert run_json("join", invite, "--profile", alice)["address"] == "alice@birdy.local"
        used = run_json("join", invite, "--profile", tmp_path / "thief", code=Exit.REFUSED)
        assert used["error"]["number"] == Code.INVITE_INVALID.number
        assert "[406]" in run("user", "add", "alice", *at, code=Exit.USAGE)
        run("join", run("user", "add", "bob", *at).strip(), "--profile", bob)

        sent = run_json("send", "bob@birdy.local", "hi \x1b[2J there", "--profile", alice, "--wait", "0.5")
        assert sent["state"] == "accepted"
        assert "\x1b" not in (shown := run("inbox", "--profile", bob))
        assert "alice@birdy.local" in shown
        assert sent["id"] in shown
        assert "Nothing new" in run("inbox", "--profile", bob, "--wait", "0.3")

        told = run("why", sent["id"], *at)
        assert "accepted from alice@birdy.local" in told
        assert "delivered to bob@birdy.local" in told
        assert told.rstrip().endswith("Delivered.")
        asked = run_json("why", sent["id"], "--profile", alice)
        assert [row["event"] for row in asked["rows"]][-1] == "delivered"
        lost = run_json("send", "nobody@birdy.local", "hi", "--profile", alice, code=Exit.FAILED)
        assert (lost["state"], lost["code"]) == ("bounced", Code.NOT_FOUND.number)
        assert "no such user (300)" in run("why", lost["id"], "--profile", alice)
        run("send", "bob", "hi", "--profile", alice, code=Exit.USAGE)
        run("why", "00" * 16, *at, code=Exit.USAGE)

        run("reach", "finch.example", "wren.example", "--profile", alice)
        assert run_json("reach", "--profile", alice)["providers"] == ["finch.example", "wren.example"]
        users = {user["address"]: user for user in run_json("user", "list", *at)["users"]}
        assert users["alice@birdy.local"]["providers"] == ["finch.example", "wren.example"]
        assert "alice@birdy.local" in run("user", "list", *at)
        assert "birdy.local" in run("status", *at)
        assert run("queue", *at) == "Nothing waits.\n"
        assert run("peers", "fingerprint", *at).replace(" ", "").strip().isdigit()
        assert run_json("check", *at)["faults"] == 0

        saved = run_json("backup", tmp_path / "b.tar", *at)
        assert saved["provider"] == facts["provider"]
        run("backup", tmp_path / "b.tar", *at, code=Exit.TROUBLE)
        run("restore", tmp_path / "b.tar", *at, code=Exit.TROUBLE)
        assert run("user", "remove", "--yes", "bob", *at).startswith("bob@birdy.local is removed")

    restored = StateDir(tmp_path / "restored")
    run("restore", tmp_path / "b.tar", "--state", restored.path)
    with running(restored):
        assert len(run_json("user", "list", "--state", restored.path)["users"]) == 2
        status = run_json("status", "--state", restored.path)
        assert status["key"] == facts["key"]
        assert status["epoch"] > 1


def test_what_the_operator_says_of_users_and_peers(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    at: list[str | Path] = ["--state", state.path]
    with running(state):
        run("user", "add", "bob", *at)
        assert run_json("user", "reach", "bob", "none", *at)["effective"] == "none"
        blocked = run_json("peers", "block", "finch.local", *at)
        assert (blocked["action"], blocked["text"]) == ("block", "finch.local is blocked.")
        assert run_json("peers", *at)["peers"][0]["state"] == "blocked"
        assert "finch.local" in run("peers", "list", *at)
        assert run_json("queue", "retry", "finch.local", *at)["count"] == 0
        assert run_json("queue", *at) == {"queues": [], "left_out": 0}
        assert run_json("peers", "fingerprint", *at)["provider"] == "birdy.local"
        assert "finch.local is forgotten." in run("peers", "forget", "--yes", "finch.local", *at)


def test_a_second_profile_cannot_join_an_account(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    with running(state):
        run("join", run("user", "add", "alice", "--state", state.path).strip(), "--profile", tmp_path / "alice")
        again = run("user", "add", "--again", "alice", "--state", state.path).strip()
        second = run_json("join", again, "--profile", tmp_path / "second", code=Exit.REFUSED)
        assert second["error"]["number"] == Code.OTHER_IDENTITY.number


def test_both_see_one_safety_number(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    alice, bob = tmp_path / "alice", tmp_path / "bob"
    with running(state):
        for profile in (alice, bob):
            run("join", run("user", "add", profile.name, "--state", state.path).strip(), "--profile", profile)
        run("inbox", "--profile", bob)  # for his keys to be published
        shown = run("safety", "bob@birdy.local", "--profile", alice).strip()
        assert [len(group) for group in shown.split(" ")] == [5] * 12
        assert shown.replace(" ", "").isdigit()
        assert run_json("safety", "Alice@birdy.local", "--profile", bob) == {
            "address": "alice@birdy.local",
            "you": "bob@birdy.local",
            "safety_number": shown,
        }
        run("safety", "nobody@birdy.local", "--profile", alice, code=Exit.REFUSED)
    # Once the key is known nobody has to be asked.
    assert run("safety", "bob@birdy.local", "--profile", alice).strip() == shown


def test_leaving_stops_the_node(tmp_path: Path) -> None:
    state = make_state(tmp_path / "node")
    process, _ = start(state)
    left = run_json("leave", "--yes", "--state", state.path)
    assert left == {"provider": "birdy.local", "told": 0, "moved_to": "", "left_behind": 0}
    process.communicate(timeout=10)
    assert process.returncode == 0


def test_demonstration(tmp_path: Path) -> None:
    begun = time.monotonic()
    shown = subprocess.run(
        [*COMMAND, "demo", "--json"],
        capture_output=True,
        timeout=90,
        check=False,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert shown.returncode == 0, shown.stdout + shown.stderr
    summary = json.loads(shown.stdout)
    assert summary["good"]
    assert summary["discovery"] in ("mdns", "static")
    assert (summary["delivered"], summary["bounced"], summary["readable_on_nodes"]) == (3, 1, [])
    assert all(message["trace"] for message in summary["messages"])
    assert time.monotonic() - begun < 60
    assert list(tmp_path.iterdir()) == []
