"""Chance, so that those who wait for the same thing do not come together."""

from __future__ import annotations

from collections.abc import Callable


def spread(random: Callable[[int], bytes]) -> float:
    """From 0 to 1, without 1."""
    return int.from_bytes(random(2), "big") / 2**16
