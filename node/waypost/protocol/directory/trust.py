"""What a provider makes of another: how its key was learnt, and the operator's word."""

from __future__ import annotations

from enum import StrEnum


class Trust(StrEnum):
    """How a peer's key was learnt."""

    NONE = ""  #: not at all: the peer is only heard of
    FIRST_USE = "first-use"
    PINNED = "pinned"  #: by the operator
    DNS = "dns"
    SUCCESSION = "succession"  #: the key before it signed it


class PeerPolicy(StrEnum):
    """The operator's word on a peer."""

    NONE = ""
    ALLOW = "allow"
    BLOCK = "block"
