"""docs/architecture.md draws what there is: the rows, the states, the tables of the database."""

from __future__ import annotations

import inspect
import re
import textwrap
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from waypost.routing import peering
from waypost.storage.sqlite import commit

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NODE = ROOT / "node"
CONTRACTS = {
    contract["containers"][0]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
}


def section(title: str) -> str:
    return re.split(r"\n##+ ", PAGE.partition(f" {title}\n")[2])[0]


def drawn(text: str) -> list[str]:
    return re.findall(r"^```\w*\n(.*?)\n```$", text, re.DOTALL | re.MULTILINE)


def rows_of(package: str) -> list[str]:
    """The rows that import-linter has, of what there is: a row that may be absent stands in parentheses."""
    folder = NODE / package.replace(".", "/")
    rows = []
    for layer in CONTRACTS[package]["layers"]:
        parts = re.split(r"( [|:] )", layer)
        names = [part.strip("()") for part in parts[::2]]
        if all((folder / name).is_dir() or (folder / f"{name}.py").is_file() for name in names):
            rows.append("".join([each.strip("()") for each in parts]))
    return rows


@pytest.mark.parametrize(
    ("package", "title"),
    [("waypost", "Who knows whom"), ("waypost.relay", "The relay"), ("waypost.client", "The client")],
)
def test_the_rows_are_those_that_are_held_to(package: str, title: str) -> None:
    (shown,) = drawn(section(title))
    assert [row for row in shown.splitlines() if not row.startswith("──")] == rows_of(package)


def test_the_line_is_drawn_above_the_core() -> None:
    (core,) = (
        contract
        for contract in tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
        if contract.get("id") == "core"
    )
    below = drawn(section("Who knows whom"))[0].partition("────")[2].splitlines()[1:]
    named = {name for row in below for name in re.split(r" [|:] ", row)}
    assert named == {module.split(".")[1] for module in core["source_modules"]}


@pytest.mark.parametrize(("title", "package"), [("The relay", "waypost/relay"), ("The client", "waypost/client")])
def test_every_part_is_explained(title: str, package: str) -> None:
    told = set(re.findall(rf"`{package.partition('/')[2]}/(\w+)(?:/|\.py)`", section(title)))
    there = {path.stem for path in (NODE / package).iterdir() if not path.name.startswith("__")}
    assert told == there


@pytest.mark.parametrize(("of", "first"), [(peering, "idle ⇄"), (commit.GroupCommit, "IDLE ──▶ DUE")])
def test_states_are_drawn_as_in_the_code(of: ModuleType | type, first: str) -> None:
    (shown,) = (drawing for drawing in drawn(PAGE) if drawing.startswith(first))
    assert textwrap.indent(shown, "    ") in (inspect.getdoc(of) or "")


def test_every_state_of_a_peer_is_explained() -> None:
    told = re.findall(r"^\| `(\w+)` \|", section("Peers and back-off"), re.MULTILINE)
    assert told == [state.value for state in peering.Peering]


def test_every_table_of_the_database_is_explained() -> None:
    schema = "".join(path.read_text("utf-8") for path in sorted((NODE / "waypost/storage/sqlite/schema").glob("*.sql")))
    made = set(re.findall(r"CREATE TABLE (\w+)", schema))
    cells = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \|", section("What is durable, and when"), re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"\w+", cell)} >= made - {"meta"}
