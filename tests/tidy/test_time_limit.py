"""A test that hangs is ended, by name, and takes no other with it."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

HANGING = """
import threading
import trio

async def test_waits_for_ever(tmp_path):
    try:
        await trio.sleep_forever()
    finally:
        print("in good order")

async def test_under_trio():
    await trio.lowlevel.checkpoint()

def test_waits_for_a_lock():
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

def test_after_all():
    trio.run(trio.lowlevel.checkpoint)
"""


def test_a_test_that_hangs_is_ended(tmp_path: Path) -> None:
    file = tmp_path / "test_hanging.py"
    file.write_text(HANGING)
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "tests.conftest", "-p", "no:cacheprovider"]
    command += ["-o", "timeout=1", "-c", str(ROOT / "pyproject.toml"), "--rootdir", str(tmp_path), str(file)]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60).stdout
    verdicts = [line.partition(" - ")[0] for line in said.splitlines() if line.startswith(("PASSED ", "FAILED "))]
    assert {line.split()[0] + " " + line.rpartition("::")[2] for line in verdicts} == {
        "FAILED test_waits_for_ever",
        "PASSED test_under_trio",
        "FAILED test_waits_for_a_lock",
        "PASSED test_after_all",
    }, said
    assert said.count("from pytest-timeout") >= 2
    assert "in good order" in said
