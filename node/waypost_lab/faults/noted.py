"""Which faults are open, and what a timeline is told of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from waypost_lab.timeline import AnyEvent, Fault, Mended

Note = Callable[[AnyEvent], None]
Place = tuple[str, ...]  #: a node, or the two ends of a way


class Noted:
    """`now` gives the timeline's seconds. What happens anew at a place replaces what was wrong there, by name."""

    def __init__(self, now: Callable[[], float], note: Note) -> None:
        self._now = now
        self._note = note
        self._open: dict[int, tuple[str, set[Place]]] = {}
        self._numbers = 0

    def begin(self, name: str, nodes: Iterable[str], detail: str = "", places: Iterable[Place] = ()) -> int:
        """A fault has begun, at these places, or at those nodes; returns its number, for `over`."""
        nodes = tuple(nodes)
        at = set(places) or {nodes}
        self.end(at, name)
        self._numbers += 1
        self._open[self._numbers] = name, at
        self._note(Fault(t=self._now(), id=self._numbers, name=name, nodes=nodes, detail=detail))
        return self._numbers

    def over(self, number: int) -> None:
        """That fault is over."""
        if self._open.pop(number, None) is not None:
            self._note(Mended(t=self._now(), id=number))

    def end(self, places: Iterable[Place], name: str = "") -> None:
        """What was wrong there until now, with that name or any, is so no more."""
        gone = set(places)
        for number, (kind, at) in list(self._open.items()):
            if name in ("", kind):
                at.difference_update(gone)
            if not at:
                self.over(number)
