"""Verbs without a node: what they make, what they refuse, and with which exit code."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from waypost.cli.main import app
from waypost.cli.outcome import Exit, exit_of, failure_of
from waypost.crypto.keys import parse_key
from waypost.daemon import config
from waypost.daemon.state import StateDir
from waypost.errors import Code, LocalError, Refused

VERBS = (
    "backup check demo inbox init join leave peers queue reach restore run safety send status user why".split()  # noqa: SIM905
)
PARTS = {
    "user": ["add", "list", "remove", "reach"],
    "peers": ["list", "allow", "block", "clear", "pin", "fingerprint", "forget"],
    "queue": ["list", "retry", "drop"],
}


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WAYPOST_STATE", "WAYPOST_PROFILE", "WAYPOST_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_STATE_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


def run(*words: str | Path, code: int = 0, text: str | None = None) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words], input=text)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result.output


def run_json(*words: str | Path, code: int = 0) -> Any:
    return json.loads(run(*words, "--json", code=code))


def test_every_verb_has_help_that_ends_in_the_exit_codes() -> None:
    shown = run("--help")
    assert "Exit codes: 0 done" in shown
    for verb in VERBS:
        assert f"\n  {verb} " in shown
        assert "Usage" in run(verb, "--help")
    for verb, parts in PARTS.items():
        assert all(f"\n  {part} " in run(verb, "--help") for part in parts)
        for part in parts:
            assert "Usage" in run(verb, part, "--help")


def test_every_verb_but_run_can_print_json() -> None:
    groups = [[verb, part] for verb, parts in PARTS.items() for part in parts]
    for words in [*([verb] for verb in VERBS if verb not in (*PARTS, "run")), *groups]:
        assert "--json" in run(*words, "--help"), words


def test_init_makes_a_state_that_is_its_owners_alone(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "node")
    made = run_json("init", "Birdy.Local", "--state", state.path)
    assert made["provider"] == "birdy.local"
    assert len(parse_key(made["key"])) == 32
    assert config.load(state.config).provider == "birdy.local"
    assert state.key.stat().st_mode & 0o777 == 0o600
    assert state.path.stat().st_mode & 0o777 == 0o700
    again = run("init", "birdy.local", "--state", state.path, code=Exit.TROUBLE)
    assert "[502]" in again


def test_init_of_a_dns_name_says_what_to_put_into_the_dns(tmp_path: Path) -> None:
    assert '_waypost.birdy.example. TXT "v=waypost1; key=' in run("init", "birdy.example", "--state", tmp_path / "node")


def test_init_refuses_what_is_no_name_and_makes_nothing(tmp_path: Path) -> None:
    assert "[500]" in run("init", "birdy", "--state", tmp_path / "node", code=Exit.USAGE)
    run("init", "birdy.local", "--listen", "nowhere", "--state", tmp_path / "node", code=Exit.USAGE)
    assert not (tmp_path / "node").exists()


def test_state_directory_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYPOST_STATE", str(tmp_path / "from-environment"))
    run("init", "birdy.local")
    assert (tmp_path / "from-environment" / "waypost.toml").exists()


ASKING = [
    ["status"],
    ["user", "list"],
    ["user", "add", "alice"],
    ["user", "remove", "-y", "alice"],
    ["user", "reach", "alice", "all"],
    ["peers"],
    ["peers", "list"],
    ["peers", "allow", "finch.local"],
    ["peers", "pin", "finch.local", "1" * 60],
    ["peers", "fingerprint"],
    ["queue"],
    ["queue", "retry", "finch.local"],
    ["queue", "drop", "-y", "finch.local"],
    ["why", "ab" * 16],
    ["leave", "-y"],
]


@pytest.mark.parametrize("words", ASKING, ids=" ".join)
def test_asking_a_node_that_does_not_run(words: list[str], tmp_path: Path) -> None:
    missing = run_json(*words, "--state", tmp_path / "none", code=Exit.ABSENT)
    assert missing["error"]["number"] == Code.STATE_MISSING.number
    run("init", "birdy.local", "--state", tmp_path / "node")
    shown = run(*words, "--state", tmp_path / "node", code=Exit.ABSENT)
    assert shown.count("\n") == 1
    assert "waypost run" in shown
    assert "[505]" in shown


@pytest.mark.parametrize(
    "words",
    [
        ["peers", "pin", "finch.local", "123"],
        ["user", "reach", "alice", "all", "finch.local"],
        ["user", "reach", "alice"],
        ["queue", "retry", "finch"],
        ["peers", "allow", "finch"],
        ["user", "reach", "alice", "finch"],
        ["why", "xyz"],
        ["reach", "default"],
        ["safety", "bob"],
        ["nonsense"],
        ["send"],
        ["run", "--log-level", "loud"],
    ],
    ids=" ".join,
)
def test_wrong_usage(words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYPOST_STATE", str(tmp_path))
    result = CliRunner().invoke(app, words)
    assert result.exit_code == Exit.USAGE, result.output


@pytest.mark.parametrize(
    "words",
    [["send", "bob@finch.local", "hi"], ["inbox"], ["reach"], ["safety", "bob@finch.local"], ["why", "ab" * 16]],
    ids=" ".join,
)
def test_app_verbs_without_a_profile(words: list[str], tmp_path: Path) -> None:
    shown = run(*words, "--profile", tmp_path / "none", code=Exit.ABSENT)
    assert "waypost join INVITE" in shown
    assert "[506]" in shown
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("invite", ["", "hello", "waypost:", "waypost:AAAA", "waypost:" + "A" * 4_000])
def test_join_with_what_is_no_invite(invite: str, tmp_path: Path) -> None:
    failed = run_json("join", invite, "--profile", tmp_path / "profile", code=Exit.USAGE)
    assert failed["error"]["code"] == "bad-invite"
    assert not (tmp_path / "profile").exists()


def test_check_names_all_faults_at_once_each_with_its_remedy(tmp_path: Path) -> None:
    state = StateDir(tmp_path / "node")
    run("init", "birdy.local", "--state", state.path)
    state.key.chmod(0o644)
    state.path.chmod(0o755)
    state.database.write_bytes(b"no database at all" * 500)
    state.config.write_text('name = "birdy"\npolcy = "open"\nlisten = ["x:1"]\n')
    found = run_json("check", "--state", state.path, code=Exit.FAILED)
    faults = {each["subject"]: each for each in found["findings"] if each["state"] == "fault"}
    assert set(faults) == {
        "state directory",
        "node key",
        "database",
        "configuration: name",
        "configuration: polcy",
        "configuration: listen[0]",
    }
    assert found["faults"] == 6
    assert all(each["remedy"] for each in faults.values())
    assert faults["node key"]["remedy"] == f"chmod 600 {state.key}"
    assert "6 to mend." in run("check", "--state", state.path, code=Exit.FAILED)


def test_check_of_the_ways_to_others(tmp_path: Path) -> None:
    import socket

    state = StateDir(tmp_path / "node")
    run("init", "birdy.local", "--state", state.path)
    with socket.socket() as taken, socket.socket() as closed:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        closed.bind(("127.0.0.1", 0))
        port, dead = taken.getsockname()[1], closed.getsockname()[1]
        state.config.write_text(
            f'name = "birdy.local"\nlisten = ["127.0.0.1:{port}"]\nannounce = ["127.0.0.1:{port}"]\n'
            f'[[peers]]\nprovider = "finch.local"\nendpoint = "127.0.0.1:{dead}"\n[mdns]\nenabled = false\n'
        )
        found = run_json("check", "--state", state.path, code=Exit.FAILED)
    states = {each["subject"]: each["state"] for each in found["findings"]}
    assert states[f"listen 127.0.0.1:{port}"] == "fault"
    assert states[f"peer finch.local at 127.0.0.1:{dead}"] == "fault"
    assert states[f"announce 127.0.0.1:{port}"] == "ok"
    assert found["faults"] == 2


def test_check_of_a_good_state(tmp_path: Path) -> None:
    run("init", "birdy.local", "--listen", "127.0.0.1:0", "--state", tmp_path / "node")
    text = (tmp_path / "node" / "waypost.toml").read_text()
    (tmp_path / "node" / "waypost.toml").write_text(text.replace("# enabled = true", "enabled = false"))
    assert run_json("check", "--state", tmp_path / "node")["faults"] == 0


def test_check_without_a_state(tmp_path: Path) -> None:
    assert "waypost init NAME" in run("check", "--state", tmp_path / "none", code=Exit.FAILED)


def test_run_with_three_mistakes_in_the_configuration(tmp_path: Path) -> None:
    run("init", "birdy.local", "--state", tmp_path / "node")
    (tmp_path / "node" / "waypost.toml").write_text('name = "birdy"\npolcy = "open"\nlisten = ["x:1"]\n')
    shown = run("run", "--state", tmp_path / "node", code=Exit.USAGE)
    assert "3 faults" in shown
    assert all(f"\n  {key}" in shown for key in ("name", "polcy", "listen[0]"))


def test_backup_of_nothing(tmp_path: Path) -> None:
    run("backup", tmp_path / "b.tar", "--state", tmp_path / "none", code=Exit.ABSENT)
    run("init", "birdy.local", "--state", tmp_path / "node")
    shown = run("backup", tmp_path / "b.tar", "--state", tmp_path / "node", code=Exit.TROUBLE)
    assert "never run" in shown
    assert not (tmp_path / "b.tar").exists()


def test_restore_of_what_is_no_backup(tmp_path: Path) -> None:
    (tmp_path / "b.tar").write_bytes(os.urandom(2_000))
    failed = run_json("restore", tmp_path / "b.tar", "--state", tmp_path / "node", code=Exit.TROUBLE)
    assert failed["error"]["number"] == Code.BACKUP_FAILED.number


def test_every_code_has_an_exit_code_that_is_not_success() -> None:
    assert all(exit_of(code) not in (Exit.OK, Exit.INTERRUPTED) for code in Code)
    assert exit_of(Code.BLOCKED) is Exit.REFUSED
    assert exit_of(Code.NOT_RUNNING) is Exit.ABSENT
    assert exit_of(Code.STATE_IN_USE) is Exit.TROUBLE


def test_failures_are_found_in_groups_but_defects_are_not_hidden() -> None:
    refused = Refused(Code.BUSY)
    assert failure_of(ExceptionGroup("", [ExceptionGroup("", [refused])])) is refused
    assert failure_of(ExceptionGroup("", [refused, ValueError()])) is None
    assert failure_of(ValueError()) is None
    assert failure_of(LocalError(Code.BAD_CONFIG)) is not None
