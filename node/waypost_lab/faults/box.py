"""What is done to a running box: to its links, and what the timeline is told of every fault."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial

from waypost.errors import Code, Refused
from waypost_lab.box.plan import find
from waypost_lab.box.proxy import Network
from waypost_lab.box.ways import CLEAR, Way
from waypost_lab.timeline import AnyEvent, Fault, Mended

Note = Callable[[AnyEvent], None]


class Faults:
    """Names of nodes are taken with or without `.local`.

    Whatever names two nodes raises LocalError(BAD_REQUEST) if one is not there, and Refused if both are the same.
    """

    def __init__(self, network: Network, names: Sequence[str], now: Callable[[], float], note: Note) -> None:
        self._network = network
        self._names = names
        self._now = now
        self._note = note
        self._open: dict[int, tuple[str, set[tuple[str, str]]]] = {}
        self._numbers = 0

    def begin(self, name: str, nodes: Iterable[str], detail: str = "") -> int:
        """A fault has begun; returns its number, for `over`."""
        self._numbers += 1
        self._note(Fault(t=self._now(), id=self._numbers, name=name, nodes=tuple(nodes), detail=detail))
        return self._numbers

    def over(self, number: int) -> None:
        """That fault is over."""
        self._note(Mended(t=self._now(), id=number))

    # ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _pairs(self, a: str, b: str, *, one_way: bool) -> list[tuple[str, str]]:
        first, second = find(self._names, a), find(self._names, b)
        if first == second:
            raise Refused(Code.BAD_REQUEST, f"{first} is both ends; name two nodes")
        return [(first, second)] if one_way else [(first, second), (second, first)]

    def apply(self, source: str, to: str, way: Way) -> None:
        """One way as a plan describes it."""
        self._network.shape(source, to, way)
        name = "cut" if way.cut else "loss" if way.loss else "slow"
        if not way.is_clear:
            number = self.begin(name, (source, to), f"{way.words()} one way".removeprefix("cut "))
            self._open[number] = name, {(source, to)}

    def cut(self, a: str, b: str, *, one_way: bool = False) -> None:
        """Nothing passes any more, from `a` to `b` or both ways."""
        self._shape("cut", "", self._pairs(a, b, one_way=one_way), partial(replace, cut=True))

    def slow(self, a: str, b: str, latency_s: float, jitter_s: float = 0.0, *, one_way: bool = False) -> None:
        """Everything takes so long in each direction; 0 takes it back."""
        change = partial(replace, latency_s=latency_s, jitter_s=jitter_s)
        self._shape("slow", Way(latency_s, jitter_s).words(), self._pairs(a, b, one_way=one_way), change)

    def lose(self, a: str, b: str, loss: float, *, one_way: bool = False) -> None:
        """This share of packets is lost; 0 takes it back."""
        change = partial(replace, loss=loss)
        self._shape("loss", f"{loss:.1%}", self._pairs(a, b, one_way=one_way), change)

    def _shape(self, name: str, detail: str, pairs: Sequence[tuple[str, str]], change: Callable[[Way], Way]) -> None:
        for pair in pairs:
            self._network.shape(*pair, change(self._network.way(*pair)))
        self._replaced(pairs, name)
        if not change(CLEAR).is_clear:
            number = self.begin(name, pairs[0], " ".join(filter(None, (detail, "one way" if len(pairs) == 1 else ""))))
            self._open[number] = name, set(pairs)

    def _replaced(self, pairs: Iterable[tuple[str, str]], name: str = "") -> None:
        """What was wrong there until now, with that name or any, is so no more."""
        for number, (kind, open_pairs) in list(self._open.items()):
            if name in ("", kind):
                open_pairs.difference_update(pairs)
            if not open_pairs:
                del self._open[number]
                self.over(number)

    def heal(self, a: str = "", b: str = "") -> list[str]:
        """All faults between two nodes, both ways, or all there are; returns what they were. Raises Refused."""
        if bool(a) is not bool(b):
            raise Refused(Code.BAD_REQUEST, "name two nodes, or none for all links")
        faults = self._network.faults()
        wanted = set(self._pairs(a, b, one_way=False)) if a else set(faults)
        for pair in wanted:
            self._network.shape(*pair, CLEAR)
        self._replaced(wanted)
        return [f"{source} → {to}: {faults[source, to].words()}" for source, to in sorted(wanted & set(faults))]
