"""What the tests with real nodes have in common."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import trio
from scripts.support.nodes import Node

from waypost.crypto.keys import SigningKey
from waypost.links import tcp
from waypost.links.errors import LinkBroken
from waypost.links.tls import TlsStream
from waypost_lab.book import Book
from waypost_lab.box.traffic import Sender, crowd
from waypost_lab.driver import join, tls_of

MALLORY = SigningKey(b"m" * 32)


def peer_at(name: str, port: int) -> str:
    return f'[[peers]]\nprovider = "{name}"\nendpoint = "127.0.0.1:{port}"\n'


async def start(node: Node) -> None:
    await trio.to_thread.run_sync(node.start)


async def waypost(node: Node, *arguments: str) -> str:
    """What the operator of that node sees."""
    command = [sys.executable, "-m", "waypost", *arguments, "--state", str(node.state.path)]
    ran = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()
    return ran.stdout.decode()


async def peer_of(node: Node, name: str) -> dict[str, Any]:
    """What `waypost peers` says of one."""
    found: list[dict[str, Any]] = json.loads(await waypost(node, "peers", "--json"))["peers"]
    return next((peer for peer in found if peer["provider"] == name), {})


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """For what shows in a file: nothing tells of it, so it is looked at."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110
            await trio.sleep(0.02)


def logged(node: Node, *words: str) -> Callable[[], bool]:
    """Whether one line of its log has all of them."""
    return lambda: any(all(word in line for word in words) for line in node.log.read_text().splitlines())


def killed(*nodes: Node) -> None:
    for node in nodes:
        with suppress(OSError, subprocess.TimeoutExpired):
            node.kill()


@asynccontextmanager
async def people(near: Node, far: Node) -> AsyncIterator[tuple[Sender, Book]]:
    """alice on the one node, who writes to bob on the other, both connected from now on; and their book."""
    invites = [await trio.to_thread.run_sync(node.invite, user) for node, user in ((near, "alice"), (far, "bob"))]
    accounts = [await join(invite, os.urandom(32)) for [invite] in invites]
    async with crowd(accounts, 1) as crowded:
        sender = Sender(crowded.apps[0], accounts[1].address, random.Random(1))
        crowded.nursery.start_soon(sender.run)
        yield sender, crowded.book


async def arrived(book: Book, messages: int, seconds: float = 30.0) -> None:
    """Until so many are shown, and all is reported."""
    with trio.fail_after(seconds):
        while not (book.shown >= messages and book.complete):
            await book.changed.wait()


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[int]:
    """Something that ends TLS with a certificate of its own and passes all bytes on; the port that it listens on."""
    tls = tls_of(MALLORY, "proxy")

    async def between(stream: TlsStream, proven: Callable[[], None]) -> None:
        onward = await tcp.connect("127.0.0.1", port, tls)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_copy, stream, onward)
                nursery.start_soon(_copy, onward, stream)
        finally:
            await onward.aclose()

    listeners = await tcp.listen("127.0.0.1", 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tcp.serve, listeners, between, tls)
        yield tcp.port_of(listeners)
        nursery.cancel_scope.cancel()


async def _copy(source: TlsStream, target: TlsStream) -> None:
    with suppress(LinkBroken):
        while data := await source.receive():
            await target.send(data)
        await target.send_eof()
        return
    await source.aclose()
    await target.aclose()


def change_key(node: Node) -> None:
    """As after a loss of the state directory: the same name, another key, no word from the old one."""
    node.state.key.write_text(os.urandom(32).hex() + "\n")
