"""Starts a lab's supervisor as a process of its own, and ends it, from the outside."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from waypost.daemon.ask import ask_node
from waypost.errors import Code, LocalError, WaypostError, code_of
from waypost_lab.box import home as homes
from waypost_lab.box.control import EndLab
from waypost_lab.box.home import Home
from waypost_lab.box.supervisor import STAY

_END_S: Final = 60.0
_LAST_CHARS: Final = 500


@dataclass(frozen=True)
class Launched:
    """A lab that runs. `facts`: seconds, pid, and the pairs that are not linked."""

    facts: dict[str, Any]
    life: int  #: a file descriptor: the lab ends when it is closed, unless it was left to itself

    def leave(self) -> None:
        """It goes on without us, until `waypost lab down`."""
        os.write(self.life, STAY)
        os.close(self.life)


def launch(home: Home, record: Path | None, progress: Callable[[str], None]) -> Launched:
    """Start the lab in a directory that `homes.make` has made, and wait until all of it runs.

    Raises whatever kept it from starting; nothing is left then.
    """
    ready_in, ready_out = os.pipe()
    life_in, life_out = os.pipe()
    command = [sys.executable, "-m", "waypost_lab.box.supervisor", str(home.path)]
    command += ["--ready-fd", str(ready_out), "--life-fd", str(life_in)]
    command += ["--record", str(record.absolute())] if record is not None else []
    try:
        with home.log.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[ready_out, life_in],
                start_new_session=True,  # Ctrl-C reaches whoever started it alone, who ends it in good order
            )
    finally:
        os.close(ready_out)
        os.close(life_in)
    last: dict[str, Any] = {}
    try:
        with os.fdopen(ready_in, encoding="utf-8") as lines:
            for line in lines:
                last = json.loads(line)
                if "progress" not in last:
                    break
                progress(last["progress"])
    except BaseException:
        os.close(life_out)
        process.wait(_END_S)
        raise
    if "ready" in last:
        return Launched(last["ready"], life_out)
    os.close(life_out)
    said = _last_words(home)
    process.wait(_END_S)
    homes.sweep(home)
    homes.remove(home)
    raise _failure(last.get("error"), said)


def _failure(error: dict[str, Any] | None, said: str) -> WaypostError:
    if error is None:
        return LocalError(Code.UNSUPPORTED, f"the lab did not start: {said}")
    return LocalError(code_of(error["number"]) or Code.INTERNAL, error["text"])


def _last_words(home: Home) -> str:
    try:
        return home.log.read_text("utf-8", "replace").strip()[-_LAST_CHARS:] or "it has said nothing"
    except OSError:
        return "it has said nothing"


@dataclass(frozen=True, slots=True)
class Ended:
    """What ended with a lab. `left`: processes that are still there, and files in the way; empty if all is well."""

    nodes: dict[str, int]  #: process ids
    left: tuple[str, ...]


def end(home: Home, *, keep: bool) -> Ended:
    """Stop a lab, whether its supervisor still runs or not, and see that nothing is left. Raises LocalError(NO_LAB)."""
    if not home.is_lab:
        raise LocalError(Code.NO_LAB, str(home.path))
    nodes: dict[str, int] = {}
    pids: dict[str, int] = {}
    if home.runs:
        with suppress(WaypostError), ask_node(home.control) as node:
            told = node.ask(EndLab(keep))
            nodes = told.pids
            pids = {"supervisor": told.pid}
        _wait(lambda: not home.runs)
    if home.is_lab:
        nodes |= homes.sweep(home)
        if not keep:
            homes.remove(home)
    pids |= nodes
    _wait(lambda: not any(map(_is_there, pids.values())))
    left = [f"{name}: process {pid}" for name, pid in pids.items() if _is_there(pid)]
    if not keep and home.path.exists():
        left += [str(path) for path in sorted(home.path.iterdir())]
    return Ended(nodes, tuple(left))


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _END_S
    while time.monotonic() < deadline and not condition():
        time.sleep(0.02)


def _is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return False  # another user's: ours has ended, and its number was given away
    return not _is_zombie(pid)


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
