"""The answer of an operation that has been submitted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from typing import Any, Generic, TypeVar

import trio

from waypost.errors import WaypostError

T = TypeVar("T")

#: Told of an error that had nobody to go to.
Report = Callable[[Exception], None]


def to_stderr(error: Exception) -> None:
    """As an error that nobody catches is told."""
    sys.excepthook(type(error), error, error.__traceback__)


class Pending(Generic[T]):
    """Await it, as often as you like; or say with `then` what is to be called."""

    __slots__ = ("_done", "_error", "_event", "_then", "_value")

    def __init__(self) -> None:
        self._done = False
        self._event: trio.Event | None = None
        self._then: list[tuple[Callable[[T], object], Callable[[WaypostError], object]]] | None = None
        self._value: T | None = None
        self._error: WaypostError | None = None

    @property
    def done(self) -> bool:
        """Whether there is an answer."""
        return self._done

    def then(self, done: Callable[[T], object], failed: Callable[[WaypostError], object]) -> None:
        """Call one of them with the answer, or with what the operation raises.

        In trio's thread, in the order in which operations were submitted, after the commit and after whoever takes its
        changes; before anyone who awaits an answer of that commit goes on. What it raises is reported, and stops
        nobody else. Called at once if the answer is there already.
        """
        if self._done:
            self._call(done, failed)
        elif self._then is None:
            self._then = [(done, failed)]
        else:
            self._then.append((done, failed))

    def resolve(self, value: T | None, error: WaypostError | None, report: Report) -> None:
        """For engines: let go whoever waits. `report` gets what is raised by those that are called."""
        self._done, self._value, self._error = True, value, error
        if self._event is not None:
            self._event.set()
        if self._then is not None:
            for pair in self._then:
                try:
                    self._call(*pair)
                except Exception as trouble:  # noqa: BLE001 # reason: theirs; the other operations of the commit go on
                    report(trouble)
            self._then = None

    def _call(self, done: Callable[[T], object], failed: Callable[[WaypostError], object]) -> None:
        if self._error is not None:
            failed(self._error)
        else:
            done(self._value)  # type: ignore[arg-type] # set together with _done

    async def _wait(self) -> T:
        if not self._done:
            if self._event is None:
                self._event = trio.Event()
            await self._event.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value] # set together with _done

    def __await__(self) -> Generator[Any, Any, T]:
        return self._wait().__await__()
