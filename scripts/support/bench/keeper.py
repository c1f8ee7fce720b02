"""Holds the nodes of one side: runs in that side's tree with that side's interpreter, and is told what to do by lines.

It stands alone, since the tree may be of any commit: only `scripts.support.nodes` is asked of it. A line in is
{"do": WORD, "node": NAME, ...}, a line out {"ok": ...} or {"error": TEXT}. When its input ends, it ends all nodes.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from contextlib import closing, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from scripts.support.nodes import Node

_CLONE_NEWNET = 0x40000000  #: sched.h


def stored(node: Node) -> int:
    """How many envelopes wait at the node."""
    count = getattr(node, "stored", None)
    if count is not None:
        return int(count())
    # Commits before `Node.stored` came.
    with import_module("waypost.cli.node").ask_node(node.state) as asked:
        return int(asked.ask(_operator().GetStatus())["store"]["envelopes"])


def _operator() -> Any:
    try:
        return import_module("waypost.protocol.operator")
    except ModuleNotFoundError:
        return import_module("waypost.protocol.admin")


def edit(node: Node, old: str, new: str) -> None:
    """Another configuration, from the next start."""
    text = node.state.config.read_text()
    if old not in text:
        raise RuntimeError(f"{node.name}: its configuration has no {old!r}")
    node.state.config.write_text(text.replace(old, new))


def move_apart() -> None:
    """Into a network with a loopback and nothing else: multicast must not meet other nodes of this machine."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET):
        reason = os.strerror(ctypes.get_errno())
        print(
            f"waypost: the nodes may meet others on this machine: no network of their own ({reason})", file=sys.stderr
        )
        return
    # Raises CalledProcessError or FileNotFoundError; it ends the run, since nothing works without loopback.
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


class Keeper:
    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {}

    def obey(self, do: str, node: str, **more: Any) -> Any:
        if do == "make":
            self._nodes[node] = Node(node, Path(more["where"]), limits=more["limits"])
            return {"database": str(self._nodes[node].state.database)}
        kept = self._nodes[node]
        match do:
            case "start":
                kept.start()
                return {"pid": kept.pid, "port": kept.port}
            case "stop":
                kept.stop()
            case "kill":
                kept.kill()
            case "invite":
                return kept.invite(*more["users"])
            case "stored":
                return stored(kept)
            case "reconfigure":
                kept.reconfigure(more["peers"], more["limits"])
            case "edit":
                edit(kept, more["old"], more["new"])
            case _:
                raise ValueError(do)
        return None

    def close(self) -> None:
        for node in self._nodes.values():
            if node.process is not None:
                node.kill()


def main() -> None:
    if "apart" in sys.argv[1:]:
        move_apart()
    keeper = Keeper()
    # The first to hear of Ctrl-C need not be the first to act: the end of the input says the same.
    with suppress(KeyboardInterrupt), closing(keeper):
        for line in sys.stdin:
            try:
                answer = {"ok": keeper.obey(**json.loads(line))}
            except Exception as error:  # noqa: BLE001 # reason: whoever asked is in another process, and must hear it
                answer = {"error": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
