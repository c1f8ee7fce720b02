"""What the runners have in common."""

from __future__ import annotations

from typing import Any

from waypost.mls.base.bounds import Rules

#: Vectors are old, or valid for ever: no lifetime is refused.
RULES = Rules(lifetime_max_s=2**64, clock_skew_s=2**64)
NOW = 1_700_000_000


Case = dict[str, Any]


def unhexed(given: Any) -> Any:
    """A vector with its hexadecimal texts as bytes: all texts but labels. Raises ValueError."""
    match given:
        case dict():
            return {name: each if name == "label" else unhexed(each) for name, each in given.items()}
        case list():
            return [unhexed(each) for each in given]
        case str():
            return bytes.fromhex(given)
        case _:
            return given


def same(what: str, found: Any, expected: Any) -> None:
    """Raises AssertionError, saying what differs."""
    if found != expected:
        raise AssertionError(f"{what}: {_show(found)} instead of {_show(expected)}")


def _show(value: Any) -> str:
    text = value.hex() if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else text[:77] + "…"
