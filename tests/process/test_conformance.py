"""`waypost lab conformance` over real links: our own node as a process, and whoever asks for something impossible."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from scripts.support.nodes import Node
from tests.process.support import killed

# Whole runs, which have limits of their own.
pytestmark = pytest.mark.timeout(400)

#: Leaves out what waits for seconds by its nature: the suite has that in virtual time.
PATIENCE_S = "17"


def ran(*arguments: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "waypost", "lab", "conformance", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout, done.stderr


def failures(judgement: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in judgement["checks"] if check["result"] == "failed"]


def leftovers() -> set[Path]:
    return set(Path(tempfile.gettempdir()).glob("waypost-conformance-*"))


def test_our_own_node_passes_and_leaves_nothing_behind() -> None:
    before = leftovers()
    code, out, err = ran("--own", "--patience", PATIENCE_S, "--json")
    assert not err
    judgement = json.loads(out)
    assert failures(judgement) == []
    assert code == 0
    assert judgement["passed"] > 180
    assert {check["reason"].partition(" ")[0] for check in judgement["checks"] if check["result"] == "skipped"} == {
        "may"
    }
    assert leftovers() <= before


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made = Node("judged.local", tmp_path_factory.mktemp("conformance"))
    made.start()
    try:
        yield made
    finally:
        killed(made)


def test_without_invites_and_an_address_it_says_what_it_leaves_out(node: Node) -> None:
    code, out, _ = ran(f"127.0.0.1:{node.port}", "--only", "CUST-10", "--only", "LINK-10", "--only", "WIRE-2")
    assert code == 0
    assert "needs invites for two users" in out
    assert "an address at which the node can dial the checker" in out
    assert " passed" in out
    assert "127.0.0.1 port" in out


def test_a_node_of_somebody_else_is_judged_with_what_its_operator_gives(node: Node) -> None:
    given = [part for invite in node.invite("carol", "dave") for part in ("--invite", invite)]
    code, out, err = ran(
        f"127.0.0.1:{node.port}", "--json", "--listen", "127.0.0.1", *given, "--only", "CUST-11", "--only", "LINK-18"
    )
    judgement = json.loads(out)
    assert failures(judgement) == []
    assert not err
    assert code == 0
    assert judgement["skipped"] == 0
    assert judgement["passed"] >= 6


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "name the node as HOST:PORT, or say --own"),
        (("127.0.0.1:1", "--own"), 2, "name the node as HOST:PORT, or say --own"),
        (("not a host",), 2, "not HOST:PORT"),
        (("127.0.0.1:1",), 3, "nothing listens at that address"),
        (("127.0.0.1:1", "--only", "LINK-99"), 2, "no check is of clause LINK-99"),
        (("127.0.0.1:1", "--only", "DIR-40"), 2, "Binds apps"),
        (("127.0.0.1:1", "--invite", "waypost:nonsense"), 2, "not an invite"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(arguments: tuple[str, ...], code: int, words: str) -> None:
    found, out, err = ran(*arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1


def test_two_invites_must_be_for_two_users(node: Node) -> None:
    [invite] = node.invite("erin")
    code, _, err = ran(f"127.0.0.1:{node.port}", "--invite", invite)
    assert code == 2
    assert "two users" in err
