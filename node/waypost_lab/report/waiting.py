"""What waits at a moment, from a timeline's `Queue` events."""

from __future__ import annotations

from waypost_lab.timeline import Queue

_QUEUES = 200_000  #: not empty at once; events of more than these are left out
_ITEMS = 10**15


class Waiting:
    """Sums over queues. Empty ones take no memory."""

    def __init__(self) -> None:
        self._items: dict[tuple[str, str], int] = {}
        self.by_peer: dict[str, int] = {}
        self.by_node: dict[str, int] = {}
        self.total = 0

    def note(self, event: Queue) -> None:
        key, items = (event.node, event.peer), min(max(0, event.items), _ITEMS)
        before = self._items.get(key, 0)
        if items == before or (not before and len(self._items) >= _QUEUES):
            return
        if items:
            self._items[key] = items
        else:
            del self._items[key]
        self.total += items - before
        _change(self.by_peer, event.peer, items - before)
        _change(self.by_node, event.node, items - before)


def _change(sums: dict[str, int], name: str, by: int) -> None:
    now = sums.get(name, 0) + by
    if now:
        sums[name] = now
    else:
        sums.pop(name, None)
