"""Reach: whom an account lets write to it from other providers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from waypost.ids import Provider


class ReachMode(StrEnum):
    """The word of an account, or of its provider for accounts that say nothing."""

    DEFAULT = ""  #: as the provider says
    ALL = "all"
    NONE = "none"
    SOME = "some"  #: named providers


@dataclass(frozen=True, slots=True)
class Reach:
    """Providers are named with `SOME` and with nothing else. Raises ValueError otherwise."""

    mode: ReachMode
    providers: tuple[Provider, ...] = ()

    def __post_init__(self) -> None:
        if (self.mode is ReachMode.SOME) is not bool(self.providers):
            raise ValueError("providers are named for some, and for nothing else")

    def admits(self, provider: Provider) -> bool:
        """Whether users of that provider may write. `DEFAULT` says nothing, so it admits nobody."""
        return self.mode is ReachMode.ALL or (self.mode is ReachMode.SOME and provider in self.providers)

    def over(self, default: Reach) -> Reach:
        """What holds for an account of this word, with a provider of that one."""
        return default if self.mode is ReachMode.DEFAULT else self


EVERYONE: Final = Reach(ReachMode.ALL)
NOBODY: Final = Reach(ReachMode.NONE)
BY_DEFAULT: Final = Reach(ReachMode.DEFAULT)


def reach_of(mode: str, providers: Collection[Provider] = ()) -> Reach:
    """From words that came in. Raises ValueError if they make no reach."""
    return Reach(ReachMode(mode), tuple(providers))
