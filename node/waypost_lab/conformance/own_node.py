"""One of our own nodes to be judged: a process on loopback, with its state in a directory that the caller removes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from waypost.protocol.operator import AddUser
from waypost_lab.box.process import NodeProcess

NAME: Final = "judged.local"
HOST: Final = "127.0.0.1"


class OwnNode(NodeProcess):
    """See the module."""

    def __init__(self, directory: Path) -> None:
        super().__init__(NAME, directory / NAME)

    async def open(self) -> None:
        """Until it is ready, at the port that it had before. Raises LocalError(NOT_RUNNING)."""
        config = f'name = "{NAME}"\nlisten = ["{HOST}:{self.port}"]\npolicy = "open"\n[mdns]\nenabled = false\n'
        await self.start(config)

    async def restart(self) -> int:
        """Kill it and start it again; its port."""
        await self.kill()
        await self.open()
        return self.port

    async def invites(self) -> list[str]:
        """For alice, for bob, and a further one for alice."""
        asked = (AddUser("alice"), AddUser("bob"), AddUser("alice", again=True))
        return [(await self.ask(each)).invite for each in asked]


@asynccontextmanager
async def own_node(directory: Path) -> AsyncIterator[OwnNode]:
    """Running; ended afterwards, whatever happens."""
    node = OwnNode(directory)
    try:
        await node.open()
        yield node
    finally:
        await node.stop()
