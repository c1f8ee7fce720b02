"""Every file and test that a page names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))}
#: Where a path that is written short begins.
BASES = (ROOT, ROOT / "node", ROOT / "node" / "waypost", ROOT / "node" / "waypost_lab", ROOT / "tests")
#: How one can begin: `storage/sqlite/` is ours, `nodes/NAME/` and `waypost/1` are not.
TOPS = {"node", "tests", "scripts", "docs", *(path.name for base in BASES[2:] for path in base.iterdir())}

#: Which a page has its reader make.
READERS = {"hello.py"}

QUOTED = re.compile(r"`([\w./-]+)(?:::(\w+))?`")


def named(text: str) -> list[tuple[str, str]]:
    """Paths with the test in them that is meant, or ''."""
    return [(path, test) for path, test in QUOTED.findall(text) if "/" in path or path.endswith(".py")]


def fault(path: str, test: str) -> str:
    """What is wrong with it; empty if it is there, or no path of ours."""
    if path in READERS or (not path.endswith(".py") and path.split("/", maxsplit=1)[0] not in TOPS):
        return ""
    if "/" not in path:  # the file's name alone, among the tests or the sources
        places = [*(ROOT / "tests").rglob(path), *(ROOT / "node").rglob(path)]
    else:
        places = [base / path for base in BASES if (base / path).exists()]
    if not places:
        return f"there is no {path}"
    if test and not any(
        re.search(rf"^(?:async )?def {test}\(", each.read_text("utf-8"), re.MULTILINE) for each in places
    ):
        return f"there is no {test} in {path}"
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page: str) -> None:
    paths = named(PAGES[page].read_text(encoding="utf-8"))
    assert [wrong for each in paths if (wrong := fault(*each))] == []


def test_what_is_not_there_is_found() -> None:
    text = (
        "`links/pump.py`, `links/gone.py`, `storage/gone/`, `gone.py`, `tests/docs/test_paths.py::gone`, `nodes/NAME/`"
    )
    assert [wrong for each in named(text) if (wrong := fault(*each))] == [
        "there is no links/gone.py",
        "there is no storage/gone/",
        "there is no gone.py",
        "there is no gone in tests/docs/test_paths.py",
    ]


def test_every_folder_of_tests_is_explained() -> None:
    page = PAGES["docs/testing.md"].read_text(encoding="utf-8")
    told = {
        name for cells in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for name in re.findall(r"`([^`]+)`", cells)
    }
    assert told >= {path.name for path in (ROOT / "tests").iterdir() if path.is_dir() and not path.name.startswith("_")}
