"""`scripts/bench memory`: a node tells what its allocators hold."""

from __future__ import annotations

import argparse
from pathlib import Path

from scripts.support.bench.memory import memory
from scripts.support.bench.sides import this_side


def test_devices_cost_memory_and_lose_nothing(tmp_path: Path) -> None:
    options = argparse.Namespace(devices=3, messages=10, dir=str(tmp_path), keep=False, settle_s=0.3)
    told = memory(this_side(), options)
    # OpenSSL alone takes 30 KiB for a connection, and a whole node does not fit into its devices.
    assert 20 < told["idle_kib"] < 1000
    assert told["after_backlog_malloc_kib"] > 20
    assert told["node_empty_mib"] > 5
    assert (told["lost"], told["duplicates"]) == (0, 0)
