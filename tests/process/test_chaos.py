"""Real nodes, killed while they work. The whole of it: scripts/chaos --kills 20 --messages 20000."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from waypost_lab.app import App
from waypost_lab.book import AppStep, Book, Letter
from waypost_lab.clock import LabClock
from waypost_lab.fabric import Fabric
from waypost_lab.profile import new_profile
from waypost_lab.timeline import End, Run, read

# Whole runs, which have limits of their own.
pytestmark = pytest.mark.timeout(240)

ROOT = Path(__file__).resolve().parents[2]


def chaos(*options: str) -> dict[str, Any]:
    command = [str(ROOT / "scripts" / "chaos"), "--json", "--timeout", "60", *options]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    facts: dict[str, Any] = json.loads(ran.stdout)
    return facts


def test_killed_nodes_lose_nothing_and_show_nothing_twice() -> None:
    facts = chaos("--kills", "2", "--messages", "500", "--seed", "4")
    assert (facts["accepted"], facts["delivered"], facts["reported"]) == (500, 500, 500)
    assert (facts["lost"], facts["duplicates"], facts["bounced"]) == (0, 0, 0)
    assert (facts["kills"], facts["seed"]) == (2, 4)


def test_what_waits_for_a_recipient_survives_kills() -> None:
    facts = chaos("--kills", "2", "--messages", "500", "--seed", "5", "--offline")
    assert (facts["delivered"], facts["lost"], facts["duplicates"]) == (500, 0, 0)


def test_mail_leaves_at_once_when_the_other_node_returns() -> None:
    facts = chaos("--outage", "2", "--messages", "500")
    assert (facts["delivered"], facts["lost"], facts["duplicates"]) == (500, 0, 0)
    assert facts["accepted_in_outage"] == 500
    assert facts["first_s"] < 3


def test_a_storm_over_a_network_breaks_no_promise(tmp_path: Path) -> None:
    timeline = tmp_path / "storm.jsonl"
    options = ("--nodes", "3", "--for", "9", "--seed", "2", "--retry", "--disk", "quota", "--record", str(timeline))
    facts = chaos(*options)
    assert facts["holds"]
    assert facts["accepted"] == facts["delivered"] + facts["bounced"] > 200
    assert (facts["lost"], facts["duplicates"], facts["waiting"], facts["died"]) == (0, 0, 0, 0)
    # What was for nobody has come back, and nothing else.
    assert facts["bounced"] > 0
    assert set(facts["bounces"]) == {"not-found (300)"}
    assert {"cut", "cut one way", "disk full", "kill", "stop"} <= set(facts["faults"])
    run, *_, end = read(timeline)
    assert isinstance(run, Run)
    assert isinstance(end, End)
    assert end.result["accepted"] == facts["accepted"]


# ── the counting ────────────────────────────────────────────────────────────────────────────────────────────────────


def book() -> Book:
    """Three messages, accepted, shown and reported."""
    made = Book()
    for number in range(3):
        letter = made.write(Letter("alice@birdy.local", "bob@finch.local", 0.0, bytes([number] * 16)))
        made.step(letter, AppStep.ACCEPTED, 0, 1.0)
        made.show(letter, 2.0)
        made.step(letter, AppStep.DELIVERED, 0, 3.0)
    return made


def test_a_good_run_holds() -> None:
    assert book().holds
    assert book().complete
    assert book().delivered == 3


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("lost", "lost"),
        ("twice", "duplicates"),
        ("silent", "unreported"),
        ("altered", "foreign"),
        ("both", "wrongly_bounced"),
        ("both, late", "wrongly_bounced"),
    ],
)
async def test_each_fault_is_counted(fault: str, count: str) -> None:
    made = book()
    letter = made.letters[0]
    bob = App(new_profile(letter.recipient), Fabric(Random(1)).network("bob"), LabClock(), Random(1))
    match fault:
        case "lost":
            letter.shown = 0
        case "twice":
            made.show(letter, 4.0)
        case "silent":
            letter.fate = None
        case "altered":
            made.told(bob, AppStep.SHOWN, b"?" * 16, "", 0)
        case "both":
            made.step(letter, AppStep.BOUNCED, 300, 4.0)
        case "both, late":
            made.step(letter, AppStep.DENIED, 300, 4.0)
        case _:
            raise AssertionError(fault)
    assert getattr(made, count) == 1
    assert not made.holds


def test_bounced_is_not_lost() -> None:
    made = book()
    made.letters[0].shown = 0
    made.step(made.letters[0], AppStep.BOUNCED, 301, 4.0)
    assert (made.bounced, made.lost) == (1, 0)
    assert made.holds


def test_what_was_never_accepted_cannot_be_lost() -> None:
    waiting, refused = book(), book()
    for made in (waiting, refused):
        made.write(Letter("alice@birdy.local", "bob@finch.local", 0.0, b"d" * 16))
    refused.step(refused.letters[3], AppStep.REFUSED, 305, 4.0)
    assert not waiting.complete
    assert refused.complete
    assert refused.holds
