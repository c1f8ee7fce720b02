"""The runs with two nodes: kills at random moments, and an outage. A user of the one writes to a user of the other."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio

from waypost_lab.box import home as homes
from waypost_lab.box.box import Box, opened
from waypost_lab.box.home import Home
from waypost_lab.box.plan import LabPlan, PlannedNode
from waypost_lab.box.traffic import Crowd, Sender, crowd
from waypost_lab.faults.noted import Note
from waypost_lab.timeline import End, Run

Say = Callable[[str], None]

NEAR, FAR = "birdy.local", "finch.local"
LIMITS = (
    "[limits]\naccount_rate_per_s = 0\npeer_rate_per_s = 0\n"
    "mailbox_max_envelopes = 10000000\noutbox_max_envelopes = 10000000\n"
)
_INTRODUCED_S = 60.0


@dataclass(frozen=True)
class Plan:
    """What is to happen. Times in seconds."""

    messages: int
    seed: int
    timeout_s: float
    kills: int = 0
    outage_s: float = 0.0
    offline: bool = False  #: the recipient comes only after the last kill


@dataclass(frozen=True)
class Stage:
    """Two nodes, a sender on the one and a recipient on the other."""

    box: Box
    people: Crowd
    sender: Sender
    rng: random.Random

    async def down(self, node: str, up_again: Callable[[], Any]) -> None:
        """Killed, until that has come about; then it runs again."""
        number = self.box.faults.begin("kill", [node])
        await self.box.kill(node)
        await up_again()
        await self.box.start(node)
        self.box.faults.over(number)


@asynccontextmanager
async def opened_with(lab: LabPlan, home: Home, seed: int, note: Note) -> AsyncIterator[Box]:
    """All nodes of a box, linked, and their users joined."""
    note(Run(title=lab.title, source="chaos", nodes=lab.names, seed=seed))
    async with opened(lab, home, random.Random(seed).getrandbits(32), note) as box:
        await box.start_all()
        await box.introduced(_INTRODUCED_S)
        await box.join_users()
        yield box


def run(plan: Plan, where: Path, note: Note, say: Say) -> dict[str, Any]:
    """Do it; what came of it. `holds` says whether the promises were kept."""
    lab = LabPlan(
        f"chaos, seed {plan.seed}", (PlannedNode(NEAR, ("alice",), LIMITS), PlannedNode(FAR, ("bob",), LIMITS))
    )
    home = Home(where / "lab")
    homes.make(home, "# chaos\n")
    return trio.run(_main, plan, lab, home, note, say)


async def _main(plan: Plan, lab: LabPlan, home: Home, note: Note, say: Say) -> dict[str, Any]:
    rng = random.Random(plan.seed)
    away = ("bob",) if plan.offline else ()
    async with opened_with(lab, home, plan.seed, note) as box, crowd(box.accounts, plan.seed, away) as people:
        alice, bob = people.apps
        stage = Stage(box, people, Sender(alice, bob.address, random.Random(rng.random())), rng)
        people.nursery.start_soon(stage.sender.run)
        people.nursery.start_soon(people.record, note, lambda: box.now)
        started = trio.current_time()
        facts = await (_outage if plan.outage_s else _kills)(stage, plan, say)
        seconds = round(trio.current_time() - started, 1)
        book = people.book
        facts = {**book.facts(), **facts, "seconds": seconds, "seed": plan.seed, "holds": book.holds}
        note(End(t=box.now, result=facts))
        people.nursery.cancel_scope.cancel()
    return facts


async def _kills(stage: Stage, plan: Plan, say: Say) -> dict[str, Any]:
    started, rng, people = trio.current_time(), stage.rng, stage.people
    killed = 0
    up = {name: trio.Lock() for name in (NEAR, FAR)}
    moments = sorted(rng.randrange(1, plan.messages) for _ in range(plan.kills))

    async def kill(node: str, task_status: trio.TaskStatus[None]) -> None:
        async with up[node]:
            await stage.down(node, partial(_moment, task_status, rng.uniform(0, 0.5)))

    with trio.move_on_after(plan.timeout_s):
        async with trio.open_nursery() as nursery:
            for moment, following in zip(moments, [*moments[1:], plan.messages], strict=True):
                # So far and no further: each kill meets messages on their way.
                stage.sender.allow(following)
                await people.until(lambda moment=moment: len(people.book.letters) >= moment)  # type: ignore[misc]
                node = rng.choice((NEAR, FAR))
                if up[node].locked():
                    async with up[node]:
                        pass
                    await trio.sleep(rng.uniform(0, 0.4))
                await trio.sleep(rng.choice((0.0, 0.005, 0.03, 0.2)) * rng.random())
                await nursery.start(kill, node)
                killed += 1
                say(f"kill {killed:2} of {node}: {people.progress}")
    stage.sender.allow(plan.messages)
    people.wake()
    await people.settled(max(0.0, plan.timeout_s - (trio.current_time() - started)))
    return {"kills": killed, "reconnects": sum(app.connects - 1 for app in people.apps)}


async def _moment(task_status: trio.TaskStatus[None], seconds: float) -> None:
    """It is down now, and stays so for a while."""
    task_status.started()
    await trio.sleep(seconds)


async def _outage(stage: Stage, plan: Plan, say: Say) -> dict[str, Any]:
    started, book, sender = trio.current_time(), stage.people.book, stage.sender
    accepted: list[int] = []
    launched: list[float] = []

    async def meanwhile() -> None:
        sender.allow(plan.messages)
        with trio.move_on_after(plan.outage_s):
            await stage.people.until(lambda: len(book.accepted) >= plan.messages, 0.05)
            say(f"{FAR} is down; {len(book.accepted)} messages accepted meanwhile")
            await trio.sleep_forever()
        accepted.append(len(book.accepted))
        launched.append(trio.current_time())

    await stage.down(FAR, meanwhile)
    back = trio.current_time()
    say(f"{FAR} is back after {back - started:.1f} s")
    await stage.people.settled(plan.timeout_s)
    first = min((letter.shown_at for letter in book.letters if letter.shown_at is not None), default=None)
    return {
        "kills": 1,
        "outage_s": round(back - started, 1),
        "accepted_in_outage": accepted[0],
        "ready_s": round(back - launched[0], 3),
        "first_s": round(first - back, 3) if first is not None else None,
        "all_s": round(trio.current_time() - back, 3),
    }
