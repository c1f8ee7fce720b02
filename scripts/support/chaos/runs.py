"""The runs: kills at random moments, and an outage."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import trio
from scripts.support.nodes import Node, two_nodes

from waypost_lab.box.faults import Note
from waypost_lab.box.traffic import record
from waypost_lab.devices import Device, Sender
from waypost_lab.driver import join
from waypost_lab.tally import Tally
from waypost_lab.timeline import End, Fault, Mended, NodeState, Run

Say = Callable[[str], None]

LIMITS = "mailbox_max_envelopes = 10000000\noutbox_max_envelopes = 10000000\n"


@dataclass(frozen=True)
class Plan:
    """What is to happen. Times in seconds."""

    messages: int
    seed: int
    timeout_s: float
    kills: int = 0
    outage_s: float = 0.0
    offline: bool = False  #: the recipient comes only after the last kill


@dataclass
class Stage:
    """Two nodes, a sender on the one and a recipient on the other."""

    near: Node
    far: Node
    sender: Sender
    recipient: Device
    tally: Tally
    rng: random.Random
    note: Note
    began: float = field(default_factory=trio.current_time)
    faults: int = 0

    @property
    def now(self) -> float:
        """Seconds since the run began."""
        return trio.current_time() - self.began

    async def kill(self, node: Node) -> int:
        """Returns the fault's number, for `start`."""
        await trio.to_thread.run_sync(node.kill)
        self.faults += 1
        self.note(Fault(t=self.now, id=self.faults, name="kill", nodes=(node.name,)))
        self.note(NodeState(t=self.now, node=node.name, state="down"))
        return self.faults

    async def start(self, node: Node, fault: int) -> None:
        """The fault is over with that."""
        await trio.to_thread.run_sync(node.start)
        self.note(NodeState(t=self.now, node=node.name, state="up"))
        self.note(Mended(t=self.now, id=fault))

    async def until(self, condition: Callable[[], bool], every_s: float = 0.001) -> None:
        """Looks when something has happened, but no more often than that."""
        while not condition():
            await self.tally.changed.wait()
            await trio.sleep(every_s)

    async def settled(self, wait_s: float) -> None:
        """Until every message is accounted for, or that long."""
        with trio.move_on_after(wait_s):
            await self.until(lambda: self.tally.complete, 0.1)


@asynccontextmanager
async def _stage(near: Node, far: Node, plan: Plan, note: Note) -> AsyncIterator[Stage]:
    rng, tally = random.Random(plan.seed), Tally()
    [alice] = await trio.to_thread.run_sync(near.invite, "alice")
    [bob] = await trio.to_thread.run_sync(far.invite, "bob")
    sender_account, recipient_account = await join(alice, os.urandom(32)), await join(bob, os.urandom(32))
    sender = Sender(sender_account, recipient_account.address, tally, random.Random(rng.random()))
    recipient = Device(recipient_account, tally, random.Random(rng.random()))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(sender.run)
        nursery.start_soon(recipient.run)
        stage = Stage(near, far, sender, recipient, tally, rng, note)
        nursery.start_soon(record, tally, note, lambda: stage.now)
        yield stage
        nursery.cancel_scope.cancel()


def run(plan: Plan, where: Path, note: Note, say: Say) -> dict[str, Any]:
    """Do it; what came of it. `holds` says whether the promises were kept."""
    with two_nodes(where, LIMITS) as (near, far):

        async def main() -> dict[str, Any]:
            note(Run(title=f"chaos, seed {plan.seed}", source="chaos", nodes=(near.name, far.name), seed=plan.seed))
            async with _stage(near, far, plan, note) as stage:
                facts = await (_outage if plan.outage_s else _kills)(stage, plan, say)
                facts = {**stage.tally.facts(), **facts, "seed": plan.seed, "holds": stage.tally.holds}
                note(End(t=stage.now, result=facts))
                return facts

        return trio.run(main)


# ── kills ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _kills(stage: Stage, plan: Plan, say: Say) -> dict[str, Any]:
    started = trio.current_time()
    if plan.offline:
        stage.recipient.disconnect()
    killed = 0
    up = {stage.near.name: trio.Event(), stage.far.name: trio.Event()}
    for event in up.values():
        event.set()
    moments = sorted(stage.rng.randrange(1, plan.messages) for _ in range(plan.kills))
    with trio.move_on_after(plan.timeout_s):
        async with trio.open_nursery() as nursery:
            for moment, following in zip(moments, [*moments[1:], plan.messages], strict=True):
                # So far and no further: each kill meets messages on their way.
                stage.sender.allow(following)
                await stage.until(partial(_written, stage.tally, moment))
                node = stage.rng.choice((stage.near, stage.far))
                if not up[node.name].is_set():
                    await up[node.name].wait()
                    await trio.sleep(stage.rng.uniform(0, 0.4))
                await trio.sleep(stage.rng.choice((0.0, 0.005, 0.03, 0.2)) * stage.rng.random())
                fault = await stage.kill(node)
                killed += 1
                up[node.name] = trio.Event()
                nursery.start_soon(_restart, stage, node, fault, up[node.name])
                say(f"kill {killed:2} of {node.name}: {_progress(stage.tally)}")
    stage.sender.allow(plan.messages)
    stage.recipient.online = True
    left_s = plan.timeout_s - (trio.current_time() - started)
    if left_s > 0:
        await stage.settled(left_s)
    return {
        "kills": killed,
        "reconnects": stage.sender.connects + stage.recipient.connects - 2,
        "seconds": round(trio.current_time() - started, 1),
    }


async def _restart(stage: Stage, node: Node, fault: int, up: trio.Event) -> None:
    await trio.sleep(stage.rng.uniform(0, 0.5))
    await stage.start(node, fault)
    up.set()


def _written(tally: Tally, messages: int) -> bool:
    return len(tally.written) >= messages


def _progress(tally: Tally) -> str:
    return f"written {len(tally.written)}, accepted {len(tally.accepted)}, shown {len(tally.shown)}"


# ── outage ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _outage(stage: Stage, plan: Plan, say: Say) -> dict[str, Any]:
    started = trio.current_time()
    fault = await stage.kill(stage.far)
    stage.sender.allow(plan.messages)
    with trio.move_on_after(plan.outage_s):
        await stage.until(lambda: len(stage.tally.accepted) >= plan.messages, 0.05)
        say(f"{stage.far.name} is down; {len(stage.tally.accepted)} messages accepted meanwhile")
        await trio.sleep_forever()
    accepted_before = len(stage.tally.accepted)
    launched = trio.current_time()
    await stage.start(stage.far, fault)
    back = trio.current_time()
    say(f"{stage.far.name} is back after {back - started:.1f} s")
    await stage.settled(plan.timeout_s)
    first = stage.recipient.first_at
    return {
        "kills": 1,
        "outage_s": round(back - started, 1),
        "accepted_in_outage": accepted_before,
        "ready_s": round(back - launched, 3),
        "first_s": round(first - back, 3) if first is not None else None,
        "all_s": round(trio.current_time() - back, 3),
        "seconds": round(trio.current_time() - started, 1),
    }
