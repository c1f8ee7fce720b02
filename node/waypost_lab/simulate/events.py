"""What happened in a simulation: counted, hashed, the last of it kept, and written down if somebody wants it."""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import Final

import trio

from waypost_lab.timeline import AnyEvent, Recorder

_KEPT: Final = 60


class Events:
    """`digest` depends on every event, its order and its time in virtual microseconds."""

    def __init__(self, recorder: Recorder | None = None) -> None:
        self.count = 0
        self.before: tuple[int, tuple[str, ...]] | None = None  #: number and last events when `mark` was first called
        self.last: deque[str] = deque(maxlen=_KEPT)
        self._hash = blake2b(digest_size=16)
        self._recorder = recorder

    def add(self, what: str, *parts: object) -> None:
        line = f"{trio.current_time():.6f} {what} {' '.join(map(str, parts))}"
        self.count += 1
        self.last.append(line)
        self._hash.update(line.encode())

    def mark(self) -> None:
        """A promise is broken: keep what came before it, the first time."""
        if self.before is None:
            self.before = self.count, tuple(self.last)

    def record(self, event: AnyEvent) -> None:
        """For the timeline alone."""
        if self._recorder is not None:
            self._recorder.add(event)

    @property
    def recording(self) -> bool:
        return self._recorder is not None

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
