"""Two nodes on a LAN find each other with no configuration at all."""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import trio
from tests.process.lan import Host, Starting, lan, on, run

from waypost.client import connect, join


async def settle(host: Host, name: str, user: str, where: Path) -> None:
    """A new node with a user whose app has joined. It is stopped again, and nobody else has been there to meet."""
    run(host.waypost("init", name, "--state", str(where)))
    with Starting(host, where) as node:
        node.wait()
        invite = run(host.waypost("user", "add", user, "--state", str(where))).strip()
        await on(host, partial(join, invite, where / user))
    assert "peer" not in (where / "log").read_text()


async def say(profile: Path, to: str, text: str) -> str:
    async with connect(profile) as me:
        sent = await me.send(to, text)
        with trio.fail_after(20):
            await sent.delivered()
        return sent.id


async def hear(profile: Path) -> tuple[str, str | None, float]:
    async with connect(profile) as me:
        with trio.fail_after(20):
            async for message in me.inbox():
                return message.sender, message.text, time.monotonic()
    raise AssertionError("the inbox does not end")


async def test_two_nodes_meet_and_exchange_a_message(tmp_path: Path) -> None:
    birdy, finch = tmp_path / "birdy", tmp_path / "finch"
    with lan() as (here, there), ExitStack() as stack:
        await settle(here, "birdy.local", "alice", birdy)
        await settle(there, "finch.local", "bob", finch)
        heard: list[tuple[str, str | None, float]] = []

        started = time.monotonic()
        nodes = [stack.enter_context(Starting(here, birdy)), stack.enter_context(Starting(there, finch))]
        for node in nodes:
            node.wait()

        async def listen() -> None:
            heard.append(await on(there, partial(hear, finch / "bob")))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await on(here, partial(say, birdy / "alice", "bob@finch.local", "hello"))
        [(sender, text, at)] = heard
        assert (sender, text) == ("alice@birdy.local", "hello")
        assert at - started < 5, f"{at - started:.1f} s"
