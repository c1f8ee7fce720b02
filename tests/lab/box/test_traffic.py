"""The account of traffic, as values."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from waypost.errors import Code
from waypost_lab.box.home import Home
from waypost_lab.box.traffic import account, whereabouts
from waypost_lab.tally import Tally


def tally() -> Tally:
    """Four messages: delivered, bounced, on its way, never taken."""
    made = Tally()
    for number in range(4):
        id_ = bytes([number])
        made.written[id_] = id_
        made.between[id_] = ("alice@birdy.local", "bob@finch.local")
    made.accepted |= {b"\0", b"\1", b"\2"}
    made.shown[b"\0"] += 1
    made.latencies_ms.append(5.0)
    made.outcomes = {b"\0": 0, b"\1": Code.NOT_FOUND.number}
    return made


def test_what_waits_is_not_lost() -> None:
    facts = account(tally(), Counter({"waits at birdy.local": 1}))
    assert facts["good"]
    assert (facts["written"], facts["accepted"], facts["delivered"], facts["bounced"]) == (4, 3, 1, 1)
    assert (facts["waiting"], facts["lost"], facts["unsent"]) == (1, 0, 1)
    assert facts["waits"] == {"waits at birdy.local": 1}
    assert facts["bounces"] == {"not-found (300)": 1}
    assert facts["p50_ms"] == 5.0


def test_what_no_node_holds_is_lost() -> None:
    facts = account(tally(), Counter({"lost": 1}))
    assert not facts["good"]
    assert (facts["waiting"], facts["lost"]) == (0, 1)


def test_what_is_shown_twice_breaks_the_promise() -> None:
    made = tally()
    made.shown[b"\0"] += 1
    facts = account(made, Counter({"waits at birdy.local": 1}))
    assert not facts["good"]
    assert facts["duplicates"] == 1


def test_a_node_that_does_not_run_keeps_what_it_had(tmp_path: Path) -> None:
    assert whereabouts(Home(tmp_path), tally()) == {"birdy.local does not run": 1}
