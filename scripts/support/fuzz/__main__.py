"""`scripts/fuzz`: every decoder, a million inputs each."""

from __future__ import annotations

import argparse
import json
import sys

from scripts.support.fuzz.jobs import Run, by_name, reports
from scripts.support.fuzz.run import Report
from scripts.support.fuzz.target import Target


def main() -> int:
    """0: every decoder held; 1: one did not."""
    chosen = _arguments()
    done, failed = [], 0
    names = [target.name for target in _selected(chosen.only)]
    for report in reports(names, Run(chosen.count, chosen.seed, chosen.hypothesis), chosen.jobs):
        done.append(report)
        failed += len(report.failures)
        if not chosen.json:
            _show(report)
    if chosen.json:
        json.dump({"seed": chosen.seed, "failures": failed, "decoders": [each.as_json() for each in done]}, sys.stdout)
        print()
    else:
        total = sum(report.inputs for report in done)
        print(f"\n{len(done)} decoders, {total:,} inputs, {failed} failures (seed {chosen.seed})")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description="Feed spoilt input to every decoder.")
    parser.add_argument("--count", type=int, default=1_000_000, help="inputs for each decoder (1000000)")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same inputs (1)")
    parser.add_argument("--only", metavar="NAME", action="append", help="decoders whose name contains this")
    parser.add_argument("--hypothesis", type=int, default=2_000, help="examples that hypothesis tries on each (2000)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--list", action="store_true", help="print the decoders' names")
    chosen = parser.parse_args()
    if chosen.list:
        print("\n".join(by_name()))
        raise SystemExit(0)
    return chosen


def _selected(only: list[str] | None) -> list[Target]:
    every = by_name().values()
    found = [each for each in every if not only or any(part.lower() in each.name.lower() for part in only)]
    if not found:
        raise SystemExit(f"no decoder has {' or '.join(only or ())} in its name; see --list")
    return found


def _show(report: Report) -> None:
    codes = ", ".join(f"{code} {count:,}" for code, count in report.codes.most_common(4))
    print(
        f"{report.name:24} {report.inputs:>9,} inputs {report.per_s:>8,}/s  accepted {report.accepted:>7,}"
        f"{f'  unchanged {report.unchanged:,}' if report.unchanged else ''}"
        f"  peak {report.peak_bytes // 1024:>6,} KiB  grew {report.growth_bytes // 2**20:>3} MiB  {codes}",
        flush=True,
    )
    for failure in report.failures:
        print(f"  FAILED {failure}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
