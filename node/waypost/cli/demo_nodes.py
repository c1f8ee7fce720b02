"""The nodes of the demonstration: real processes, started and stopped as an operator would."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import trio

from waypost.cli.node import ask_node
from waypost.daemon import state as states
from waypost.daemon.state import StateDir
from waypost.errors import Code, LocalError
from waypost.ids import parse_provider
from waypost.protocol.admin import Request

_START_S: Final = 15.0
_STOP_S: Final = 6.0


class NodeProcess:
    """One node, with its state in `directory`."""

    def __init__(self, name: str, directory: Path) -> None:
        self.name = name
        self.state = StateDir(directory)
        self.port = 0
        self._peers: tuple[NodeProcess, ...] = ()
        self._mdns = True
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def introduce(self, *peers: NodeProcess) -> None:
        """From the next start on, know these peers by configuration and do without mDNS."""
        self._peers, self._mdns = peers, False

    async def start(self) -> float:
        """Start it and wait until it is ready; returns the seconds that took. Raises LocalError(NOT_RUNNING)."""
        begun = trio.current_time()
        if not self.state.exists():
            states.make(self.state, self._config(), secrets.token_bytes(32))
        else:
            self.state.config.write_text(self._config(), "utf-8")
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "waypost", "run", "--state", str(self.state.path), "--ready-fd", str(writing)]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603, ASYNC220 - our own command; it returns at once
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writing],
                    start_new_session=True,  # so that Ctrl-C reaches the demonstration alone, which stops its nodes
                )
        finally:
            os.close(writing)
        self.port = (await self._ready(reading))["ports"][0]
        return trio.current_time() - begun

    async def _ready(self, descriptor: int) -> dict[str, Any]:
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
        process, self._process = self._process, None
        if process is None:
            return
        with trio.CancelScope(shield=True):
            process.send_signal(signal.SIGTERM)
            with trio.move_on_after(_STOP_S):
                while process.poll() is None:  # noqa: ASYNC110 - nothing tells us
                    await trio.sleep(0.02)
            if process.poll() is None:
                process.kill()
            process.wait()

    async def ask(self, request: Request) -> Any:
        """Ask it as the other verbs do."""

        def ask() -> Any:
            with ask_node(self.state) as node:
                return node.ask(request)

        return await trio.to_thread.run_sync(ask)

    def last_words(self) -> str:
        """The end of its log."""
        try:
            lines = self._log.read_text("utf-8", "replace").splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it has said nothing"

    def stored_bytes(self) -> bytes:
        """All that its database files hold."""
        paths = self.state.path.glob(f"{self.state.database.name}*")
        return b"".join(path.read_bytes() for path in paths)

    @property
    def _log(self) -> Path:
        return self.state.path.with_name(f"{self.name}.log")

    def _config(self) -> str:
        provider = parse_provider(self.name)
        # The port of the first start is kept, since the apps' profiles name it.
        lines = [f'name = "{provider}"', f'listen = ["127.0.0.1:{self.port}"]']
        for peer in self._peers:
            lines += ["[[peers]]", f'provider = "{peer.name}"', f'endpoint = "127.0.0.1:{peer.port}"']
        lines += ["[mdns]", f"enabled = {str(self._mdns).lower()}", 'interfaces = ["127.0.0.1"]']
        return "\n".join(lines) + "\n"
