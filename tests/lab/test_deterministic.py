"""The same seed gives the same run, event for event."""

import os
import subprocess
import sys

import pytest
import trio
from trio._core import _run as scheduler

from waypost_lab import deterministic

PROGRAM = """
import sys
import trio
from waypost_lab import network, run

async def main():
    events = []
    async with network("birdy", "finch", "heron", seed=int(sys.argv[1])) as net:
        net.on_log = lambda node, level, event, fields: events.append((trio.current_time(), node, level, event))
        net.on_commit = lambda node, operation, _: events.append((trio.current_time(), node, type(operation).__name__))
        apps = [await net.app(f"user{number}@{node}") for number, node in enumerate(["birdy", "finch", "heron"] * 2)]
        for app in apps:
            app.tell = lambda app, step, id_, other, code: events.append((trio.current_time(), step, id_, other, code))
        net.slow("birdy", "finch", 0.01, jitter_s=0.05)
        net.loss("finch", "heron", 0.2)
        for number in range(30):
            apps[number % 6].write(apps[(number * 7 + 1) % 6].profile.address, b"x")
            if number == 15:
                net.crash("finch")
            await trio.sleep(0.01)
        await net.start("finch")
        await trio.sleep(120)
    return events

import hashlib
events = run(main, seed=int(sys.argv[1]))
print(len(events), hashlib.sha256(repr(events).encode()).hexdigest())
"""


def events(seed: int, hash_seed: str) -> str:
    command = [sys.executable, "-c", PROGRAM, str(seed)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def test_one_seed_one_run_in_any_process() -> None:
    first = events(1, "1")
    assert int(first.split()[0]) > 200
    assert events(1, "4711") == first
    assert events(2, "1") != first


async def shuffled() -> list[int]:
    """In the order in which tasks came to run."""
    order: list[int] = []

    async def say(number: int) -> None:
        await trio.sleep(1)
        order.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(20):
            nursery.start_soon(say, number)
    return order


def test_another_seed_tries_another_order() -> None:
    orders = [deterministic.run(shuffled, seed=seed) for seed in range(5)]
    assert [deterministic.run(shuffled, seed=seed) for seed in range(5)] == orders
    assert all(sorted(order) == list(range(20)) for order in orders)
    assert len({tuple(order) for order in orders}) > 3


def test_time_jumps_and_errors_come_out() -> None:
    async def days() -> float:
        began = trio.current_time()
        await trio.sleep(8 * 86_400)
        return trio.current_time() - began

    async def fails() -> None:
        await trio.sleep(1)
        raise KeyError("x")

    assert deterministic.run(days, seed=1) == 8 * 86_400
    with pytest.raises(KeyError):
        deterministic.run(fails, seed=1)


def test_what_it_changes_in_trio_is_there_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # Names that trio does not promise: if they go, this says so, rather than a digest that differs.
    assert scheduler._ALLOW_DETERMINISTIC_SCHEDULING in (True, False)
    monkeypatch.setattr(scheduler, "_ALLOW_DETERMINISTIC_SCHEDULING", False)
    state = scheduler._r.getstate()
    seen: list[object] = []

    async def look() -> None:
        seen.append(scheduler._ALLOW_DETERMINISTIC_SCHEDULING)

    deterministic.run(look, seed=1)
    assert seen == [True]
    assert (scheduler._r.getstate(), scheduler._ALLOW_DETERMINISTIC_SCHEDULING) == (state, False)
