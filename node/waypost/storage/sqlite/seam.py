"""The seam between trio and aiosqlite, which awaits asyncio futures and trio cannot.

aiosqlite asks three things of an asyncio loop: `create_future` makes the future that a call in its thread will answer,
`call_soon_threadsafe` takes that answer to the loop's thread, and the loop is "the running one" while a coroutine is at
work. A small object of ours does these three; answers come through trio's token. A test pins them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

import trio

T = TypeVar("T")

#: Called in trio's thread with what a coroutine returned, or with what it raised.
Then = Callable[[T | None, BaseException | None], None]


def start(coroutine: Coroutine[Any, Any, T], then: Then[T]) -> None:
    """Run a coroutine of aiosqlite's; `then` is called at its end, which may be before this returns.

    It may await nothing but calls in aiosqlite's thread, or it ends with a RuntimeError. `then` must not raise: from a
    callback that would be the end of trio. To be called from trio; nothing can cancel it.
    """
    _Loop(coroutine, then).step()


async def finished(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine of aiosqlite's returns or raises; see `start`.

    Shielded: cancelling the await would not stop the thread, only lose its answer.
    """
    end = trio.Event()
    outcome: list[tuple[Any, BaseException | None]] = []

    def then(value: T | None, error: BaseException | None) -> None:
        outcome.append((value, error))
        end.set()

    start(coroutine, then)
    with trio.CancelScope(shield=True):
        await end.wait()
    value, error = outcome.pop()
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


class _Future:
    """As much of an asyncio future as aiosqlite uses: awaited once, answered once."""

    __slots__ = ("_done", "_error", "_loop", "_value")

    def __init__(self, loop: _Loop[Any]) -> None:
        self._loop = loop
        self._done = False
        self._value: Any = None
        self._error: BaseException | None = None

    def get_loop(self) -> _Loop[Any]:
        return self._loop

    def done(self) -> bool:
        return self._done

    def set_result(self, value: Any) -> None:
        self._done, self._value = True, value
        self._loop.answered(self)

    def set_exception(self, error: BaseException) -> None:
        self._done, self._error = True, error
        self._loop.answered(self)

    def __await__(self) -> Generator[_Future, None, Any]:
        if not self._done:
            yield self
        if self._error is not None:
            raise self._error
        return self._value


class _Loop(Generic[T]):
    """One coroutine on its way, and what it takes for its event loop.

    It has ended when it has returned and all of its futures are answered: a connect that fails stops its thread without
    waiting for that, and the thread's answer must find trio still there.
    """

    __slots__ = ("_awaited", "_coroutine", "_outcome", "_then", "_token", "_unanswered")

    def __init__(self, coroutine: Coroutine[Any, Any, T], then: Then[T]) -> None:
        self._coroutine = coroutine
        self._then = then
        self._token = trio.lowlevel.current_trio_token()
        self._awaited: _Future | None = None
        self._unanswered = 0
        self._outcome: tuple[T | None, BaseException | None] | None = None

    # ── what aiosqlite asks for ─────────────────────────────────────────────────────────────────────────────────────

    def create_future(self) -> _Future:
        self._unanswered += 1
        return _Future(self)

    def call_soon_threadsafe(self, callback: Callable[..., object], *arguments: Any) -> None:
        self._token.run_sync_soon(callback, *arguments)

    # ── the coroutine ───────────────────────────────────────────────────────────────────────────────────────────────

    def step(self) -> None:
        """To its next await, or to its end."""
        before = _make_running(self)
        try:
            awaited = self._coroutine.send(None)
            if not isinstance(awaited, _Future):
                self._coroutine.close()
                raise RuntimeError(f"aiosqlite awaits what only asyncio has: {awaited!r}")  # noqa: TRY004
            self._awaited = awaited
        except StopIteration as end:
            self._outcome = end.value, None
        except BaseException as error:  # noqa: BLE001 # reason: for whoever awaits it
            self._outcome = None, error
        finally:
            _make_running(before)
        self._end()

    def answered(self, future: _Future) -> None:
        self._unanswered -= 1
        if self._awaited is future:
            self._awaited = None
            self.step()
        else:
            self._end()

    def _end(self) -> None:
        if self._outcome is not None and not self._unanswered:
            self._then(*self._outcome)


def _make_running(loop: Any) -> Any:
    """The one that was before."""
    before = asyncio._get_running_loop()  # noqa: SLF001 - documented, for whoever writes a loop
    asyncio._set_running_loop(loop)  # noqa: SLF001
    return before
