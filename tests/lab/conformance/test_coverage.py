"""Every clause of docs/protocol that says MUST has a check, or stands in the table of those that can have none."""

from __future__ import annotations

import re

import pytest
from tests.docs.pages import PAGES, ROOT, text_of

from waypost_lab.conformance.checks import CHECKS
from waypost_lab.conformance.unobservable import UNOBSERVABLE

RULE = re.compile(r"\*\*\[((?:WIRE|LINK|CUST|DIR)-\d+)\]\*\*")
#: How many clauses may do without a check. It may fall.
UNOBSERVABLE_MAX = 36
#: And how many of those may be held by no test at all. It may fall.
UNTESTED_MAX = 1


def clauses() -> dict[str, str]:
    """Each rule of the documents with its text, tables and lists inside it included."""
    found = {}
    for page in PAGES:
        for paragraph in re.split(r"\n(?=- |\n(?! ))", text_of(page)):
            if match := RULE.search(paragraph):
                found[match[1]] = paragraph
    return found


MUST = {clause for clause, text in clauses().items() if "MUST" in text}
CHECKED = {clause for check in CHECKS for clause in check.clauses}
EXCEPTED = {each.clause for each in UNOBSERVABLE}


def test_the_documents_are_read() -> None:
    assert len(MUST) > 100
    assert len(clauses()) > len(MUST)


def test_every_clause_that_says_must_is_accounted_for_once() -> None:
    assert set() == MUST - CHECKED - EXCEPTED, "write a check, or say in unobservable.py why there can be none"
    assert set() == CHECKED & EXCEPTED, "a clause that has a check is observable"


def test_checks_and_exceptions_name_clauses_that_exist() -> None:
    assert CHECKED - set(clauses()) == set()
    assert set() == EXCEPTED - MUST, "only what says MUST needs a reason"


def test_the_exceptions_do_not_grow() -> None:
    assert len(EXCEPTED) == len(UNOBSERVABLE) <= UNOBSERVABLE_MAX


@pytest.mark.parametrize("tested", sorted({each.tested for each in UNOBSERVABLE if each.tested}))
def test_an_exception_is_tested_where_it_says(tested: str) -> None:
    assert (ROOT / tested).is_file()


def test_few_exceptions_are_held_by_no_test() -> None:
    assert len([each for each in UNOBSERVABLE if not each.tested]) <= UNTESTED_MAX


def test_each_check_can_be_told_from_the_others() -> None:
    told = [(check.clauses, check.expectation) for check in CHECKS]
    assert len(set(told)) == len(told)
    assert all(check.clauses and check.expectation and check.takes_s > 0 for check in CHECKS)
