"""Which node a verb is about, and how it is asked."""

from __future__ import annotations

from pathlib import Path

from waypost.daemon.ask import Node, ask_node
from waypost.daemon.state import StateDir, default_state

__all__ = ["Node", "ask_node", "state_dir"]


def state_dir(path: Path | None) -> StateDir:
    """The directory that --state names, or the default."""
    return StateDir((path or default_state()).expanduser().absolute())
