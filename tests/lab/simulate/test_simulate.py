"""The simulation itself: the same plan gives the same run, promises are watched, and broken relays are found."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from scripts.support.simulate.found import FOUND
from scripts.support.simulate.mutants import MUTANTS, Mutant

from waypost_lab.simulate.plan import WEATHERS, Kind, Plan, piece
from waypost_lab.simulate.promises import Violation
from waypost_lab.simulate.run import Result, simulate
from waypost_lab.simulate.shrink import shrink
from waypost_lab.timeline import End, Fault, Mended, NodeState, Recorder, Run, Step, read

# Hours of whole networks, in virtual time: work for the processor alone.
pytestmark = pytest.mark.timeout(600)

ROOT = Path(__file__).resolve().parents[3]
SMALL = Plan(nodes=3, users=9, hours=1.0, seed=3, messages_a_day=160.0, neighbours=2, squeeze=20.0, sqlite=0.5)


def in_a_process(plan: Plan, hash_seed: str) -> dict[str, object]:
    command = [sys.executable, "-m", "waypost", *plan.command().split()[1:], "--json"]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60, check=True)
    facts: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return facts


def test_the_same_plan_gives_the_same_run_in_any_process() -> None:
    one, other = in_a_process(SMALL, "1"), in_a_process(SMALL, "2")
    del one["wall_s"], other["wall_s"]
    assert one == other
    here = simulate(SMALL)
    assert (here.digest, here.events) == (one["digest"], one["events"])
    assert here.figures["accepted"] > 20


def test_another_seed_gives_another_run() -> None:
    assert simulate(SMALL).digest != simulate(replace(SMALL, seed=4)).digest


@pytest.mark.parametrize("seed", range(1, 4))
def test_every_promise_holds(seed: int) -> None:
    result = simulate(piece(seed))
    assert result.violations == ()
    figures = result.figures
    assert figures["accepted"] > 0
    assert figures["lost"] == figures["duplicates"] == 0


@pytest.mark.parametrize("plan", dict.fromkeys(plan for plan, _ in FOUND.values()), ids=lambda plan: str(plan.seed))
def test_what_was_found_once_is_mended(plan: Plan) -> None:
    assert simulate(plan).violations == ()


def test_without_faults_everything_arrives_that_can() -> None:
    result = simulate(replace(SMALL, faults="none"))
    assert result.violations == ()
    assert not any(name.startswith("fault") for name in result.counts)
    assert result.figures["expired"] > 0, "some users are away longer than some messages live"


def test_each_fault_strikes_and_can_be_left_out() -> None:
    every = simulate(replace(SMALL, nodes=4, squeeze=60.0, hours=2.0))
    struck = {name.removeprefix("fault ") for name in every.counts if name.startswith("fault ")}
    assert struck >= set(Kind) - {Kind.LEAVE}
    calmer = simulate(replace(SMALL, without=frozenset(Kind) - {Kind.CUT}))
    assert {name for name in calmer.counts if name.startswith("fault")} == {"fault cut"}
    assert set(WEATHERS["storm"]) == set(Kind)


def test_leaving_one_kind_out_changes_no_other(tmp_path: Path) -> None:
    def crashes(plan: Plan) -> list[tuple[float, tuple[str, ...]]]:
        with Recorder(tmp_path / "run") as recorder:
            simulate(plan, recorder)
        events = read(tmp_path / "run")
        return [(event.t, event.nodes) for event in events if isinstance(event, Fault) and event.name == Kind.SKEW]

    assert crashes(SMALL) == crashes(replace(SMALL, without=frozenset({Kind.CUT, Kind.DISK_SLOW})))


def test_a_run_is_written_down(tmp_path: Path) -> None:
    with Recorder(tmp_path / "run") as recorder:
        result = simulate(SMALL, recorder)
    first, *between, last = read(tmp_path / "run")
    assert isinstance(first, Run)
    assert (first.source, first.seed, len(first.nodes)) == ("simulate", SMALL.seed, SMALL.nodes)
    assert isinstance(last, End)
    assert last.result["digest"] == result.digest
    assert [event.t for event in between] == sorted(event.t for event in between)
    begun = {event.id for event in between if isinstance(event, Fault)}
    assert begun == {event.id for event in between if isinstance(event, Mended)}
    assert {event.state for event in between if isinstance(event, NodeState)} >= {"up", "down"}
    delivered = [event for event in between if isinstance(event, Step) and event.step == "delivered"]
    assert len(delivered) == result.figures["delivered"]


# ── shrinking ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_failing_plan_is_made_smaller() -> None:
    def play(plan: Plan) -> Result:
        """Fails as long as there are three nodes, and crashes."""
        fails = plan.nodes >= 3 and Kind.CRASH in plan.rates()
        violations = (Violation("lost", 10.0, "a message"),) if fails else ()
        return Result(plan, "", 0, {}, violations, {}, 0.0, 0.0)

    failed = play(Plan(nodes=40, users=200, hours=24.0))
    smallest = shrink(failed, play, budget_s=60.0).plan
    assert (smallest.nodes, smallest.users) == (3, 3)
    assert set(smallest.rates()) == {Kind.CRASH}
    assert smallest.hours < 0.5


def test_shrinking_ends_in_time() -> None:
    failed = Result(Plan(), "", 0, {}, (Violation("lost", 10.0, ""),), {}, 0.0, wall_s=100.0)
    assert shrink(failed, lambda _: pytest.fail("no time for that"), budget_s=60.0) is failed


# ── mutants ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_still_fits_the_source(mutant: Mutant) -> None:
    source = (ROOT / "node" / (mutant.module.replace(".", "/") + ".py")).read_text()
    assert mutant.apply(source) != source


#: Which seed finds it changes with the relay. scripts/simulate --mutants hunts all of them, in up to 50 seeds.
@pytest.mark.parametrize("name", ["dedup", "silent-expiry", "claims-burn"])
def test_a_mutant_is_found(name: str) -> None:
    code = f"from scripts.support.simulate.play import hunt; print(hunt({name!r}, range(1, 20))[0])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=580, check=True
    )
    assert done.stdout.strip() != "None"
