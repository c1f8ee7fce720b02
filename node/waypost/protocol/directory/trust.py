"""What a provider makes of others: whom it takes, how a key was learnt, and the operator's word."""

from __future__ import annotations

from enum import StrEnum


class Mode(StrEnum):
    """Which peers are taken; blocked ones never are."""

    OPEN = "open"  #: anyone; a key that nothing vouches for is pinned at first use
    KNOWN = "known"  #: pinned, or verifiable by DNS or by the operator's configuration
    ALLOWLIST = "allowlist"  #: those that the operator has allowed, and only with the right key


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
