"""One judgement from beginning to end: what the operator gave, which checks that allows, and what came out."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import trio

from waypost.errors import Code, LocalError
from waypost.links.errors import LinkBroken
from waypost_lab.conformance.check import QUICK_S, Check, Need, Ruling, Verdict
from waypost_lab.conformance.checks import CHECKS
from waypost_lab.conformance.meeting import TlsGround
from waypost_lab.conformance.own_node import HOST, own_node
from waypost_lab.conformance.residents import read_invites
from waypost_lab.conformance.run import Selection, Told, ignored, judge
from waypost_lab.conformance.unobservable import UNOBSERVABLE

PATIENCE_S: Final = 150.0  #: all but what takes hours
_BACK_S: Final = 60.0  #: for a node that was started again to listen
_POLL_S: Final = 0.2


@dataclass(frozen=True)
class Wanted:
    """What the operator gives. `only`: clauses, such as `LINK-7`, or the beginnings of them; empty: all."""

    invites: tuple[str, ...] = ()
    listen: str | None = None
    restart: str | None = None  #: a command line
    patience_s: float = PATIENCE_S
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """`node`: host and port."""

    node: str
    results: Sequence[Ruling]
    seconds: float = 0.0
    counts: Counter[Verdict] = field(default_factory=Counter)

    @property
    def is_good(self) -> bool:
        return not self.counts[Verdict.FAILED]

    def as_json(self) -> dict[str, Any]:
        """One object, for programs."""
        return {
            "node": self.node,
            "seconds": round(self.seconds, 1),
            **{verdict.value: self.counts[verdict] for verdict in Verdict},
            "checks": [
                {
                    "clauses": list(result.check.clauses),
                    "expectation": result.check.expectation,
                    "result": result.verdict.value,
                    "reason": result.reason,
                    "seconds": round(result.seconds, 2),
                }
                for result in self.results
            ],
            "unobservable": [{"clause": each.clause, "reason": each.reason} for each in UNOBSERVABLE],
        }


async def judge_node(host: str, port: int, wanted: Wanted, told: Told = ignored) -> Judgement:
    """Judge the node at that address. Raises LocalError, LinkBroken."""
    command = shlex.split(wanted.restart) if wanted.restart else None
    restart = _by_command(host, port, command) if command else None
    return await _judge(TlsGround(host, port, wanted.listen, restart), wanted, told)


async def judge_own(directory: Path, wanted: Wanted, told: Told = ignored) -> Judgement:
    """Start one of our own nodes with its state there, judge it, and stop it."""
    async with own_node(directory) as node:
        ground = TlsGround(HOST, node.port, HOST, node.restart)
        invited = Wanted(tuple(await node.invites()), HOST, None, wanted.patience_s, wanted.only)
        return await _judge(ground, invited, told)


async def _judge(ground: TlsGround, wanted: Wanted, told: Told) -> Judgement:
    guests = read_invites(list(wanted.invites))
    met = {Need.TLS}
    if guests is not None:
        met |= {Need.PEOPLE} | ({Need.SPARE} if guests.spare else set())
    if ground.can_listen:
        met.add(Need.LISTEN)
    if ground.can_restart:
        met.add(Need.RESTART)
    began = trio.current_time()
    plan = Selection(chosen(wanted.only), wanted.patience_s, frozenset(met))
    results = await judge(ground, guests, plan, told)
    counts = Counter(result.verdict for result in results)
    host, port = ground.address
    return Judgement(f"{host} port {port}", results, trio.current_time() - began, counts)


def chosen(only: Sequence[str]) -> list[Check]:
    """The checks of these clauses. Raises LocalError(BAD_REQUEST) for one that has none."""
    wanted = [each.strip("[] ").upper() for each in only]
    for each in wanted:
        if not any(_is_of(clause, each) for check in CHECKS for clause in check.clauses):
            why = next((f": {one.reason}" for one in UNOBSERVABLE if one.clause == each), "")
            raise LocalError(Code.BAD_REQUEST, f"no check is of clause {each}{why}")
    return [
        check
        for check in CHECKS
        if not wanted or any(_is_of(clause, each) for clause in check.clauses for each in wanted)
    ]


def _is_of(clause: str, wanted: str) -> bool:
    """`LINK` means all of LINK-1, LINK-2 …; `LINK-1` means that one."""
    return clause == wanted or clause.partition("-")[0] == wanted


def patience(quick: bool, given_s: float | None) -> float:  # noqa: FBT001 - a flag of the command line
    """How long a check may take at the most."""
    if given_s is not None:
        return given_s
    return QUICK_S if quick else PATIENCE_S


def _by_command(host: str, port: int, command: Sequence[str]) -> Callable[[], Awaitable[int]]:
    async def restart() -> int:
        done = await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False)
        if done.returncode:
            raise LocalError(Code.NOT_RUNNING, f"{shlex.join(command)} has failed: {done.stderr.decode()[-200:]}")
        ground = TlsGround(host, port)
        with trio.move_on_after(_BACK_S):
            while True:
                try:
                    await (await ground.dial()).aclose()
                except LinkBroken:
                    await trio.sleep(_POLL_S)
                else:
                    return port
        raise LocalError(Code.NOT_RUNNING, f"nothing listens at {host} port {port} after the restart")

    return restart
