"""Every rule has its fault, every fault its rule and the tests that see it."""

import ast
from pathlib import Path

import pytest
from tests.mls.clauses import CLAUSES
from tests.mls.world import SEEN

from waypost.mls.base.errors import MlsFault

HERE = Path(__file__).parent


def test_each_rule_has_faults_or_a_reason() -> None:
    assert [clause for clause in CLAUSES if bool(clause.faults) == bool(clause.reason)] == []
    rules = [(clause.section, clause.rule) for clause in CLAUSES]
    assert len(set(rules)) == len(rules)


def test_each_fault_answers_a_rule() -> None:
    answered = {fault for clause in CLAUSES for fault in clause.faults}
    assert set(MlsFault) - answered == set()


def test_each_fault_cites_a_section_that_is_in_the_table() -> None:
    sections = {f"§{clause.section}" for clause in CLAUSES} | {"–"}
    assert {fault.clause for fault in MlsFault} - sections == set()


def test_each_fault_is_named_by_a_test() -> None:
    named = {
        node.attr
        for path in HERE.rglob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "MlsFault"
    }
    assert {fault.name for fault in MlsFault} - named == set()


def test_every_fault_has_been_seen(request: pytest.FixtureRequest) -> None:
    """By now the other tests of this folder have run: each fault has really come out of the library in one of them."""
    modules = {Path(item.path) for item in request.session.items}
    missing = set(HERE.rglob("test_*.py")) - modules
    if missing or request.config.getoption("keyword") or request.session.testsfailed:
        pytest.skip("needs a run of all tests of this folder")
    unseen = [fault.name for fault in MlsFault if not SEEN[fault]]
    assert unseen == []
    few = min(len(tests) for tests in SEEN.values())
    print(f"{len(SEEN)} faults, each seen by {few} tests or more, {sum(map(len, SEEN.values()))} in all")  # noqa: T201
