"""docs/simulation.md names the faults and promises that there are."""

import re
from pathlib import Path

from waypost_lab.simulate.plan import STORM

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "simulation.md").read_text()
SOURCES = ROOT / "node" / "waypost_lab" / "simulate"


def rows(heading: str) -> list[list[str]]:
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_every_fault_is_there_with_how_often_it_strikes() -> None:
    told = {re.findall("`([^`]+)`", cells[0])[0]: float(cells[2]) for cells in rows("The faults")}
    assert told == {kind.value: rate for kind, rate in STORM.items()}


def test_every_promise_is_there() -> None:
    told = {name for cells in rows("The promises") for name in re.findall("`([^`]+)`", cells[0])}
    called = re.compile(r"broken\(\s*\"([^\"]+)\"")
    broken = {name for path in SOURCES.glob("*.py") for name in called.findall(path.read_text())}
    assert told == broken
