"""`scripts/bench simulate`: what virtual time costs, and how that grows with nodes, users and messages."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

from waypost_lab.simulate.plan import Plan
from waypost_lab.simulate.run import simulate

#: Nodes, each with ten users; then messages a day of each user, at 20 nodes.
_NODES = (5, 10, 20, 40)
_MESSAGES = (0.1, 12.0, 48.0, 192.0)


def bench(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of real time by size, and the growth from one to the next; `--full` plays a day of 100 nodes, too."""
    base = Plan(nodes=20, users=200, hours=options.hours)
    simulate(replace(base, nodes=2, users=4, hours=0.1))  # imports, and what is made once
    by_nodes = {f"{nodes} nodes": _cost(replace(base, nodes=nodes, users=10 * nodes)) for nodes in _NODES}
    by_messages = {f"{each:g} messages a day": _cost(replace(base, messages_a_day=each)) for each in _MESSAGES}
    result: dict[str, Any] = {**by_nodes, **by_messages}
    few, many = (by_nodes[f"{nodes} nodes"]["cpu_s"] for nodes in (_NODES[1], _NODES[-1]))
    result["growth_with_nodes"] = {"nodes": _NODES[-1] / _NODES[1], "cpu": round(many / few, 2)}
    least, most = (by_messages[f"{each:g} messages a day"] for each in (_MESSAGES[0], _MESSAGES[-1]))
    written = most["accepted"] - least["accepted"]
    result["ms_per_message"] = round((most["cpu_s"] - least["cpu_s"]) * 1000 / written, 2) if written else None
    if options.full:
        result["100 nodes, 24 h"] = _cost(Plan(nodes=100, users=1_000, hours=24.0, seed=7))
    return result


def _cost(plan: Plan) -> dict[str, Any]:
    cpu = time.process_time()
    played = simulate(plan)
    cpu_s = time.process_time() - cpu
    return {
        "wall_s": round(played.wall_s, 2),
        "cpu_s": round(cpu_s, 2),
        "virtual_h": round(played.virtual_s / 3_600, 2),
        "cpu_s_per_virtual_h": round(cpu_s * 3_600 / played.virtual_s, 2),
        "accepted": played.figures["accepted"],
        "events": played.events,
        "violations": len(played.violations),
    }
