"""What a benchmark writes down, from its drivers' notes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.support.bench.record import EVERY_S, Record, counts, merged, summaries

from waypost_lab.report import picture_of
from waypost_lab.timeline import End, Flow, Latency, Run

ROOT = Path(__file__).resolve().parents[3]
SLOT_NS = round(EVERY_S * 1e9)


def test_counts_go_by_slots() -> None:
    assert counts([(0, 3), (SLOT_NS - 1, 4), (SLOT_NS, 5)]) == {0: 7, 1: 5}
    assert merged([{0: 7, 1: 5}, {1: 1, 9: 2}]) == {0: 7, 1: 6, 9: 2}


def test_latencies_go_with_the_batch_that_they_came_in() -> None:
    rows = summaries([(0, 2), (SLOT_NS * 4, 1), (1, 1)], [10.0, 30.0, 5.0, 20.0])
    assert rows == {0: [3, 20, 30, 30, 30], 4: [1, 5, 5, 5, 5]}


def test_a_record_begins_with_its_first_phase_and_ends_with_the_last_message(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record("bench forward")
    monkeypatch.setattr("time.monotonic_ns", lambda: 10 * SLOT_NS + 5)
    record.phase("fast")
    # As it comes through a pipe: the numbers of the slots are strings.
    sent, received = {"accepted_in": {"11": 50, "12": 10}}, {"latency_in": {"12": [60.0, 1.0, 2.0, 3.0, 4.0]}}
    record.add(sent, received)
    run, note, first, second, latency, end = record.events({"lost": 0})
    assert isinstance(run, Run)
    assert note.t == 0
    assert first == Flow(t=2 * EVERY_S, every_s=EVERY_S, accepted=50)
    assert second == Flow(t=3 * EVERY_S, every_s=EVERY_S, accepted=10, delivered=60)
    assert latency == Latency(t=3 * EVERY_S, every_s=EVERY_S, count=60, p50_ms=1, p90_ms=2, p99_ms=3, max_ms=4)
    assert end == End(t=3 * EVERY_S, result={"lost": 0})


def test_a_record_of_nothing_is_a_timeline_too() -> None:
    assert [type(event) for event in Record("bench connections").events({})] == [Run, End]


@pytest.mark.timeout(300)
def test_a_real_benchmark_can_be_drawn(tmp_path: Path) -> None:
    file = tmp_path / "bench.jsonl"
    command = [sys.executable, "-m", "scripts.support.bench", "offline", "--messages", "300", "--syncs", "0", "--json"]
    done = subprocess.run([*command, "--record", str(file)], cwd=ROOT, capture_output=True, text=True, check=True)
    picture = picture_of(file)
    figures = {figure.name: figure.value for figure in picture.figures}
    assert json.loads(done.stdout)["delivered"] == 300
    assert (figures["accepted"], figures["delivered"], figures["lost"], figures["duplicates"]) == (300, 300, 0, 0)
    assert sum(picture.flows.accepted) == sum(picture.flows.delivered) == pytest.approx(300)
    assert picture.overall is not None
    assert picture.overall.count == pytest.approx(300)
    assert [note.text for note in picture.notes] == ["the recipient is away", "the recipient comes back"]
