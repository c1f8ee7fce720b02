"""What a check is, and how it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from functools import wraps
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from waypost_lab.conformance.bench import Bench
    from waypost_lab.conformance.peer import Party
    from waypost_lab.conformance.residents import Resident

QUICK_S = 20.0  #: a check that may take no longer belongs to the quick ones


class Need(Enum):
    """What the operator of the node has to give for a check. The value says what is missing."""

    PEOPLE = "invites for two users (--invite, twice)"
    SPARE = "a further invite for the first user (--invite, a third time)"
    LISTEN = "an address at which the node can dial the checker (--listen)"
    TLS = "a real link: TLS is not there on this one"
    RESTART = "a command that kills the node and starts it again (--restart)"


class Phase(Enum):
    """When a check runs."""

    TOGETHER = "together"  #: with all others
    ALONE = "alone"  #: after them, since it floods or kills the node
    LAST = "last"  #: after all, since it judges what was seen meanwhile


class Verdict(Enum):
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class Failed(Exception):
    """The node does not do what the clause says. The text says what it did instead."""


class Skipped(Exception):
    """The check found that it cannot judge this node; the text says why."""


Run = Callable[["Bench"], Awaitable[None]]
WithPeople = Callable[["Bench", "Party", "Party"], Awaitable[None]]
WithPersons = Callable[["Bench", "Resident", "Resident"], Awaitable[None]]


@dataclass(frozen=True)
class Check:
    """`clauses` as in the documents, without brackets; `takes_s`: at the most, if the node is right."""

    clauses: tuple[str, ...]
    expectation: str
    run: Run
    needs: frozenset[Need] = frozenset()
    takes_s: float = 15.0
    stage: Phase = Phase.TOGETHER

    @property
    def name(self) -> str:
        """Of the function that runs it, for tests."""
        return getattr(self.run, "__name__", "")


@dataclass(frozen=True)
class Ruling:
    check: Check
    verdict: Verdict
    reason: str = ""
    seconds: float = 0.0


class Area:
    """The checks of one part of the documents, in the order in which they are written."""

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def check(
        self, clauses: str, expects: str, *needs: Need, takes_s: float = 15.0, stage: Phase = Phase.TOGETHER
    ) -> Callable[[Run], Run]:
        """Registers a function as the check of these clauses, which stand with a space between two."""

        def register(run: Run) -> Run:
            self.checks.append(Check(tuple(clauses.split()), expects, run, frozenset(needs), takes_s, stage))
            return run

        return register

    def people(self, clauses: str, expects: str, *needs: Need, **more: Any) -> Callable[[WithPeople], WithPeople]:
        """The same for one that is given alice's and bob's devices, connected."""
        return self._with("people", clauses, expects, *needs, **more)

    def persons(self, clauses: str, expects: str, *needs: Need, **more: Any) -> Callable[[WithPersons], WithPersons]:
        """The same for one that is given the users, none of them connected yet."""
        return self._with("persons", clauses, expects, *needs, **more)

    def _with(self, whom: str, clauses: str, expects: str, *needs: Need, **more: Any) -> Callable[[Any], Any]:
        def register(judge: Any) -> Any:
            @wraps(judge)
            async def run(bench: Bench) -> None:
                async with getattr(bench, whom)() as (alice, bob):
                    await judge(bench, alice, bob)

            self.check(clauses, expects, Need.PEOPLE, *needs, **more)(run)
            return judge

        return register


def fail(text: str) -> NoReturn:
    raise Failed(text)


def require(condition: object, text: str) -> None:
    """Raise Failed unless it holds."""
    if not condition:
        raise Failed(text)
