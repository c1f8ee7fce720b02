"""Plays a script: from a seed, in virtual time, with everything that ships except sockets and disks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

import trio

from waypost.errors import WaypostError
from waypost_lab import deterministic
from waypost_lab.scenario.parse import PATIENCE_S, Line, Script, When
from waypost_lab.scenario.stage import Stage
from waypost_lab.scenario.vocabulary import FormKind
from waypost_lab.testnet import network
from waypost_lab.timeline import AnyEvent, End, Note

#: How often a claim is looked at: that much of its time, within bounds.
_LOOKS = 400
_LOOK_MIN_S, _LOOK_MAX_S = 0.001, 5.0
_SHOWN_EVENTS = 20


@dataclass(frozen=True)
class Failure:
    """Where a scenario went another way: the line, what was the case instead, and what had happened before."""

    line: int
    text: str
    instead: str
    events: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Played:
    """How it went. `digest` is the same for two plays in which the same happened at the same times."""

    title: str
    seed: int
    failure: Failure | None
    messages: int
    virtual_s: float
    wall_s: float
    digest: str

    @property
    def passed(self) -> bool:
        return self.failure is None


class _Other(Exception):
    """It went another way."""

    def __init__(self, line: Line, instead: str) -> None:
        super().__init__(line, instead)
        self.line = line
        self.instead = instead


def play(script: Script, *, seed: int = 1, on_event: Callable[[AnyEvent], None] = lambda _event: None) -> Played:
    """Perform it. What goes another way is in the result; raises nothing but defects of the lab."""
    return deterministic.run(_play, script, seed, on_event, seed=seed)


async def _play(script: Script, seed: int, on_event: Callable[[AnyEvent], None]) -> Played:
    began = time.monotonic()
    async with network(seed=seed) as net, trio.open_nursery() as nursery:
        stage = Stage(net, nursery, on_event)
        failure = None
        try:
            for line in script.lines:
                await _perform(script, line, stage, seed)
            _check_shown_once(script.lines[-1], stage)
        except _Other as other:
            failure = _failure(other, stage)
            on_event(Note(t=trio.current_time(), text=f"line {failure.line}: {failure.instead}", level="error"))
        virtual_s = trio.current_time()
        nursery.cancel_scope.cancel()
    digest = sha256("\n".join(f"{at:.6f} {text}" for at, text in stage.happened).encode()).hexdigest()[:16]
    result = Played(
        script.title,
        seed,
        failure,
        len(stage.book.letters),
        round(virtual_s, 3),
        round(time.monotonic() - began, 3),
        digest,
    )
    on_event(End(t=virtual_s, result={"passed": result.passed, "messages": result.messages, "digest": digest}))
    return result


async def _perform(script: Script, line: Line, stage: Stage, seed: int) -> None:
    kind = line.form.kind
    try:
        if kind is FormKind.SETUP:
            await line.form.play(stage, line.values)
            return
        await stage.open(script.title, seed)
        if line.when is When.AFTER:
            await trio.sleep(line.seconds)
        stage.note(f"line {line.number}: {line.text}")
        match kind:
            case FormKind.CLAIM:
                await _becomes_true(line, stage)
            case FormKind.ABSENCE:
                await _stays_true(line, stage)
            case _:
                await line.form.play(stage, line.values)
    except WaypostError as error:
        raise _Other(line, str(error)) from error
    except trio.TooSlowError as error:
        raise _Other(line, "it did not come about in time") from error


async def _becomes_true(line: Line, stage: Stage) -> None:
    seconds = line.seconds if line.when is When.WITHIN else PATIENCE_S
    until = trio.current_time() + seconds
    step_s = min(max(seconds / _LOOKS, _LOOK_MIN_S), _LOOK_MAX_S)
    while instead := await line.form.play(stage, line.values):
        left_s = until - trio.current_time()
        if left_s <= 0:
            raise _Other(line, instead)
        await trio.sleep(min(step_s, left_s))


async def _stays_true(line: Line, stage: Stage) -> None:
    stage.remember_seen()
    await trio.sleep(line.seconds if line.when is When.FOR else PATIENCE_S)
    if instead := await line.form.play(stage, line.values):
        raise _Other(line, instead)


def _check_shown_once(last: Line, stage: Stage) -> None:
    """Holds in every scenario: nobody is shown a message twice, or one that nobody wrote to them."""
    known = set(stage.book.letters)
    for person in stage.people.values():
        for written, times in person.seen.items():
            if times > 1:
                raise _Other(last, f"“{written.text}” was shown to {person.name} {times} times")
            if written.recipient != person.address or written not in known:
                raise _Other(last, f"{person.name} was shown “{written.text}”, which was not written to them")


def _failure(other: _Other, stage: Stage) -> Failure:
    return Failure(other.line.number, other.line.text, other.instead, tuple(stage.happened[-_SHOWN_EVENTS:]))
