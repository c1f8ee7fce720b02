"""`waypost lab`: networks of nodes on this machine, and what they are good for. A file for each verb."""

from __future__ import annotations

import typer

from waypost.cli.lazy import LazyGroup, Verb
from waypost_lab.cli.interrupt import interruptible

#: What this package adds to `waypost`; pyproject.toml announces both.
DEMO = Verb(
    "demo",
    "waypost_lab.cli.demo:demo",
    "See it work: two nodes as real processes, two apps, encrypted messages, every hop accounted for.",
    leads=True,
)
LAB = Verb(
    "lab",
    "waypost_lab.cli:app",
    "Run, break, simulate and judge whole networks of nodes on this machine.",
)


VERBS = (
    Verb(
        "up",
        "waypost_lab.cli.up:up",
        "Start a network of real nodes on this machine, introduce them, join users, and show a live table.",
    ),
    Verb(
        "status",
        "waypost_lab.cli.show:status",
        "Show a running lab: its nodes, what passes through them, and what is wrong between them.",
    ),
    Verb(
        "traffic",
        "waypost_lab.cli.traffic:traffic",
        "Let random users of a running lab write to each other, and account for every message.",
    ),
    Verb("kill", "waypost_lab.cli.faults:kill", "End a node as a crash would (kill -9)."),
    Verb("stop", "waypost_lab.cli.faults:stop", "Stop a node in good order."),
    Verb("start", "waypost_lab.cli.faults:start", "Start a node that was stopped, was killed or has died."),
    Verb(
        "cut",
        "waypost_lab.cli.faults:cut",
        "Let nothing pass between two nodes: what they say is held, and what they dial does not answer.",
    ),
    Verb(
        "slow",
        "waypost_lab.cli.faults:slow",
        "Make everything between two nodes take so long, in each direction. 0ms takes it back.",
    ),
    Verb(
        "loss",
        "waypost_lab.cli.faults:loss",
        "Lose this share of the packets between two nodes. 0% takes it back.",
    ),
    Verb(
        "heal",
        "waypost_lab.cli.faults:heal",
        "Take back what cut, slow and loss have done, between two nodes or everywhere.",
    ),
    Verb(
        "down",
        "waypost_lab.cli.up:down",
        "Stop all nodes of a lab, remove what it has made, and see that nothing is left.",
    ),
    Verb(
        "report",
        "waypost_lab.cli.report:report",
        "Draw a run: messages, queues, latency and faults over time, nodes and links, all on one page of HTML.",
    ),
    Verb(
        "scenario",
        "waypost_lab.cli.scenario:scenario",
        "Play scenarios: a network, its people, and what happens to them, in sentences that anybody can read.",
    ),
    Verb(
        "simulate",
        "waypost_lab.cli.simulate:simulate",
        "Play hours of a network in seconds, break what can break, and watch that every promise holds.",
    ),
    Verb(
        "conformance",
        "waypost_lab.cli.conformance:conformance",
        "Judge a node by docs/protocol, clause by clause, with good and hostile inputs over real links.",
    ),
)


class _LabVerbs(LazyGroup):
    verbs = VERBS


app = typer.Typer(cls=_LabVerbs, no_args_is_help=True, help=LAB.help)


@app.callback()
def _lab(context: typer.Context) -> None:
    context.with_resource(interruptible())
