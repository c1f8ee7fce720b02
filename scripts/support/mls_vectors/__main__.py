"""`scripts/mls-vectors`: everything in a folder, counted."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from scripts.support.mls_vectors.run import Count, run_folder


def main() -> int:
    """0: all that was run has passed; 1: something failed, or there was nothing to run."""
    parser = argparse.ArgumentParser(
        prog="scripts/mls-vectors",
        description="Run MLS test vectors in the formats of mlswg/mls-implementations "
        "(test-vectors/ and interop/passive/): every .json file in DIR, or in these two folders of it.",
    )
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    if not chosen.folder.is_dir():
        parser.error(f"{chosen.folder} is not a folder")
    total, files = Count(), {}
    for name, count in run_folder(chosen.folder):
        total.add(count)
        files[name] = count
        if not chosen.json:
            _show(name, count)
    if chosen.json:
        summary = {name: value for name, value in total.as_json().items() if name != "failures"}
        json.dump({**summary, "files": {name: count.as_json() for name, count in files.items()}}, sys.stdout)
        print()
    else:
        _show(f"{len(files)} files", total)
    return 0 if total.run and not total.failed else 1


def _show(name: str, count: Count) -> None:
    skipped = "".join(f", skipped {number} of suite {suite}" for suite, number in sorted(count.skipped.items()))
    print(f"{name}: run {count.run}, passed {count.passed}, failed {count.failed}{skipped}")
    for failure in count.failures[:5] if not name.endswith(" files") else ():
        print(f"    {failure}")


if __name__ == "__main__":
    raise SystemExit(main())
