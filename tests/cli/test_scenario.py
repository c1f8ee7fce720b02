"""`waypost lab scenario`: what it prints, and how it ends."""

import json
from pathlib import Path

from typer.testing import CliRunner, Result

from waypost.cli.main import app
from waypost_lab import timeline
from waypost_lab.scenario.shipped import names

HEAD = "# Mine\nnodes birdy, finch\nlight users carl at birdy, dora at finch\n"


def waypost(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["lab", "scenario", *arguments])


def test_it_lists_what_ships_and_what_can_be_said() -> None:
    listed = waypost("--list")
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == names()
    (first, *_) = waypost("--list", "--json").stdout.splitlines()
    assert json.loads(first)["answers"]
    assert "<user> writes <text> to <user>" in waypost("--sentences").stdout


def test_it_plays_names_and_files_and_writes_a_timeline(tmp_path: Path) -> None:
    mine, record = tmp_path / "mine.txt", tmp_path / "run.jsonl"
    mine.write_text(HEAD + 'carl writes "hi" to dora\ndora sees it\nfinch crashes\n')
    played = waypost(str(mine), "answer-lost-after-commit", "--json")
    assert played.exit_code == 0
    assert [json.loads(line)["passed"] for line in played.stdout.splitlines()] == [True, True]
    assert waypost(str(mine), "--seed", "9", "--record", str(record)).exit_code == 0
    events = timeline.read(record)
    assert isinstance(events[0], timeline.Run)
    assert (events[0].title, events[0].seed, events[0].source) == ("Mine", 9, "scenario")
    steps = [event for event in events if isinstance(event, timeline.Step)]
    assert [step.step for step in steps] == ["sent", "accepted", "held", "delivered"]
    assert {step.id for step in steps} == {f"{1:032x}"}
    assert isinstance(events[-1], timeline.End)
    assert events[-1].result["passed"] is True
    assert waypost("--record", str(record)).exit_code == 2


def test_it_says_where_things_went_another_way(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text(HEAD + 'power of finch fails\ncarl writes "hi" to dora\nwithin 5 seconds, dora sees it\n')
    played = waypost(str(mine))
    assert played.exit_code == 1
    assert "FAILED" in played.stdout
    assert "line 6: within 5 seconds, dora sees it" in played.stdout
    assert "but dora has seen nothing" in played.stdout
    failure = json.loads(waypost(str(mine), "--json").stdout)["failure"]
    assert (failure["line"], failure["instead"]) == (6, "dora has seen nothing")


def test_a_file_with_faults_is_wrong_input(tmp_path: Path) -> None:
    mine = tmp_path / "mine.txt"
    mine.write_text(HEAD + "finch explodes\n")
    played = waypost(str(mine))
    assert played.exit_code == 2
    assert "line 4: after “finch” comes" in played.stderr
    assert waypost("no-such-scenario").exit_code == 2
