"""Which nodes and pairs are undisturbed: whatever happens elsewhere must not slow them."""

from __future__ import annotations

from collections import Counter
from typing import Final

import trio

from waypost.clock import NEVER, Instant

#: After a fault has ended, what it held up may still be on its way.
GRACE_S: Final = 60.0


class Health:
    """Faults report here. A target is a node's name, an app's address, or `pair` of two nodes."""

    def __init__(self) -> None:
        self._active: Counter[str] = Counter()
        self._touched: dict[str, Instant] = {}

    def begin(self, *targets: str) -> None:
        self._active.update(targets)
        for target in targets:
            self._touched[target] = trio.current_time()

    def end(self, *targets: str) -> None:
        self._active.subtract(targets)
        for target in targets:
            self._touched[target] = trio.current_time()

    def calm_since(self, *targets: str) -> Instant:
        """Since when none of them has been touched; NEVER if one is in trouble now."""
        if any(self._active[target] > 0 for target in targets):
            return NEVER
        return max((self._touched.get(target, 0.0) for target in targets), default=0.0)


def pair(one: str, other: str) -> str:
    """The way between two nodes, whichever way."""
    return " – ".join(sorted((one, other)))
