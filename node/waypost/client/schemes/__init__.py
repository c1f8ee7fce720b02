"""How a message is encrypted end to end: a module for each suite, behind one interface."""

from __future__ import annotations

from collections.abc import Callable

from waypost.client.profile.at_rest import AtRest
from waypost.client.profile.profile import Profile
from waypost.client.schemes.scheme import Scheme
from waypost.client.schemes.seal1 import Seal1


def schemes_of(profile: Profile, at_rest: AtRest, random: Callable[[int], bytes]) -> tuple[Scheme, ...]:
    """All can be read; the first is the one that messages are written in."""
    return (Seal1(profile, at_rest, random),)
