"""How tasks of one client wake each other."""

from __future__ import annotations

from collections.abc import Iterable

import anyio


class Wakeup:
    """Wakes one task; called while it does not wait, it wakes it when it next does."""

    def __init__(self) -> None:
        self._called = anyio.Event()

    def call(self) -> None:
        self._called.set()

    async def wait(self, timeout_s: float) -> None:
        """Until it is called, at most that long."""
        with anyio.move_on_after(timeout_s):
            await self._called.wait()
        self._called = anyio.Event()


class ChangeEvents:
    """Lets tasks wait until something about a name changes."""

    def __init__(self) -> None:
        self._waiters: dict[bytes, anyio.Event] = {}

    def event(self, name: bytes) -> anyio.Event:
        """Set at the next change. Ask for it before reading what may change."""
        return self._waiters.setdefault(name, anyio.Event())

    def happened(self, names: Iterable[bytes]) -> None:
        for name in names:
            if event := self._waiters.pop(name, None):
                event.set()
