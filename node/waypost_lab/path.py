"""One way between two hosts of the lab, with whatever is wrong with it."""

from __future__ import annotations

import random
from typing import Final, Protocol

import trio

from waypost.clock import NEVER, Instant
from waypost_lab.ways import CLEAR

#: Retransmissions come ever more rarely while a path is cut; after it is mended the next may take this long.
SLOW_START_MAX_S: Final = 30.0


class Lane(Protocol):
    """What travels on a path."""

    def mended(self, wait_s: float) -> None:
        """The path is open again; the next retransmission comes after `wait_s`."""


class Path:
    """From one host to another; the way back is another one. Bytes on it keep their order, as TCP's do."""

    def __init__(self, rng: random.Random) -> None:
        self.way = CLEAR
        self._rng = rng
        self._cut_at: Instant | None = None
        self._open = trio.Event()
        self._open.set()
        self._lanes: dict[Lane, None] = {}

    @property
    def is_cut(self) -> bool:
        return self._cut_at is not None

    def cut(self) -> None:
        """Everything sent from now on disappears. Nobody is told."""
        if self._cut_at is None:
            self._cut_at = trio.current_time()
            self._open = trio.Event()

    def mend(self) -> None:
        """What TCP still wants to get across goes on after a while."""
        if self._cut_at is None:
            return
        lasted_s = trio.current_time() - self._cut_at
        self._cut_at = None
        self._open.set()
        for lane in list(self._lanes):
            lane.mended(self._rng.uniform(0.0, min(lasted_s, SLOW_START_MAX_S)))

    async def opened(self) -> None:
        """Until it is not cut."""
        await self._open.wait()

    def enter(self, lane: Lane) -> None:
        self._lanes[lane] = None

    def leave(self, lane: Lane) -> None:
        self._lanes.pop(lane, None)

    def delay_s(self) -> Instant:
        """How long the next segment takes; NEVER if it was lost so often that the connection breaks."""
        if self.way is CLEAR:
            return 0.0
        delay_s = self.way.transit_s(1, self._rng)
        return NEVER if delay_s is None else delay_s
