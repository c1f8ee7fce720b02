"""docs/changing.md tells the truth: its recipes name the files of their examples, and what is gone has a row."""

from __future__ import annotations

import io
import re
import tokenize
from functools import cache
from pathlib import Path

import pytest
from tests.tidy.test_tree import tracked

ROOT = Path(__file__).resolve().parents[2]
NODE = ROOT / "node"
PAGE = (ROOT / "docs" / "changing.md").read_text(encoding="utf-8")
#: Of 5c0cfc9, as paths below node/.
MODULES_THEN = (ROOT / "tests" / "data" / "modules-5c0cfc9.txt").read_text(encoding="utf-8").split()

#: Recipe -> what a new one may have to be written in at the most: folder -> files.
PLACES = {
    "A request": {"waypost": 3},
    "An operator's request": {"waypost": 3},
    "A store operation": {"waypost/storage/operations": 1, "waypost/storage/memory": 1, "waypost/storage/sqlite": 1},
    "A configuration key": {"waypost": 3},
    "A verb": {"waypost": 3},
    "A scenario": {"waypost": 0, "waypost_lab": 1},
    "A fault": {"waypost": 0},
}


@cache
def recipes() -> dict[str, str]:
    """Heading -> text."""
    part = PAGE.partition("\n## Recipes\n")[2].partition("\n## ")[0]
    return {title: text for title, _, text in (each.partition("\n") for each in part.split("\n### ")[1:])}


def followed(recipe: str) -> set[str]:
    """What its example is called in the code."""
    (line,) = re.findall(r"^Followed here: (.*?)\.$", recipes()[recipe], re.MULTILINE)
    return set(re.findall(r"`([^`]+)`", line))


def listed(recipe: str) -> set[str]:
    """The paths in its steps; one that ends with a slash is a folder."""
    return set(re.findall(r"`((?:node|tests|docs|scripts/support)/[^`\s]+)`", recipes()[recipe]))


@cache
def words(path: Path) -> frozenset[str]:
    """Names in a module, the words of its strings that are no sentences, and its own name; of other files all words."""
    found = {path.stem}
    if path.suffix != ".py":
        return frozenset(found | set(re.findall(r"[\w-]+", path.read_text(encoding="utf-8"))))
    for token in tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline):
        if token.type == tokenize.NAME:
            found.add(token.string)
        elif token.type == tokenize.STRING and not re.search(r"\s", token.string):
            found |= set(re.findall(r"[\w-]+", token.string))
    return frozenset(found)


@cache
def sources() -> dict[str, Path]:
    """Every file of node/ in which something can stand; prose and scenarios by their name alone."""
    return {path.relative_to(ROOT).as_posix(): path for path in tracked() if NODE in path.parents}


def stands_in(names: set[str]) -> set[str]:
    """The files of node/ that hold one of these names."""
    code = {name: words(path) if path.suffix == ".py" else {path.stem} for name, path in sources().items()}
    return {name for name, held in code.items() if names & held}


def covers(path: str, name: str) -> bool:
    return name.startswith(path) if path.endswith("/") else name == path


def test_every_recipe_is_counted() -> None:
    assert set(recipes()) == set(PLACES)


@pytest.mark.parametrize("recipe", PLACES)
def test_a_recipe_names_the_files_in_which_its_example_stands(recipe: str) -> None:
    names, paths = followed(recipe), listed(recipe)
    found = stands_in(names)
    assert found, f"there is no {names} any more: follow another example"
    missing = {name for name in found if not any(covers(path, name) for path in paths)}
    assert not missing, f"{names} stand there too"
    idle = {path for path in paths if path.startswith("node/") and not any(covers(path, name) for name in found)}
    assert not idle, f"no {names} stand there"


@pytest.mark.parametrize("recipe", PLACES)
def test_what_a_recipe_names_outside_the_sources_has_its_example_too(recipe: str) -> None:
    names = {name.lower() for name in followed(recipe)}
    for path in listed(recipe):
        if not path.startswith("node/"):
            files = [each for each in tracked() if covers(path, each.relative_to(ROOT).as_posix())]
            assert any(names & {word.lower() for word in words(each)} for each in files), f"no {names} in {path}"


@pytest.mark.parametrize("recipe", PLACES)
def test_a_new_one_is_written_in_few_places(recipe: str) -> None:
    found = stands_in(followed(recipe))
    for folder, most in PLACES[recipe].items():
        files = {name for name in found if name.startswith(f"node/{folder}/")}
        assert len(files) <= most, sorted(files)


# ── what has gone where ─────────────────────────────────────────────────────────────────────────────────────────────


def dotted(path: str) -> str:
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def moved() -> list[tuple[str, list[str]]]:
    """The rows of the table: a module of then, and where to look for it now."""
    part = PAGE.partition("\n## What has gone where\n")[2]
    cells = [line.split("|")[1:3] for line in part.splitlines() if line.startswith("| `")]
    return [(old.strip(" `"), re.findall(r"`([\w.]+)`", new)) for old, new in cells]


def test_every_module_that_is_gone_has_a_row_and_no_other() -> None:
    gone = [dotted(path) for path in MODULES_THEN if not (NODE / path).exists()]
    assert [old for old, _ in moved()] == sorted(gone)


def test_every_row_leads_to_modules_that_are_there() -> None:
    now = {dotted(path.relative_to(NODE).as_posix()) for path in NODE.rglob("*.py")}
    assert {old: new for old, new in moved() if not new or not set(new) <= now} == {}
