"""Peers: other nodes, as far as they are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import Struct

from waypost.clock import WallMs
from waypost.ids import Provider
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.storage.operations.base import Operation, Question


@dataclass(frozen=True, slots=True)
class PeerRow:
    provider: Provider
    key: bytes  #: empty: only heard of
    trust: Trust
    policy: PeerPolicy
    record: bytes
    first_ms: WallMs
    heard_ms: WallMs


class SavePeer(Struct, Operation[None], frozen=True):
    """Insert or replace.

    Beyond PEERS_MAX the one heard of the longest ago makes room, never one with a key or a policy; without any such
    Refused(QUOTA).
    """

    peer: PeerRow


class ForgetPeer(Struct, Operation[None], frozen=True):
    """Nothing if it is not known."""

    provider: Provider


class TellPeers(Struct, Operation[None], frozen=True):
    """Change nothing, and tell as a change, in its place among the others, all peers."""


PeersOperation = SavePeer | ForgetPeer | TellPeers


class PeerChanged(Struct, frozen=True):
    """How it is now; None: it is forgotten."""

    provider: Provider
    row: PeerRow | None


class PeersTold(Struct, frozen=True):
    """All there are, at this place among the changes; in the order of `AllPeers`."""

    peers: Sequence[PeerRow]


class AllPeers(Struct, Question[list[PeerRow]], frozen=True):
    """By name."""


PeersQuestion = AllPeers
