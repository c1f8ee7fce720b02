"""Makes a failing plan smaller, as long as it breaks the same promise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from waypost_lab.simulate.plan import Plan
from waypost_lab.simulate.run import Result

_HOURS_MIN: Final = 0.25

Play = Callable[[Plan], Result]


def shrink(failed: Result, play: Play, budget_s: float) -> Result:
    """The smallest failing result found within so many seconds of real time; `failed` itself if there is none.

    A plan that takes longer than the original is not waited for: each try starts only while there is time.
    """
    promise = failed.violations[0].promise
    until = time.perf_counter() + budget_s
    smallest = failed
    found = True
    while found:
        found = False
        for plan in _smaller(smallest):
            if time.perf_counter() + smallest.wall_s > until:
                return smallest
            result = play(plan)
            if any(violation.promise == promise for violation in result.violations):
                smallest, found = result, True
                break
    return smallest


def _smaller(result: Result) -> Iterator[Plan]:
    """Plans with less in them, the most first."""
    plan = result.plan
    first_h = result.violations[0].at_s / 3_600.0
    for hours in (first_h + 0.1, plan.hours / 2):
        if _HOURS_MIN <= hours < 0.9 * plan.hours:
            yield replace(plan, hours=round(hours, 2))
    if plan.nodes > 2:
        for nodes in dict.fromkeys((max(2, plan.nodes // 2), plan.nodes - 1)):
            yield replace(plan, nodes=nodes, users=max(2, plan.users * nodes // plan.nodes))
    if plan.users > plan.nodes:
        yield replace(plan, users=max(plan.nodes, plan.users // 2))
    for kind in plan.rates():
        yield replace(plan, without=plan.without | {kind})
    if plan.messages_a_day > 4:
        yield replace(plan, messages_a_day=plan.messages_a_day / 2)
