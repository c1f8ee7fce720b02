"""The directory of a lab: what is in it, who may use it, and how nothing is left of it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from waypost.daemon import state as states
from waypost.daemon.state import StateDir, is_held, make_private_directory, user_state, write_private
from waypost.errors import Code, LocalError
from waypost_lab.driver import Account

_STOP_S: Final = 10.0


def default_home() -> Path:
    """`$WAYPOST_LAB`, else `waypost-lab` in the user's state directory."""
    named = os.environ.get("WAYPOST_LAB")
    return Path(named) if named else user_state() / "waypost-lab"


@dataclass(frozen=True, slots=True)
class Home:
    """`path` is absolute. Lock and socket are as in a node's state directory."""

    path: Path

    @property
    def control(self) -> StateDir:
        return StateDir(self.path)

    @property
    def plan(self) -> Path:
        return self.path / "lab.toml"

    @property
    def users(self) -> Path:
        """The accounts that have joined, with their keys."""
        return self.path / "users.json"

    @property
    def log(self) -> Path:
        return self.path / "supervisor.log"

    @property
    def nodes(self) -> Path:
        """A state directory for each node, and beside it its log."""
        return self.path / "nodes"

    def state(self, node: str) -> StateDir:
        return StateDir(self.nodes / node)

    @property
    def is_lab(self) -> bool:
        return self.plan.exists()

    @property
    def runs(self) -> bool:
        return is_held(self.control)


def make(home: Home, plan_text: str) -> None:
    """A new directory, with that `lab.toml`. Raises LocalError(LAB_EXISTS) if there is anything in it, UNSUPPORTED."""
    if home.path.exists() and (home.is_lab or any(home.path.iterdir())):
        what = "" if home.is_lab else ": it is not empty, and no lab's"
        raise LocalError(Code.LAB_EXISTS, f"{home.path}{what}")
    try:
        make_private_directory(home.nodes)
        make_private_directory(home.path)
        write_private(home.plan, plan_text.encode())
    except OSError as error:
        raise LocalError(Code.UNSUPPORTED, f"cannot write {home.path} ({error.strerror})") from error


@contextmanager
def hold(home: Home) -> Iterator[None]:
    """Keep every other supervisor out. Raises LocalError(LAB_EXISTS), saying who holds it, NO_LAB."""
    with _held_as(Code.LAB_EXISTS), states.hold(home.control):
        yield


@contextmanager
def _held_as(code: Code) -> Iterator[None]:
    try:
        yield
    except LocalError as error:
        if error.code is Code.STATE_IN_USE:
            raise LocalError(code, error.detail) from None
        if error.code is Code.STATE_MISSING:
            raise LocalError(Code.NO_LAB, error.detail) from None
        raise


def left_running(home: Home) -> dict[str, int]:
    """Nodes that run without a supervisor, and their process ids, as their locks tell."""
    found = {}
    for directory in sorted(home.nodes.glob("*/")):
        state = StateDir(directory)
        with suppress(OSError, ValueError):
            if is_held(state):
                found[directory.name] = int(state.lock.read_text("ascii"))
    return found


def sweep(home: Home) -> dict[str, int]:
    """End the nodes that a supervisor has left behind; returns them, by name, with their process ids."""
    left = left_running(home)
    for pid in left.values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_S
    while time.monotonic() < deadline and left_running(home):
        time.sleep(0.05)
    for pid in left_running(home).values():
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return left


def remove(home: Home) -> None:
    """Everything that a lab has made, and the directory if nothing else is in it."""
    shutil.rmtree(home.nodes, ignore_errors=True)
    control = home.control
    for path in (control.socket, home.users, home.log, home.plan, control.lock):
        with suppress(FileNotFoundError):
            path.unlink()
    with suppress(OSError):
        home.path.rmdir()


# ── users ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def save_users(home: Home, accounts: list[Account]) -> None:
    """For whoever drives them; their keys are in it, so it is the owner's alone."""
    rows = [
        {"address": each.address, "seed": each.seed.hex(), "host": each.host, "port": each.port} for each in accounts
    ]
    write_private(home.users, json.dumps(rows).encode())


def load_users(home: Home) -> list[Account]:
    """Raises LocalError(NO_LAB)."""
    try:
        rows = json.loads(home.users.read_text("utf-8"))
    except FileNotFoundError:
        raise LocalError(Code.NO_LAB, str(home.path)) from None
    return [Account(row["address"], bytes.fromhex(row["seed"]), row["host"], row["port"]) for row in rows]


@contextmanager
def using_users(home: Home) -> Iterator[None]:
    """Drive them, and nobody else at the same time: a device has one link. Raises LocalError(PROFILE_IN_USE)."""
    with home.users.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise LocalError(Code.PROFILE_IN_USE, f"other traffic runs in {home.path}") from None
        yield
