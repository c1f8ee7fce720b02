import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from waypost.daemon import state as states
from waypost.daemon.state import StateDir
from waypost.errors import Code, LocalError

SEED = bytes(range(32))

HOLDER = """
import sys
from pathlib import Path
from waypost.daemon.state import StateDir, hold
with hold(StateDir(Path(sys.argv[1]))):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    made = StateDir(tmp_path / "node")
    states.make(made, 'name = "birdy.local"\n', SEED)
    return made


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_new_state_is_its_owners_alone(state: StateDir) -> None:
    assert (mode(state.path), mode(state.key), mode(state.config)) == (0o700, 0o600, 0o600)
    assert states.read_seed(state) == SEED


def test_state_is_not_made_twice(state: StateDir) -> None:
    with pytest.raises(LocalError) as raised:
        states.make(state, "", bytes(32))
    assert raised.value.code is Code.STATE_IN_USE
    assert states.read_seed(state) == SEED


def test_key_that_others_may_read_is_refused_with_the_remedy(state: StateDir) -> None:
    state.key.chmod(0o640)
    with pytest.raises(LocalError, match=f"chmod 600 {state.key}") as raised:
        states.read_seed(state)
    assert raised.value.code is Code.STATE_DAMAGED


@pytest.mark.parametrize("text", [b"", b"no key", SEED.hex().encode()[:-2], SEED.hex().encode() + b"00"])
def test_damaged_key(state: StateDir, text: bytes) -> None:
    state.key.write_bytes(text)
    with pytest.raises(LocalError) as raised:
        states.read_seed(state)
    assert raised.value.code is Code.STATE_DAMAGED


def test_missing_key(state: StateDir) -> None:
    state.key.unlink()
    with pytest.raises(LocalError) as raised:
        states.read_seed(state)
    assert raised.value.code is Code.STATE_MISSING


def test_second_node_is_told_who_holds_the_state_and_a_killed_one_holds_nothing(state: StateDir) -> None:
    assert not states.is_held(state)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(state.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert states.is_held(state)
        with pytest.raises(LocalError, match=f"process {holder.pid}") as raised, states.hold(state):
            pass
        assert raised.value.code is Code.STATE_IN_USE
        holder.kill()
        holder.wait(10)
    assert not states.is_held(state)
    with states.hold(state):
        assert states.is_held(state)


def test_holding_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LocalError) as raised, states.hold(StateDir(tmp_path / "none")):
        pass
    assert raised.value.code is Code.STATE_MISSING


def test_socket_at_a_path_longer_than_the_kernel_takes(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "admin.sock"
    path.parent.mkdir()
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client:
        with states.socket_address(path) as address:
            listener.bind(address)
        listener.listen()
        assert path.is_socket()
        with states.socket_address(path) as address:
            client.connect(address)


def test_node_json_is_there_while_the_node_runs(state: StateDir) -> None:
    with states.announced(state, {"provider": "birdy.local", "ports": [7711]}):
        assert json.loads(state.running.read_text()) == {"pid": os.getpid(), "provider": "birdy.local", "ports": [7711]}
        assert mode(state.running) == 0o600
    assert not state.running.exists()


def test_default_state(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WAYPOST_STATE", "/somewhere")
    assert states.default_state() == Path("/somewhere")
    monkeypatch.delenv("WAYPOST_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", "/states")
    assert states.default_state() == Path("/states/waypost")
