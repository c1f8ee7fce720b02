"""One of our own nodes to be judged: a process on loopback, with its state in a directory that the caller removes."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio

from waypost.daemon import state as states
from waypost.daemon.state import StateDir, socket_address
from waypost.errors import Code, LocalError
from waypost.protocol.admin import AddUser, Request, Response
from waypost.protocol.codec import HEADER_BYTES, FrameBuffer, pack, read

NAME: Final = "judged.local"
HOST: Final = "127.0.0.1"
_START_S: Final = 20.0
_STOP_S: Final = 8.0
_ADMIN_S: Final = 10.0


class OwnNode:
    """See the module."""

    def __init__(self, directory: Path) -> None:
        self._state = StateDir(directory / NAME)
        self._log = directory / f"{NAME}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0
        states.make(self._state, self._config(), secrets.token_bytes(32))

    def _config(self) -> str:
        return f'name = "{NAME}"\nlisten = ["{HOST}:{self.port}"]\npolicy = "open"\n[mdns]\nenabled = false\n'

    async def start(self) -> None:
        """Until it is ready. Raises LocalError(NOT_RUNNING)."""
        reading, writing = os.pipe()
        command = [sys.executable, "-m", "waypost", "run", "--state", str(self._state.path), "--ready-fd", str(writing)]
        try:
            with self._log.open("ab") as log:
                self._process = subprocess.Popen(  # noqa: ASYNC220 - our own command; it returns at once
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[writing],
                    start_new_session=True,
                )
        finally:
            os.close(writing)
        line = b""
        with trio.move_on_after(_START_S):
            async with trio.lowlevel.FdStream(reading) as pipe:
                async for data in pipe:
                    line += data
        try:
            self.port = json.loads(line)["ports"][0]
        except ValueError:
            raise LocalError(Code.NOT_RUNNING, f"the node did not start: {self._last_words()}") from None
        # The port is kept over restarts.
        self._state.config.write_text(self._config(), "utf-8")

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return lines[-1] if lines else "it has said nothing"

    async def end(self, how: signal.Signals) -> None:
        """SIGTERM: in good order; SIGKILL: as a crash does."""
        process, self._process = self._process, None
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

    async def restart(self) -> int:
        """Kill it and start it again; its port."""
        await self.end(signal.SIGKILL)
        await self.start()
        return self.port

    async def invites(self) -> list[str]:
        """For alice, for bob, and a further one for alice."""
        asked = (AddUser("alice"), AddUser("bob"), AddUser("alice", again=True))
        return [str((await self._ask(each))["invite"]) for each in asked]

    async def _ask(self, request: Request) -> dict[str, Any]:
        body = pack(request)
        with trio.fail_after(_ADMIN_S), socket_address(self._state.socket) as address:
            stream = await trio.open_unix_socket(address)
            async with stream:
                await stream.send_all(len(body).to_bytes(HEADER_BYTES, "big") + body)
                frames = FrameBuffer()
                while not (found := frames.feed(bytes(await stream.receive_some()))):
                    pass
        response = read(found[0], Response)
        if response.code:
            raise LocalError(Code.NOT_RUNNING, f"the node answers {response.code}: {response.text}")
        answer: dict[str, Any] = json.loads(response.json)
        return answer


@asynccontextmanager
async def own_node(directory: Path) -> AsyncIterator[OwnNode]:
    """Running; ended afterwards, whatever happens."""
    node = OwnNode(directory)
    try:
        await node.start()
        yield node
    finally:
        await node.end(signal.SIGTERM)
