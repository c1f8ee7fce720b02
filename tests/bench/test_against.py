"""`scripts/bench --against`, with real nodes of two trees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts.support.bench.calibrate import interpreter
from scripts.support.bench.sides import ROOT, side_of, this_side


def bench(cache: Path, *arguments: str) -> Any:
    command = [sys.executable, "-m", "scripts.support.bench", *arguments, "--json"]
    around = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    return json.loads(subprocess.run(command, cwd=ROOT, env=around, capture_output=True, text=True, check=True).stdout)


def needs_git() -> None:
    if subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, check=False).returncode:
        pytest.skip("this tree is no git repository")


def test_both_sides_are_measured_in_every_round(tmp_path: Path) -> None:
    needs_git()
    short = ("--nodes", "1", "--minutes", "0.01", "--settle-s", "0", "--syncs", "3", "--rounds", "1")
    told = bench(tmp_path, "idle", *short, "--against", "HEAD")
    assert [set(each) for each in told["rounds"]] == [{"new", "old"}]
    assert told["figures"]["nodes"]["ratio"] == {"median": 1.0, "least": 1.0, "most": 1.0}
    assert told["figures"]["rss_mib"]["new"]["median"] > 20
    assert told["figures"]["rss_mib"]["old"]["median"] > 20
    assert told["new"]["commit"].split()[0] == told["old"]["commit"].split()[0]
    assert told["new"]["interpreter"] == interpreter(sys.executable)
    before, after = told["calibration"]
    assert min(*before.values(), *after.values()) > 0


def test_the_other_side_runs_its_own_code(tmp_path: Path) -> None:
    needs_git()
    with side_of("HEAD", cache=tmp_path) as old:
        old.check()
        assert old.tree != ROOT
        assert (old.tree / "node" / "waypost" / "__init__.py").exists()
        asked = [old.python, "-c", "import waypost; print(waypost.__file__)"]
        found = subprocess.run(asked, env=old.environment(), cwd=ROOT, capture_output=True, text=True, check=True)
        assert Path(found.stdout.strip()).is_relative_to(old.tree)
    assert not old.tree.exists()


def test_a_side_whose_code_comes_from_elsewhere_is_refused(tmp_path: Path) -> None:
    side = this_side()
    elsewhere = type(side)("elsewhere", tmp_path, side.python)
    with pytest.raises(RuntimeError, match="the code comes from"):
        elsewhere.check()


def test_an_unknown_commit_is_refused() -> None:
    needs_git()
    with pytest.raises(RuntimeError, match="no-such-commit"), side_of("no-such-commit"):
        pass
