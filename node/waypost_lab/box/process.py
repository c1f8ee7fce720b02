"""One node as a process, started and stopped as an operator would."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from waypost.daemon import state as states
from waypost.daemon.ask import ask_node
from waypost.daemon.state import StateDir
from waypost.errors import Code, LocalError
from waypost.protocol.operator import OperatorRequest

A = TypeVar("A")

_START_S: Final = 60.0  #: many start at once on a small machine
_STOP_S: Final = 10.0
_ASK_S: Final = 10.0
_LAST_BYTES: Final = 4_096
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Memory:
    """Of a process, in bytes. `pss`: what it shares with others counts in part; 0 if the kernel does not tell."""

    rss: int
    pss: int


class NodeProcess:
    """One node, with its state in `directory` and its log beside that. Its configuration is written at each start."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.state = StateDir(directory)
        self.log = directory.with_name(f"{name}.log")
        self.port = 0  #: where it listens, or did when it ran last
        self._ready = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def listening(self) -> int | None:
        """The port at which it can be dialled now."""
        return self.port if self._ready and self.is_running else None

    @property
    def pid(self) -> int | None:
        """Of the process that was started last, unless it was ended from here."""
        return self._process.pid if self._process is not None else None

    @property
    def exit_code(self) -> int | None:
        """Of a process that has ended by itself; as in `subprocess`, minus the signal that ended it."""
        return self._process.poll() if self._process is not None else None

    async def start(self, config: str) -> float:
        """Start it and wait until it is ready; returns the seconds that took. Raises LocalError(NOT_RUNNING)."""
        begun = trio.current_time()
        if not self.state.exists():
            states.make(self.state, config, secrets.token_bytes(32))
        else:
            self.state.config.write_text(config, "utf-8")
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "waypost", "run", "--state", str(self.state.path), "--ready-fd", str(writing)]
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writing],
                    start_new_session=True,  # so that Ctrl-C reaches whoever has started it alone, who stops it
                )
        finally:
            os.close(writing)
        facts = await self._facts(reading)
        self.port, self._ready = facts["ports"][0], True
        return trio.current_time() - begun

    async def _facts(self, descriptor: int) -> dict[str, Any]:
        line = b""
        with trio.move_on_after(_START_S):
            async with trio.lowlevel.FdStream(descriptor) as pipe:
                async for data in pipe:
                    line += data
        try:
            facts: dict[str, Any] = json.loads(line)
        except ValueError:
            raise LocalError(Code.NOT_RUNNING, f"{self.name} did not start: {self.last_words()}") from None
        return facts

    async def stop(self) -> None:
        """As an operator stops a service: SIGTERM, and time to end in good order."""
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        """As a crash would."""
        await self._end(signal.SIGKILL)

    async def _end(self, how: signal.Signals) -> None:
        process, self._process, self._ready = self._process, None, False
        if process is None:
            return
        with trio.CancelScope(shield=True):
            process.send_signal(how)
            with trio.move_on_after(_STOP_S):
                while process.poll() is None:  # noqa: ASYNC110 - nothing tells us
                    await trio.sleep(0.02)
            if process.poll() is None:
                process.kill()
            process.wait()

    async def ask(self, request: OperatorRequest[A]) -> A:
        """Ask it as the operator's verbs do. Raises LocalError(NOT_RUNNING) and whatever the node answers."""

        def ask() -> A:
            with ask_node(self.state, _ASK_S) as node:
                return node.ask(request)

        return await trio.to_thread.run_sync(ask)

    def last_words(self) -> str:
        """The end of its log."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it has said nothing"

    def memory(self) -> Memory | None:
        """What it holds; None if it does not run, or on a system that does not tell."""
        if self.pid is None:
            return None
        return _memory(Path(f"/proc/{self.pid}"))

    def stored_bytes(self) -> bytes:
        """All that its database files hold."""
        paths = self.state.path.glob(f"{self.state.database.name}*")
        return b"".join(path.read_bytes() for path in paths)


def _memory(process: Path) -> Memory | None:
    try:
        rss = int((process / "statm").read_text("ascii").split()[1]) * _PAGE_BYTES
    except OSError:
        return None
    try:
        lines = (process / "smaps_rollup").read_text("ascii").splitlines()
    except OSError:
        return Memory(rss, 0)
    kib = next((line.split()[1] for line in lines if line.startswith("Pss:")), "0")
    return Memory(rss, int(kib) * 1024)
