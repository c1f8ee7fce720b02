"""Runs checks: each by itself, most of them at once, all within a bounded time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import trio

from waypost.errors import Code, LocalError, PeerFault, WaypostError
from waypost.links.errors import LinkBroken
from waypost_lab.conformance.bench import CheckTime, Site, opened_bench
from waypost_lab.conformance.check import Check, Failed, Need, Phase, Ruling, Skipped, Verdict
from waypost_lab.conformance.meeting import Ground
from waypost_lab.conformance.residents import Guests

AT_ONCE = 48  #: checks, most of which wait: a small node shall not be judged by its load
GRACE_S = 30.0  #: beyond what a check says that it takes

Told = Callable[[Ruling], None]


@dataclass(frozen=True)
class Selection:
    """`patience_s`: checks that may take longer are left out."""

    checks: Sequence[Check]
    patience_s: float
    needs_met: frozenset[Need]


def ignored(_result: Ruling) -> None:
    """For whoever waits for the whole."""


async def judge(ground: Ground, guests: Guests | None, plan: Selection, told: Told = ignored) -> list[Ruling]:
    """All results, in the order of the plan. Raises LocalError where the node cannot be judged at all."""
    site = Site(ground, plan.needs_met)
    await _meet(site, guests)
    results: dict[int, Ruling] = {}

    async def one(number: int, check: Check) -> None:
        result = results[number] = _left_out(check, plan) or await _run(site, check)
        told(result)

    for stage in Phase:
        numbered = [(number, check) for number, check in enumerate(plan.checks) if check.stage is stage]
        # The longest first: the others pass the time.
        numbered.sort(key=lambda each: -each[1].takes_s)
        limit = trio.CapacityLimiter(AT_ONCE if stage is Phase.TOGETHER else 1)
        async with trio.open_nursery() as nursery:
            for number, check in numbered:
                nursery.start_soon(_limited, limit, one, number, check)
    return [results[number] for number in sorted(results)]


async def _limited(limit: trio.CapacityLimiter, one: Callable[..., object], number: int, check: Check) -> None:
    async with limit:
        await one(number, check)  # type: ignore[misc] # a coroutine function; the alias says less


async def _meet(site: Site, guests: Guests | None) -> None:
    found: list[BaseException] = []
    try:
        await site.meet(guests)
    except* (Failed, WaypostError) as group:
        found.append(_leaf(group))
    for error in found:
        if isinstance(error, LocalError | LinkBroken):
            raise error
        detail = "the node cannot be judged: it must let strangers in (policy open), and keep a link with them"
        raise LocalError(Code.UNREACHABLE, f"{detail}; {error}")


def _left_out(check: Check, plan: Selection) -> Ruling | None:
    missing = sorted(need.value for need in check.needs - plan.needs_met)
    if missing:
        return Ruling(check, Verdict.SKIPPED, f"needs {' and '.join(missing)}")
    if check.takes_s > plan.patience_s:
        return Ruling(check, Verdict.SKIPPED, f"may take {check.takes_s:,.0f} s; see --patience")
    return None


async def _run(site: Site, check: Check) -> Ruling:
    began = trio.current_time()
    verdict, reason = Verdict.PASSED, ""
    with trio.CancelScope(deadline=began + check.takes_s + GRACE_S) as scope:
        time = CheckTime(scope)
        try:
            await _isolated(site, time, check)
        except* Skipped as group:
            verdict, reason = Verdict.SKIPPED, str(_leaf(group))
        except* (Failed, WaypostError, OSError) as group:
            verdict, reason = Verdict.FAILED, _words(_leaf(group))
        except* Exception as group:  # noqa: BLE001 # reason: whatever a node made a check do, the others go on
            verdict, reason = Verdict.FAILED, f"the check itself came to grief: {_leaf(group)!r}"
    took_s = trio.current_time() - began - time.waited_s
    if scope.cancelled_caught:
        verdict, reason = Verdict.FAILED, f"not done after {took_s:.0f} s"
    return Ruling(check, verdict, reason, took_s)


async def _isolated(site: Site, time: CheckTime, check: Check) -> None:
    async with opened_bench(site, time) as bench:
        await check.run(bench)


def _leaf(error: BaseException) -> BaseException:
    """The first error that is no group."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _words(error: BaseException) -> str:
    if isinstance(error, PeerFault):
        return f"the node sent what does not decode or verify: {error}"
    return str(error)
