"""Real nodes, killed while they work. The whole of it: scripts/chaos --kills 20 --messages 20000."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from waypost_lab.tally import Tally
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


def tally() -> Tally:
    """Three messages, accepted, shown and reported."""
    made = Tally()
    for id_, mark in ((b"1", b"a"), (b"2", b"b"), (b"3", b"c")):
        made.written[id_] = mark
        made.accepted.add(id_)
        made.shown[mark] += 1
        made.outcomes[id_] = 0
    return made


def test_a_good_run_holds() -> None:
    assert tally().holds
    assert tally().complete
    assert tally().delivered == 3


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("lost", "lost"),
        ("twice", "duplicates"),
        ("silent", "unreported"),
        ("altered", "foreign"),
        ("both", "wrongly_bounced"),
    ],
)
def test_each_fault_is_counted(fault: str, count: str) -> None:
    made = tally()
    match fault:
        case "lost":
            del made.shown[b"a"]
        case "twice":
            made.shown[b"a"] += 1
        case "silent":
            del made.outcomes[b"1"]
        case "altered":
            made.foreign += 1
        case "both":
            made.outcomes[b"1"] = 300
        case _:
            raise AssertionError(fault)
    assert getattr(made, count) == 1
    assert not made.holds


def test_bounced_is_not_lost() -> None:
    made = tally()
    del made.shown[b"a"]
    made.outcomes[b"1"] = 301
    assert (made.bounced, made.lost) == (1, 0)
    assert made.holds


def test_what_was_never_accepted_cannot_be_lost() -> None:
    waiting, refused = tally(), tally()
    waiting.written[b"4"] = refused.written[b"4"] = b"d"
    refused.refused[b"4"] = 305
    assert not waiting.complete
    assert refused.complete
    assert refused.holds
