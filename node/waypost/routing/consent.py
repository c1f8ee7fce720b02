"""Whose mail an account takes: its own word, else its provider's default."""

from __future__ import annotations

from collections.abc import Collection

from waypost.ids import Provider


def reachable(
    reach: str,
    providers: Collection[Provider],
    default_reach: str,
    default_providers: Collection[Provider],
    sender_provider: Provider,
    own_provider: Provider,
) -> bool:
    """Whether users of `sender_provider` may write to an account of `own_provider`.

    `reach` is `all`, `none`, `some` (the named providers) or empty (the default). Users of one's own provider always
    may. A word that is none of these admits nobody.
    """
    if sender_provider == own_provider:
        return True
    word, named = (reach, providers) if reach else (default_reach, default_providers)
    return word == "all" or (word == "some" and sender_provider in named)
