"""Several decoders fuzzed at once, each in one process."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context

from scripts.support.fuzz.run import Report, fuzz
from scripts.support.fuzz.search import search
from scripts.support.fuzz.target import Target
from scripts.support.fuzz.targets import targets


@dataclass(frozen=True)
class Run:
    """What is done to each decoder: so many inputs from that seed, so many examples of hypothesis'."""

    count: int
    seed: int
    hypothesis: int


@cache
def by_name() -> dict[str, Target]:
    """Every target."""
    return {target.name: target for target in targets()}


def reports(names: list[str], run: Run, jobs: int) -> Iterator[Report]:
    """Of each decoder, in that order, whichever process it is fuzzed in."""
    if jobs == 1:
        yield from (_fuzz(name, run) for name in names)
        return
    # Each process makes its own seeds: a target is full of functions, which do not travel.
    with ProcessPoolExecutor(jobs, get_context("spawn")) as pool:
        yield from pool.map(_fuzz, names, [run] * len(names))


def _fuzz(name: str, run: Run) -> Report:
    target = by_name()[name]
    report = fuzz(target, run.count, run.seed)
    found = search(target, run.hypothesis, run.seed) if run.hypothesis else None
    if found is not None:
        report.failures.append(found)
    return report
