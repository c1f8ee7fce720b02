"""Whole networks on one machine: to try things out, to test apps against, and to break the relay before others do.

`fabric` is a network inside one process whose faults are options; on it stand `testnet` (for app developers' tests),
`scenario` (dialogues as text) and `simulate` (hours of a hundred nodes from one seed). `box` runs real nodes as
processes with a `proxy` in each path. `conformance` judges any node over a real link. `timeline` is what a run writes
down, `report` makes a page of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from waypost_lab.deterministic import run
    from waypost_lab.machine import Make
    from waypost_lab.testnet import Network, network

__all__ = ["Make", "Network", "network", "run"]

_WHERE = {"Make": "machine", "Network": "testnet", "network": "testnet", "run": "deterministic"}


def __getattr__(name: str) -> Any:
    """What an app developer's test uses, loaded when it is asked for: verbs of the command line need none of it."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - as the rest

    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
