"""What the client's tests share."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from tests.client.node import Node
from tests.links.support import BACKENDS, run, run_virtual

from waypost.client import Client, connect, join

__all__ = ["ALICE", "BACKENDS", "BOB", "Scene", "node_running", "on", "opened"]

ALICE = "alice@birdy.example"
BOB = "bob@finch.example"

Scene = Callable[[Node, Path], Awaitable[None]]


@asynccontextmanager
async def node_running(*, virtual: bool = False) -> AsyncIterator[Node]:
    async with anyio.create_task_group() as tasks:
        yield Node(tasks, virtual=virtual)
        tasks.cancel_scope.cancel()


def on(backend: str, scene: Scene, directory: Path) -> None:
    """Play a scene with a node, and a profile of alice's that has joined it. `virtual`: trio, in virtual time."""
    virtual = backend == "virtual"

    async def main() -> None:
        async with node_running(virtual=virtual) as node:
            await join(node.invite("alice"), directory / "alice", parts=node.parts())
            await scene(node, directory / "alice")

    if virtual:
        run_virtual(main)
    else:
        run(backend, main)


@asynccontextmanager
async def opened(node: Node, profile: Path, passphrase: str | None = None) -> AsyncIterator[Client]:
    async with connect(profile, passphrase, parts=node.parts()) as me:
        await me.published()
        yield me
