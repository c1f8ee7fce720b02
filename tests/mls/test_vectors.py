import json
import subprocess
import sys
from pathlib import Path

import pytest
from scripts.support.mls_vectors.run import Count, run_file
from tests.vectors import vector_path

ROOT = Path(__file__).resolve().parents[2]

#: Each file with the cases that it has; a file that shrinks or goes is noticed.
CASES = {
    "crypto-basics": 2,
    "deserialization": 14,
    "key-schedule": 2,
    "message-protection": 2,
    "messages": 30,
    "passive-client-handling-commit": 26,
    "passive-client-welcome": 16,
    "psk_secret": 22,
    "secret-tree": 6,
    "transcript-hashes": 2,
    "tree-math": 10,
    "tree-operations": 5,
    "tree-validation": 28,
    "treekem": 22,
    "welcome": 2,
}


@pytest.mark.parametrize("name", CASES, ids=[f"{name}: {cases} cases" for name, cases in CASES.items()])
def test_every_case_comes_out(name: str) -> None:
    count = run_file(vector_path(f"mls/{name}.json"))
    assert count.failures == []
    assert count.skipped == {}
    assert count.run == count.passed == CASES[name]


def test_no_file_is_left_out() -> None:
    found = {path.stem for path in vector_path("mls").glob("*.json")}
    assert found == CASES.keys()


def test_a_wrong_vector_fails(tmp_path: Path) -> None:
    path = tmp_path / "wrong.json"
    path.write_text('[{"vlbytes_header": "9d7f3e7d", "length": 1}, {"vlbytes_header": "c0", "length": 0}, {"new": 1}]')
    count = run_file(path)
    assert (count.run, count.passed, count.failed) == (3, 0, 3)
    path.write_text('[{"cipher_suite": 2, "vlbytes_header": "00", "length": 0}]')
    assert run_file(path) == Count(skipped={2: 1})
    path.write_text("{}")
    assert run_file(path).failed == 1


def run_script(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "scripts.support.mls_vectors", str(folder), *flags]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_the_script_counts_and_fails_where_a_case_does(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text('[{"vlbytes_header": "25", "length": 37}, {"cipher_suite": 7, "x": 1}]')
    good = run_script(tmp_path, "--json")
    counted = json.loads(good.stdout)
    assert good.returncode == 0
    assert {name: counted[name] for name in ("run", "passed", "failed", "skipped")} == {
        "run": 1,
        "passed": 1,
        "failed": 0,
        "skipped": 1,
    }
    assert counted["files"]["good.json"]["skipped_by_suite"] == {"7": 1}
    (tmp_path / "bad.json").write_text('[{"vlbytes_header": "25", "length": 38}]')
    bad = run_script(tmp_path)
    assert bad.returncode == 1
    assert "bad.json: run 1, passed 0, failed 1" in bad.stdout
    assert "good.json: run 1, passed 1, failed 0, skipped 1 of suite 7" in bad.stdout


def test_the_script_wants_something_to_run(tmp_path: Path) -> None:
    assert run_script(tmp_path).returncode == 1
    assert run_script(tmp_path / "absent").returncode == 2
    nested = tmp_path / "interop" / "passive"
    nested.mkdir(parents=True)
    (nested / "one.json").write_text('[{"vlbytes_header": "25", "length": 37}]')
    assert "interop/passive/one.json: run 1, passed 1" in run_script(tmp_path).stdout
