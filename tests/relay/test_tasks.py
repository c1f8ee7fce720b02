"""Tasks that cannot end the relay, and refusals that come out as what they are."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from waypost.errors import Code, Refused
from waypost.relay.tasks import Tasks


class Log:
    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []

    def error(self, _event: str, **facts: Any) -> None:
        self.said.append(facts)


async def refuse(*, task_status: trio.TaskStatus[None]) -> None:
    await trio.lowlevel.checkpoint()
    raise Refused(Code.KEY_CHANGED)


async def start_and_fail(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.lowlevel.checkpoint()
    raise KeyError("gone")


async def start_and_stay(*, task_status: trio.TaskStatus[None]) -> None:
    task_status.started()
    await trio.sleep_forever()


async def test_what_is_raised_before_the_start_keeps_its_type() -> None:
    log = Log()
    tasks = Tasks(log)
    async with tasks.open():
        with pytest.raises(Refused) as caught:
            await tasks.start(refuse)
    assert caught.value.code is Code.KEY_CHANGED
    assert log.said == []


async def test_what_is_raised_afterwards_is_logged_and_ends_nothing_else() -> None:
    log = Log()
    tasks = Tasks(log)
    async with tasks.open():
        await tasks.start(start_and_fail)
    [said] = log.said
    assert said["where"] == "start_and_fail"


async def test_cancellation_passes_through() -> None:
    log = Log()
    tasks = Tasks(log)
    with trio.move_on_after(0) as scope:
        async with tasks.open():
            await tasks.start(start_and_stay)
    assert scope.cancelled_caught
    assert log.said == []
