"""Faults of the ways between the nodes of a box."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from waypost.errors import Code, Refused
from waypost_lab.box.plan import find
from waypost_lab.box.proxy import Ways
from waypost_lab.faults.noted import Note, Noted
from waypost_lab.faults.words import Cut, Heal, Loss, Mend, OnWay, Slow
from waypost_lab.ways import CLEAR, Way


class BoxFaults(Noted):
    """Names of nodes are taken with or without `.local`.

    Whatever names two nodes raises LocalError(BAD_REQUEST) if one is not there, and Refused if both are the same.
    """

    def __init__(self, network: Ways, names: Sequence[str], now: Callable[[], float], note: Note) -> None:
        super().__init__(now, note)
        self._network = network
        self._names = names

    def pairs(self, a: str, b: str, *, one_way: bool) -> list[tuple[str, str]]:
        """The ways between two."""
        first, second = find(self._names, a), find(self._names, b)
        if first == second:
            raise Refused(Code.BAD_REQUEST, f"{first} is both ends; name two nodes")
        return [(first, second)] if one_way else [(first, second), (second, first)]

    def apply(self, source: str, to: str, way: Way) -> None:
        """One way as a plan describes it."""
        self._network.shape(source, to, way)
        name = "cut" if way.cut else "loss" if way.loss else "slow"
        if not way.is_clear:
            self.begin(name, (source, to), f"{way.words()} one way".removeprefix("cut "))

    def do(self, fault: OnWay) -> list[tuple[str, str]]:
        """Returns the ways that it concerns."""
        change: dict[str, Any]
        match fault:
            case Cut() | Mend():
                name, detail, change = "cut", "", {"cut": isinstance(fault, Cut)}
            case Slow(_, _, latency_s, jitter_s):
                name, detail = "slow", Way(latency_s, jitter_s).words()
                change = {"latency_s": latency_s, "jitter_s": jitter_s}
            case Loss(_, _, share):
                name, detail, change = "loss", f"{share:.1%}", {"loss": share}
        pairs = self.pairs(fault.a, fault.b, one_way=fault.one_way)
        for pair in pairs:
            self._network.shape(*pair, replace(self._network.way(*pair), **change))
        self.end(pairs, name)
        if replace(CLEAR, **change) != CLEAR:
            self.begin(name, pairs[0], f"{detail} {'one way' if fault.one_way else ''}".strip(), pairs)
        return pairs

    def heal(self, fault: Heal) -> list[str]:
        """Returns what was wrong. Raises Refused."""
        if bool(fault.a) is not bool(fault.b):
            raise Refused(Code.BAD_REQUEST, "name two nodes, or none for all links")
        faults = self._network.faults()
        wanted = set(self.pairs(fault.a, fault.b, one_way=False)) if fault.a else set(faults)
        for pair in wanted:
            self._network.shape(*pair, CLEAR)
        self.end(wanted)
        return [f"{source} → {to}: {faults[source, to].words()}" for source, to in sorted(wanted & set(faults))]
