"""The account of traffic, as values."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from waypost.errors import Code
from waypost_lab.book import AppStep, Book, Letter
from waypost_lab.box.home import Home
from waypost_lab.box.traffic import account, whereabouts


def book() -> Book:
    """Four messages: delivered, bounced, on its way, never taken."""
    made = Book()
    for number in range(4):
        made.write(Letter("alice@birdy.local", "bob@finch.local", 1.0, bytes([number] * 16)))
    for letter in made.letters[:3]:
        made.step(letter, AppStep.ACCEPTED, 0, 1.0)
    made.show(made.letters[0], 1.005)
    made.step(made.letters[0], AppStep.DELIVERED, 0, 2.0)
    made.step(made.letters[1], AppStep.BOUNCED, Code.NOT_FOUND.number, 2.0)
    return made


def test_what_waits_is_not_lost() -> None:
    facts = account(book(), Counter({"waits at birdy.local": 1}))
    assert facts["good"]
    assert (facts["written"], facts["accepted"], facts["delivered"], facts["bounced"]) == (4, 3, 1, 1)
    assert (facts["waiting"], facts["lost"], facts["unsent"]) == (1, 0, 1)
    assert facts["waits"] == {"waits at birdy.local": 1}
    assert facts["bounces"] == {"not-found (300)": 1}
    assert facts["p50_ms"] == 5.0


def test_what_no_node_holds_is_lost() -> None:
    facts = account(book(), Counter({"lost": 1}))
    assert not facts["good"]
    assert (facts["waiting"], facts["lost"]) == (0, 1)


def test_what_is_shown_twice_breaks_the_promise() -> None:
    made = book()
    made.show(made.letters[0], 2.0)
    facts = account(made, Counter({"waits at birdy.local": 1}))
    assert not facts["good"]
    assert facts["duplicates"] == 1


def test_a_node_that_does_not_run_keeps_what_it_had(tmp_path: Path) -> None:
    assert whereabouts(Home(tmp_path), book()) == {"birdy.local does not run": 1}
