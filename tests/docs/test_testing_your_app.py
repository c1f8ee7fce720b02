"""What docs/testing-your-app.md shows is run as it stands there, and the calls that it lists are there."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

from waypost_lab import Network

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "testing-your-app.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def test_its_examples_pass(tmp_path: Path) -> None:
    (settings,) = blocks("ini")
    (tmp_path / "pytest.ini").write_text(settings)
    examples = blocks("python")
    assert len(examples) == 2
    for number, code in enumerate(examples):
        (tmp_path / f"test_{number}.py").write_text(code)
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error"]
    run = subprocess.run(
        [*command, "-p", "no:cacheprovider"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "3 passed" in run.stdout


def test_the_calls_that_it_lists_are_there() -> None:
    named = set(re.findall(r"\bnet\.([a-z_]+)\b", PAGE))
    there = {name for name, _ in inspect.getmembers(Network) if not name.startswith("_")} | {
        "on_event",
        "on_log",
        "on_commit",
    }
    assert named <= there
    # And all that an app's test may want is listed.
    assert there - named == {"end", "joined", "key_of"}
