"""Counts what a restructuring is judged by, for 5c0cfc9 and for now: `python tests/tidy/count.py [-v] [ROOT]`.

Now is the tree at ROOT, or the one that this file is in. With -v: what was found there, too.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

HERE = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path.insert(0, str(HERE))

from tests.tidy import delivery, measures  # noqa: E402 - it may run from anywhere
from tests.tidy.trees import Tree  # noqa: E402

BEFORE = "5c0cfc9"

Found = list[str] | int

#: What came to be in custody; the page tells once it has the table of what has gone where.
MOVED = delivery.moved(HERE / "docs" / "changing.md")

#: In the order of the table.
COUNTS: dict[str, Callable[[Tree], Found]] = {
    "delivery: files": lambda tree: [module.name for module in delivery.delivery(tree, MOVED)],
    "delivery: named types": lambda tree: [
        f"{module.name}: {name}" for module in delivery.delivery(tree, MOVED) for name in delivery.types(module)
    ],
    "import circles at run time": lambda tree: [" ⇄ ".join(circle) for circle in tree.circles],
    "attributes without a value after the constructor": lambda tree: measures.without_value(tree.product()),
    "the same in the lab": lambda tree: measures.without_value(tree.lab()),
    "dict[str, Any] in relay, protocol, storage": measures.loose_dicts,
    "sets of words listed twice": lambda tree: measures.listed_twice(tree.product()),
    "words of fate, reach, trust as bare strings": lambda tree: measures.bare_words(tree.product()),
    "class names that mean two things": lambda tree: measures.double_names(tree.product()),
    "lines: lab and scripts": lambda tree: measures.lines(tree, "node", lab=True) + measures.lines(tree, "scripts"),
    "lines: the product": lambda tree: measures.lines(tree, "node", lab=False),
    "lines: the product, code alone": lambda tree: measures.code_lines(tree.product()),
}


def number(found: Found) -> int:
    return found if isinstance(found, int) else len(found)


def count(root: Path) -> dict[str, Found]:
    """All that is counted of the tree at this root, by the names in the table."""
    tree = Tree(root)
    return {name: measure(tree) for name, measure in COUNTS.items()}


def unpack(revision: str, where: Path) -> None:
    """The sources of another revision of this repository. Raises CalledProcessError, OSError where there is none."""
    archive = ["git", "-C", str(HERE), "archive", revision, "node", "scripts"]
    packed = subprocess.run(archive, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(packed)) as files:
        files.extractall(where, filter="data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", nargs="?", type=Path, default=HERE)
    parser.add_argument("-v", "--verbose", action="store_true")
    given = parser.parse_args()
    now = count(given.root.resolve())
    with tempfile.TemporaryDirectory() as directory:
        unpack(BEFORE, Path(directory))
        before = count(Path(directory))
    width = max(map(len, COUNTS))
    sys.stdout.write(f"{'':{width}} | {BEFORE:>8} | {'now':>8} |\n")
    for name, found in now.items():
        one, other = number(before[name]), number(found)
        sys.stdout.write(f"{name:{width}} | {one:8,} | {other:8,} | {f'{other / one:.0%}' if one else ''}\n")
    if given.verbose:
        for name, found in now.items():
            if not isinstance(found, int):
                sys.stdout.write(f"\n{name}\n" + "".join(f"  {each}\n" for each in found))


if __name__ == "__main__":
    main()
