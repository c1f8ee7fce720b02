"""A check that cannot fail proves nothing: each broken node is found by the checks that are there for it.

That a whole node passes them all is in test_own.py.
"""

from __future__ import annotations

import pytest
import trio.testing
from tests.lab.conformance.ground import judged, named
from tests.lab.conformance.mutants import MUTANTS

from waypost_lab.conformance.check import Verdict


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_broken_node_is_found(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    break_it, checks = MUTANTS[name]
    break_it(monkeypatch)
    results = await judged(named(*checks))
    assert [result.check.expectation for result in results if result.verdict is not Verdict.FAILED] == []
