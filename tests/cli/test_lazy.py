"""Verbs are listed without being loaded, and say of themselves what the list says of them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import typer

import waypost.cli
import waypost_lab.cli
from waypost.cli.lazy import Verb
from waypost.cli.main import VERBS, app

ORDER = [
    "demo",
    "init",
    "run",
    "user",
    "status",
    "peers",
    "queue",
    "why",
    "check",
    "backup",
    "restore",
    "leave",
    "join",
    "send",
    "inbox",
    "reach",
    "safety",
    "lab",
]


ORDER = [
    "demo",
    "init",
    "run",
    "user",
    "status",
    "peers",
    "queue",
    "why",
    "check",
    "backup",
    "restore",
    "leave",
    "join",
    "send",
    "inbox",
    "reach",
    "safety",
    "lab",
]


def loaded(*words: str) -> set[str]:
    """The modules of ours, and the large ones of others, that the command has loaded when it ends."""
    code = (
        "import sys\nfrom waypost.cli.main import app\n"
        f"try: app({list(words)})\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["lab", "--help"]], ids=" ".join)
def test_a_list_of_verbs_loads_none(words: list[str]) -> None:
    found = loaded(*words)
    ours = {name for name in found if name.startswith(("waypost.", "waypost_lab."))}
    assert ours <= {
        "waypost.cli",
        "waypost.cli.main",
        "waypost.cli.lazy",
        "waypost.cli.options",
        "waypost.cli.outcome",
        "waypost.errors",
        "waypost_lab.cli",
        "waypost_lab.cli.interrupt",
    }
    assert not found & {"trio", "anyio", "rich", "cryptography", "msgpack"}


def test_completion_loads_none() -> None:
    group = typer.main.get_command(app)
    listed = group.shell_complete(group.make_context("waypost", [], resilient_parsing=True), "")
    assert [item.value for item in listed] == ORDER
    assert all(item.help for item in listed)


def test_a_verb_loads_itself_and_no_other() -> None:
    found = loaded("status", "--help")
    assert "waypost.cli.status" in found
    assert not found & {"waypost.cli.peers", "waypost.cli.send", "waypost.client", "waypost_lab.cli.demo"}


def test_verbs_stand_in_their_order(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        app(["--help"])
    _, _, rest = capsys.readouterr().out.partition("Commands:\n")
    assert [line.split()[0] for line in rest.partition("\n\n")[0].splitlines()] == ORDER


ANNOUNCED = [entry.load() for entry in entry_points(group="waypost.verbs")]


@pytest.mark.parametrize("verb", [*VERBS, *ANNOUNCED, *waypost_lab.cli.VERBS], ids=lambda verb: verb.where)
def test_the_list_says_what_the_verb_says_of_itself(verb: Verb) -> None:
    found = verb.load()
    text = str(found.info.help if isinstance(found, typer.Typer) else inspect.getdoc(found))
    assert " ".join(text.split("\n\n", maxsplit=1)[0].split()).startswith(verb.help)


@pytest.mark.parametrize("package", [waypost.cli, waypost_lab.cli], ids=lambda package: package.__name__)
def test_imports_stand_at_the_top(package: object) -> None:
    (folder,) = package.__path__  # type: ignore[attr-defined]
    inner = [
        f"{path.name}:{node.lineno}"
        for path in sorted(Path(folder).glob("*.py"))
        for function in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    # The node's process loads the rest once it has said what is not to be loaded.
    assert [each.partition(":")[0] for each in inner] == (["process.py"] if package is waypost.cli else [])
