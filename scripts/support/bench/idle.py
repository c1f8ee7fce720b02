"""`scripts/bench idle`: the CPU of nodes that have found each other by multicast and have nothing to do."""

from __future__ import annotations

import argparse
import statistics
import time
from typing import Any

from scripts.support.bench.drivers import workplace
from scripts.support.bench.nodes import nodes_of
from scripts.support.bench.sides import Side

#: Announcing, asking and answering take their time; what comes after is idling.
SETTLE_S = 30.0


def idle(side: Side, options: argparse.Namespace) -> dict[str, Any]:
    """Percent of one core for each node, over `--minutes`; `links` is how many of the others it has found."""
    with workplace(options) as where, nodes_of(side, where, apart=True) as nodes:
        made = [nodes.make(f"node{number}.local") for number in range(options.nodes)]
        for node in made:
            node.edit("[mdns]\nenabled = false", '[mdns]\nenabled = true\ninterfaces = ["127.0.0.1"]')
        for node in made:
            node.start()
        time.sleep(options.settle_s)
        before, begun = [node.cpu_s() for node in made], time.monotonic()
        time.sleep(options.minutes * 60)
        after, seconds = [node.cpu_s() for node in made], time.monotonic() - begun
        links = [node.links() for node in made]
        resident = [node.rss_mib() for node in made]
    used = [100 * (b - a) / seconds for a, b in zip(before, after, strict=True)]
    return {
        "nodes": options.nodes,
        "minutes": options.minutes,
        "cpu_percent": round(statistics.mean(used), 3),
        "cpu_percent_worst": round(max(used), 3),
        "links": statistics.mean(links),
        "rss_mib": round(statistics.mean(resident), 1),
    }
