"""`waypost lab simulate` on the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from waypost.cli.main import app
from waypost_lab.simulate.promises import Promises
from waypost_lab.timeline import read

SHORT = ["lab", "simulate", "--nodes", "2", "--users", "4", "--hours", "0.5", "--messages", "200"]
FIELDS = {
    "digest",
    "events",
    "accepted",
    "delivered",
    "bounced",
    "expired",
    "lost",
    "duplicates",
    "violations",
    "wall_s",
}


def test_it_ends_with_one_object(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, [*SHORT, "--json", "--record", str(tmp_path / "run")])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.output.splitlines()[-1])
    assert set(facts) >= FIELDS
    assert facts["violations"] == 0
    assert len(read(tmp_path / "run")) > facts["accepted"]


def test_it_says_that_every_promise_held() -> None:
    done = CliRunner().invoke(app, [*SHORT, "--faults", "none"])
    assert done.exit_code == 0, done.output
    assert "every promise held" in done.output


def test_an_unknown_kind_of_fault_is_told_with_those_there_are() -> None:
    done = CliRunner().invoke(app, [*SHORT, "--without", "locusts"])
    assert done.exit_code == 2
    assert "locusts" in done.output
    assert "one-way" in done.output


def test_a_broken_promise_shows_seed_step_and_events_and_less_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(self: Promises, left: set[str]) -> None:
        self.broken("lost", f"for the test; {len(left)} have left")

    monkeypatch.setattr(Promises, "settle", settle)
    done = CliRunner().invoke(app, [*SHORT, "--seed", "9", "--shrink", "5"])
    assert done.exit_code == 1
    assert "lost: for the test" in done.output
    assert "--seed 9" in done.output
    assert "Less that fails too, at event " in done.output
    assert "drained" in done.output, "the last events"
