"""Which node a verb is about, and how it is asked."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from waypost.daemon.ask import ask_node
from waypost.daemon.state import StateDir, default_state
from waypost.protocol.operator import OperatorRequest

A = TypeVar("A")


def state_dir(path: Path | None) -> StateDir:
    """The directory that --state names, or the default."""
    return StateDir((path or default_state()).expanduser().absolute())


def ask(path: Path | None, request: OperatorRequest[A]) -> A:
    """The answer of the node on that directory. Raises what the node answers, and as `ask_node`."""
    with ask_node(state_dir(path)) as node:
        return node.ask(request)
