"""Messages between random users of a network, each accounted for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import trio

from waypost.daemon.ask import ask_node
from waypost.errors import Code, WaypostError, describe
from waypost.protocol.custody.fate import State
from waypost.protocol.operator import Why
from waypost_lab.box.home import Home
from waypost_lab.devices import BODY_BYTES, Device
from waypost_lab.driver import Account, percentile
from waypost_lab.tally import Tally
from waypost_lab.timeline import AnyEvent, Flow, Latency

_TICK_S: Final = 0.01
_FLOW_EVERY_S: Final = 1.0
#: Messages on their way that their nodes are asked about; beyond it they are taken to wait as these do.
_ASKED_MAX: Final = 2_000


@dataclass(frozen=True, slots=True)
class Letter:
    """A message to be written."""

    sender: Device
    to: str
    body_bytes: int


@dataclass(frozen=True)
class Crowd:
    """Users of a network, all connected as far as it lets them be."""

    devices: Sequence[Device]
    tally: Tally
    rng: random.Random

    def letter(self, rng: random.Random) -> Letter:
        """From anyone to anyone else."""
        sender, recipient = rng.sample(self.devices, 2)
        return Letter(sender, recipient.account.address, rng.choice(BODY_BYTES))

    async def write(self, rate: float, letter: Callable[[random.Random], Letter] | None = None) -> None:
        """So many messages a second, evenly, until cancelled. What a busy machine delays is caught up with."""
        letter = letter or self.letter
        begun, written = trio.current_time(), 0
        while True:
            due = int((trio.current_time() - begun) * rate)
            for _ in range(due - written):
                new = letter(self.rng)
                new.sender.post(new.to, new.body_bytes)
            written = max(written, due)
            await trio.sleep(_TICK_S)

    async def connected(self, within_s: float) -> int:
        """Wait for all to be; returns how many are, after that long."""
        with trio.move_on_after(within_s):
            while not all(device.is_connected for device in self.devices):  # noqa: ASYNC110 - many may change
                await trio.sleep(_TICK_S)
        return sum(device.is_connected for device in self.devices)

    async def settled(self, within_s: float) -> bool:
        """Wait until every message is accounted for, or that long; whether it came to that."""
        with trio.move_on_after(within_s):
            while not self.tally.complete:
                await self.tally.changed.wait()
                await trio.sleep(0.1)  # counting takes a while, and much happens
        return self.tally.complete


@asynccontextmanager
async def crowd(accounts: Sequence[Account], seed: int) -> AsyncIterator[Crowd]:
    """These users come online while the block runs."""
    rng, tally = random.Random(seed), Tally()
    devices = [Device(account, tally, random.Random(rng.random())) for account in accounts]
    async with trio.open_nursery() as nursery:
        for device in devices:
            nursery.start_soon(device.run)
        yield Crowd(devices, tally, rng)
        nursery.cancel_scope.cancel()


async def record(tally: Tally, note: Callable[[AnyEvent], None], now: Callable[[], float]) -> None:
    """Note counts and latencies in the timeline, every second, until cancelled."""
    accepted = outcomes = shown = 0
    while True:
        await trio.sleep(_FLOW_EVERY_S)
        late = tally.latencies_ms[shown:]
        bounced = Counter(code for code in list(tally.outcomes.values())[outcomes:] if code)
        expired = bounced.pop(Code.EXPIRED.number, 0)
        note(
            Flow(
                t=now(),
                every_s=_FLOW_EVERY_S,
                accepted=len(tally.accepted) - accepted,
                delivered=len(late),
                bounced=bounced.total(),
                expired=expired,
            )
        )
        accepted, outcomes, shown = len(tally.accepted), len(tally.outcomes), shown + len(late)
        if late:
            p50, p90, p99 = (percentile(late, part) for part in (0.5, 0.9, 0.99))
            spread = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max(late)}
            note(Latency(t=now(), every_s=_FLOW_EVERY_S, count=len(late), **spread))


# ── the account ─────────────────────────────────────────────────────────────────────────────────────────────────────


def whereabouts(home: Home, tally: Tally) -> Counter[str]:
    """Where those messages are that were accepted and have neither arrived nor come back, as their nodes say.

    `"lost"` counts those that no node holds any more. A node that does not run keeps what it had.
    """
    outstanding = tally.outstanding
    found = Counter(_whereabouts(home, id_, *tally.between[id_]) for id_ in outstanding[:_ASKED_MAX])
    if len(outstanding) > _ASKED_MAX:
        found["not asked about"] = len(outstanding) - _ASKED_MAX
    return found


def _whereabouts(home: Home, id_: bytes, sender: str, recipient: str) -> str:
    near, far = sender.rpartition("@")[2], recipient.rpartition("@")[2]
    for node in dict.fromkeys((near, far)):
        try:
            with ask_node(home.state(node)) as asked:
                trace = asked.ask(Why(id_.hex()))
        except WaypostError as error:
            return "lost" if error.code is Code.UNKNOWN_MESSAGE else f"{node} does not run"
        match trace.state:
            case State.ACCEPTED | State.QUEUED | State.WAITING | State.DEFERRED:
                reason = f": {describe(trace.code)}" if trace.code else ""
                return f"waits at {node}{reason}"
            case State.BOUNCED | State.EXPIRED:
                return "bounced, its sender has not heard yet"
            case State.HELD:
                continue  # the other node has it
            case _:
                return "lost"
    return "lost"


def account(tally: Tally, waiting: Counter[str]) -> dict[str, Any]:
    """For people and for JSON. `good`: no promise was broken."""
    facts = tally.facts()
    lost = waiting.pop("lost", 0)
    late = [percentile(tally.latencies_ms, part) for part in (0.5, 0.9, 0.99, 1.0)]
    broken = lost + facts["duplicates"] + facts["foreign"] + facts["wrongly_bounced"]
    return {
        "good": not broken,
        "written": len(tally.written),
        **facts,
        "lost": lost,
        "waiting": waiting.total(),
        "unsent": len(tally.written) - len(tally.accepted) - len(tally.refused),
        "waits": dict(waiting),
        "bounces": {describe(code): count for code, count in sorted(tally.reasons.items())},
        "refusals": {describe(code): count for code, count in sorted(Counter(tally.refused.values()).items())},
        "put_off_for": {describe(code): count for code, count in sorted(tally.put_off.items())},
        **{f"{name}_ms": round(value, 1) for name, value in zip(("p50", "p90", "p99", "max"), late, strict=True)},
    }
