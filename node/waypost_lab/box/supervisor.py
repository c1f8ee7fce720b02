"""The process that owns a lab: `python -m waypost_lab.box.supervisor DIR`. It ends when it is told to, and all with it.

While it starts it writes JSON to `--ready-fd`, a line each: `{"progress": …}`, at the end `{"ready": …}` or
`{"error": …}`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final, assert_never

import trio

from waypost.daemon import admin_socket
from waypost.errors import Code, WaypostError
from waypost.protocol.operator import Shape
from waypost_lab.box import home as homes
from waypost_lab.box.answers import Healed, LabEnds, LinkShaped, NodeDone
from waypost_lab.box.box import Box, opened
from waypost_lab.box.control import EndLab, Request, ShowLab
from waypost_lab.box.home import Home
from waypost_lab.box.plan import LabPlan, load
from waypost_lab.box.view import View
from waypost_lab.faults.words import Cut, Heal, Kill, Loss, Mend, Slow, Start, Stop
from waypost_lab.timeline import AnyEvent, End, Recorder, Run

_INTRODUCED_S: Final = 120.0
#: For the answer to whoever asked it to end.
_LAST_ANSWER_S: Final = 0.1
#: Written to `--life-fd` by whoever started the lab, before leaving it to itself.
STAY: Final = b"stay"
_DONE: Final = {"start": "runs", "stop": "is stopped", "kill": "is killed"}


class Supervisor:
    """One lab, from start to end."""

    def __init__(self, box: Box, ready_fd: int, life_fd: int) -> None:
        self._box = box
        self._view = View(box)
        self._ready_fd = ready_fd
        self._life_fd = life_fd
        self._ending = trio.Event()
        self._keep = False

    async def run(self, control: Path, background: Callable[[], Awaitable[None]] | None = None) -> bool:
        """Until told to end, by the socket `control` among others; returns whether the directory is to be kept."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._obey_signals)
            nursery.start_soon(self._mind_starter)
            nursery.start_soon(admin_socket.serve, admin_socket.listen(control), control, Request, self.answer)
            if background is not None:
                nursery.start_soon(background)
            nursery.start_soon(self._start)
            await self._ending.wait()
            await trio.sleep(_LAST_ANSWER_S)
            nursery.cancel_scope.cancel()
        return self._keep

    async def _start(self) -> None:
        try:
            await self._box.start_all(self._progress)
            missing = await self._box.introduced(_INTRODUCED_S, self._progress)
            await self._box.join_users(self._progress)
        except* (WaypostError, OSError, RuntimeError) as group:
            first: BaseException = group
            while isinstance(first, BaseExceptionGroup):
                first = first.exceptions[0]
            code = first.code if isinstance(first, WaypostError) else Code.INTERNAL
            detail = first.detail if isinstance(first, WaypostError) else str(first)
            self._tell(error={"number": code.number, "text": detail})
            self._ending.set()
        else:
            self._tell(ready={"seconds": round(self._box.now, 2), "missing": missing, "pid": os.getpid()})

    def _progress(self, text: str) -> None:
        self._tell(progress=text)

    def _tell(self, **line: Any) -> None:
        # Whoever started the lab may have gone: nobody is left to be told then.
        with suppress(BrokenPipeError):
            os.write(self._ready_fd, json.dumps(line).encode() + b"\n")

    async def _obey_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as arrived:
            async for _ in arrived:
                self._ending.set()

    async def _mind_starter(self) -> None:
        """A lab that was not left to itself goes when its starter does."""
        said = b""
        async with trio.lowlevel.FdStream(self._life_fd) as pipe:
            async for data in pipe:
                said += data
        if said != STAY:
            self._ending.set()

    # ── control ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def answer(self, request: Request) -> Shape:
        """Do what is asked. Raises WaypostError."""
        box = self._box
        match request:
            case ShowLab():
                return await self._view.look()
            case Kill(given) | Stop(given) | Start(given):
                name, action = box.find(given).name, type(request).__name__.lower()
                await box.do(request)
                return NodeDone(name, action, text=f"{name} {_DONE[action]}.")
            case Cut() | Mend() | Slow() | Loss():
                pairs = box.faults.do(request)
                text = "\n".join(f"{a} → {b}: {box.network.way(a, b).words() or 'clear'}" for a, b in pairs)
                return LinkShaped(*pairs[0], request.one_way, text=text)
            case Heal():
                healed = box.faults.heal(request)
                return Healed(tuple(healed), text="\n".join(healed) if healed else "There was nothing to heal.")
            case EndLab(keep):
                self._keep = keep
                self._ending.set()
                return LabEnds(os.getpid(), self._pids())
            case _:
                assert_never(request)

    def _pids(self) -> dict[str, int]:
        return {name: member.process.pid for name, member in self._box.members.items() if member.process.pid}


async def _supervise(home: Home, plan: LabPlan, pipes: tuple[int, int], recorder: Recorder | None) -> bool:
    """The life of a lab; returns whether its directory is to be kept. `pipes`: ready, life."""

    def note(event: AnyEvent) -> None:
        if recorder is not None:
            recorder.add(event)

    note(Run(title=plan.title, source="lab", nodes=plan.names, started_ms=_wall_ms()))
    async with opened(plan, home, note=note) as box:
        background = View(box).record if recorder is not None else None
        keep = await Supervisor(box, *pipes).run(home.control.socket, background)
    note(End(result={}))
    return keep


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def main() -> int:
    """Run a lab; returns the exit code."""
    parser = argparse.ArgumentParser(prog="waypost_lab.box.supervisor", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--ready-fd", type=int, required=True)
    parser.add_argument("--life-fd", type=int, required=True)
    parser.add_argument("--record", type=Path)
    given = parser.parse_args()
    os.umask(0o077)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:  # each link is two files here
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    home = Home(given.directory)
    with ExitStack() as stack:
        stack.enter_context(homes.hold(home))
        recorder = stack.enter_context(Recorder(given.record)) if given.record else None
        if not trio.run(_supervise, home, load(home.plan), (given.ready_fd, given.life_fd), recorder):
            homes.remove(home)
    return 0


if __name__ == "__main__":
    sys.exit(main())
