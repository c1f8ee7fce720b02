"""`scripts/fuzz`: every decoder, a million inputs each."""

from __future__ import annotations

import argparse
import json
import sys

from scripts.support.fuzz.run import Report, fuzz
from scripts.support.fuzz.search import search
from scripts.support.fuzz.targets import Target, targets


def main() -> int:
    """0: every decoder held; 1: one did not."""
    chosen = _arguments()
    reports, failed = [], 0
    for target in _selected(chosen.only):
        report = fuzz(target, chosen.count, chosen.seed)
        found = search(target, chosen.hypothesis, chosen.seed) if chosen.hypothesis else None
        if found is not None:
            report.failures.append(found)
        reports.append(report)
        failed += len(report.failures)
        if not chosen.json:
            _show(report)
    if chosen.json:
        json.dump(
            {"seed": chosen.seed, "failures": failed, "decoders": [each.as_json() for each in reports]}, sys.stdout
        )
        print()
    else:
        total = sum(report.inputs for report in reports)
        print(f"\n{len(reports)} decoders, {total:,} inputs, {failed} failures (seed {chosen.seed})")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Feed spoilt input to every decoder.")
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs for each decoder (1000000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs (1)")
    parser.add_argument("--only", metavar="NAME", action="append", help="decoders whose name contains this")
    parser.add_argument("--hypothesis", type=int, default=2_000, help="examples that hypothesis tries on each (2000)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="print the decoders' names")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(target.name for target in targets()))
        raise SystemExit(0)
    return chosen


def _selected(only: list[str] | None) -> list[Target]:
    every = targets()
    found = [each for each in every if not only or any(part.lower() in each.name.lower() for part in only)]
    if not found:
        raise SystemExit(f"no decoder has {' or '.join(only or ())} in its name; see --list")
    return found


def _show(report: Report) -> None:
    codes = ", ".join(f"{code} {count:,}" for code, count in report.codes.most_common(4))
    print(
        f"{report.name:24} {report.inputs:>9,} inputs {report.per_s:>8,}/s  accepted {report.accepted:>7,}"
        f"  peak {report.peak_bytes // 1024:>6,} KiB  grew {report.growth_bytes // 2**20:>3} MiB  {codes}",
        flush=True,
    )
    for failure in report.failures:
        print(f"  FAILED {failure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
