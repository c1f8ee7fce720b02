"""The checker and a relay in one process, on memory links, in virtual time."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import trio
from tests.relay.world import VirtualClock, World, world

from waypost.clock import WallMs
from waypost.limits import QUERY_TIMEOUT_S
from waypost.links.stream import Stream
from waypost.protocol.directory.record import RecordEndpoint
from waypost.relay.settings import Rates
from waypost_lab.conformance.check import Check, Need, Ruling
from waypost_lab.conformance.checks import CHECKS
from waypost_lab.conformance.meeting import Handler
from waypost_lab.conformance.residents import read_invites
from waypost_lab.conformance.run import Selection, judge

JUDGED = "judged.local"
EVERYTHING = frozenset({Need.PEOPLE, Need.SPARE, Need.LISTEN, Need.RESTART})


class MemoryGround:
    """A node of a World. A restart loses what was not committed."""

    def __init__(self, made: World) -> None:
        self._world = made
        self._hosts = itertools.count()

    @property
    def can_listen(self) -> bool:
        return True

    @property
    def address(self) -> None:
        return None

    def wall_ms(self) -> WallMs:
        return VirtualClock().wall_ms()

    async def dial(self) -> Stream:
        return await self._world.net.dial(JUDGED, 7711)

    @asynccontextmanager
    async def listen(self, handler: Handler) -> AsyncIterator[RecordEndpoint]:
        class Door:
            async def accept(self, stream: Stream) -> None:
                try:
                    await handler(stream)
                finally:
                    await stream.aclose()

        host = f"door{next(self._hosts)}.local"
        self._world.net.listeners[host] = Door()  # type: ignore[assignment]
        yield RecordEndpoint(host, 7711)
        del self._world.net.listeners[host]

    async def restart(self) -> None:
        store = self._world.kill(JUDGED)
        await self._world.node(JUDGED, store=store, rates=Rates())


async def judged(checks: Sequence[Check] = CHECKS, patience_s: float = float("inf"), **more: Any) -> list[Ruling]:
    """The verdicts on our own relay."""
    async with world() as w:
        node = await w.node(JUDGED, rates=Rates(), **more)
        relay = node.relay
        texts = [await relay.add_user("alice"), await relay.add_user("bob"), await relay.add_user("alice", again=True)]
        # After a start a node is not certain for a while who is there.
        await trio.sleep(2 * QUERY_TIMEOUT_S)
        results = await judge(MemoryGround(w), read_invites(texts), Selection(checks, patience_s, EVERYTHING))
        # Found out for what it does, not for having come to grief.
        unforeseen = [entry for entry in (*node.logs, *w.nodes[JUDGED].logs) if "unforeseen" in entry["event"]]
        assert not unforeseen, unforeseen
        return results


def named(*names: str) -> list[Check]:
    """Checks by the names of their functions, or by words of their expectation; each must be one alone."""
    found = []
    for name in names:
        matching = [check for check in CHECKS if check.name == name] or [
            check for check in CHECKS if name in check.expectation
        ]
        assert len(matching) == 1, f"{name}: {[check.expectation for check in matching]}"
        found += matching
    return found
