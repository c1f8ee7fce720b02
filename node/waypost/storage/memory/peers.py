"""Operations on peers, and questions about them."""

from __future__ import annotations

from typing import Any, assert_never

from waypost.errors import Code, Refused
from waypost.limits import PEERS_MAX
from waypost.storage.memory.state import MemoryState
from waypost.storage.operations import peers as ops
from waypost.storage.operations.changes import Change
from waypost.storage.operations.peers import PeerChanged, PeerRow, PeersTold


def write(state: MemoryState, operation: ops.PeersOperation, changes: list[Change]) -> None:
    """Do it; `changes` grows by what it has changed."""
    match operation:
        case ops.SavePeer(peer):
            _save(state, peer, changes)
        case ops.ForgetPeer(provider):
            state.peers.pop(provider, None)
            changes.append(PeerChanged(provider, None))
        case ops.TellPeers():
            changes.append(PeersTold(_peers(state)))
        case _:
            assert_never(operation)


def answer(state: MemoryState, question: ops.PeersQuestion) -> Any:
    """See the question."""
    match question:
        case ops.AllPeers():
            return _peers(state)
        case _:
            assert_never(question)


def _save(state: MemoryState, peer: PeerRow, changes: list[Change]) -> None:
    if peer.provider not in state.peers and len(state.peers) >= PEERS_MAX:
        heard_of = [(p.heard_ms, p.provider) for p in state.peers.values() if not p.key and not p.policy]
        if not heard_of:
            raise Refused(Code.QUOTA, f"{len(state.peers)} peers are known")
        gone = min(heard_of)[1]
        del state.peers[gone]
        changes.append(PeerChanged(gone, None))
    state.peers[peer.provider] = peer
    changes.append(PeerChanged(peer.provider, peer))


def _peers(state: MemoryState) -> list[PeerRow]:
    return sorted(state.peers.values(), key=lambda peer: peer.provider)
