"""Figures by which the restructuring after 5c0cfc9 is judged; `python tests/tidy/count.py -v` shows what was found."""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

import pytest
from tests.tidy.count import BEFORE, COUNTS, HERE, count, number, unpack

#: Of 5c0cfc9, for a checkout without its history. What delivery was then follows from the table in docs/changing.md:
#: `client.courier` and `client.outgoing` belong to it, since the app's half of custody was there (2 files, 5 types).
RECORDED = {
    "delivery: files": 24,
    "delivery: named types": 143,
    "lines: lab and scripts": 22_241,
    "lines: the product": 24_349,
}

#: What a count may be at the most.
BOUNDS = {
    "delivery: files": RECORDED["delivery: files"] * 60 // 100,
    "delivery: named types": RECORDED["delivery: named types"] * 60 // 100,
    "import circles at run time": 0,
    "attributes without a value after the constructor": 0,
    "the same in the lab": 0,
    "dict[str, Any] in relay, protocol, storage": 0,
    "sets of words listed twice": 0,
    "words of fate, reach, trust as bare strings": 0,
    "class names that mean two things": 0,
    "lines: lab and scripts": RECORDED["lines: lab and scripts"] - 2_500,
    "lines: the product": RECORDED["lines: the product"],
}

#: What is still above its bound. An entry goes when its count has come down; none may be added.
NOT_YET = {
    "delivery: files",
    "delivery: named types",
    "lines: lab and scripts",
    "lines: the product",
}


@cache
def now() -> dict[str, int]:
    return {name: number(found) for name, found in count(HERE).items()}


def test_every_name_is_one_that_is_counted() -> None:
    assert set(BOUNDS) <= set(COUNTS)
    assert set(BOUNDS) >= NOT_YET


@pytest.mark.parametrize("name", sorted(set(BOUNDS) - NOT_YET))
def test_what_has_come_down_stays_down(name: str) -> None:
    assert now()[name] <= BOUNDS[name], f"see: python tests/tidy/count.py -v ({name})"


@pytest.mark.parametrize("name", sorted(NOT_YET))
def test_what_has_come_down_is_held_from_then_on(name: str) -> None:
    assert now()[name] > BOUNDS[name], f"it holds: take {name!r} out of NOT_YET"


def test_the_recorded_figures_are_those_of_that_commit(tmp_path: Path) -> None:
    try:
        unpack(BEFORE, tmp_path)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip(f"this checkout does not have the history back to {BEFORE}")
    found = count(tmp_path)
    assert {name: number(found[name]) for name in RECORDED} == RECORDED
