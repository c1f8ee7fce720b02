"""`scripts/simulate`: many seeds, on all cores; and mutants, each of which must be found."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

from scripts.support.simulate.mutants import MUTANTS
from scripts.support.simulate.play import Played, hunt, played


def main() -> int:
    """0: no seed breaks a promise, or every mutant was found; 1: not so."""
    options = _arguments()
    seeds = range(options.first, options.first + options.seeds)
    facts = _mutants(seeds, options) if options.mutants else _seeds(seeds, options)
    if options.json:
        print(json.dumps(facts))
    return 0 if facts["holds"] else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate",
        description="Simulate small networks in a storm from many seeds; each takes some seconds.",
    )
    parser.add_argument("--seeds", type=int, default=20, help="so many; with --mutants, at most (20)")
    parser.add_argument("--first", type=int, default=1, help="the first seed (1)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once (as many as there are cores)")
    parser.add_argument(
        "--mutants", action="store_true", help="take promises out of the relay, one at a time: each must be found"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args()
    if options.seeds < 1 or options.jobs < 1:
        parser.error("at least one seed and one job")
    return options


def _pool(jobs: int) -> ProcessPoolExecutor:
    # A fresh process for each task: a mutant must not meet modules that are imported already.
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), max_tasks_per_child=1)


def _done(futures: dict[Future[Any], Any]) -> Iterator[tuple[Any, Any]]:
    for future in as_completed(futures):
        yield futures[future], future.result()


def _seeds(seeds: range, options: argparse.Namespace) -> dict[str, Any]:
    begun = time.perf_counter()
    broken: list[Played] = []
    totals = dict.fromkeys(("events", "accepted", "delivered", "bounced", "expired", "lost", "duplicates"), 0)
    with _pool(options.jobs) as pool:
        futures = {pool.submit(played, seed): seed for seed in seeds}
        for seed, result in _done(futures):
            for name in totals:
                totals[name] += result.summary[name]
            if result.summary["violations"]:
                broken.append(result)
                _say(options, f"seed {seed}: {result.summary['broken'][0]}\n  {result.command}")
            else:
                _say(options, f"seed {seed}: {result.summary['accepted']} accepted, all accounted for")
    facts = {
        "seeds": len(seeds),
        **totals,
        "violations": sum(each.summary["violations"] for each in broken),
        "broken_seeds": sorted(each.summary["seed"] for each in broken),
        "wall_s": round(time.perf_counter() - begun, 1),
        "holds": not broken,
    }
    _say(options, "".join(f"\n{name:14} {value}" for name, value in facts.items()))
    return facts


def _mutants(seeds: range, options: argparse.Namespace) -> dict[str, Any]:
    found = {}
    with _pool(options.jobs) as pool:
        futures = {pool.submit(hunt, mutant.name, seeds): mutant for mutant in MUTANTS}
        for mutant, (seed, violation) in _done(futures):
            found[mutant.name] = {"seed": seed, "violation": violation}
            what = f"found by seed {seed}: {violation}" if seed is not None else "NOT FOUND"
            _say(options, f"{mutant.name} ({mutant.without}): {what}")
    return {"mutants": found, "holds": all(each["seed"] is not None for each in found.values())}


def _say(options: argparse.Namespace, text: str) -> None:
    print(text, file=sys.stderr if options.json else sys.stdout, flush=True)


if __name__ == "__main__":
    sys.exit(main())
