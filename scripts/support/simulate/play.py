"""What one process of `scripts/simulate` does. Nothing of `waypost` is imported before a mutant is bred."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from scripts.support.simulate.mutants import breed


@dataclass(frozen=True)
class Played:
    """What came of a seed, and what to type to see it."""

    summary: dict[str, Any]
    command: str


def played(seed: int) -> Played:
    """Play the piece of that seed."""
    from waypost_lab.simulate.plan import piece  # noqa: PLC0415 - see the module
    from waypost_lab.simulate.run import simulate  # noqa: PLC0415

    result = simulate(piece(seed))
    return Played(result.summary(), result.plan.command())


def hunt(mutant: str, seeds: Iterable[int]) -> tuple[int | None, str]:
    """The first of the seeds that finds the mutant, and how; None if none does.

    What has been found once and put back is looked for in the plans that found it, first.
    """
    breed(mutant)
    from scripts.support.simulate.found import FOUND  # noqa: PLC0415 - see the module

    from waypost_lab.simulate.plan import piece  # noqa: PLC0415
    from waypost_lab.simulate.run import simulate  # noqa: PLC0415

    old = [plan for name, (plan, _) in FOUND.items() if name == mutant]
    for plan in itertools.chain(old, map(piece, seeds)):
        broken = simulate(plan).violations
        if broken:
            return plan.seed, f"{broken[0].promise}: {broken[0].text}"
    return None, ""
