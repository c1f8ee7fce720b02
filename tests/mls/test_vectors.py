from pathlib import Path

import pytest
from scripts.support.mls_vectors.run import Count, run_file
from tests.vectors import vector_path

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
