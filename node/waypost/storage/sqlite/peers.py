"""Peers, as SQL on a connection whose transaction the caller holds."""

from __future__ import annotations

import sqlite3
from typing import Any, assert_never

from waypost.errors import Code, Refused
from waypost.ids import Provider
from waypost.limits import PEERS_MAX
from waypost.protocol.directory.trust import PeerPolicy, Trust
from waypost.storage.operations import peers as ops
from waypost.storage.operations.changes import Change
from waypost.storage.operations.peers import PeerChanged, PeerRow, PeersTold


def write(conn: sqlite3.Connection, operation: ops.PeersOperation, changes: list[Change]) -> None:
    """Do it; `changes` grows by what it has changed."""
    match operation:
        case ops.SavePeer(peer):
            _save(conn, peer, changes)
        case ops.ForgetPeer(provider):
            _forget(conn, provider, changes)
        case ops.TellPeers():
            changes.append(PeersTold(_peers(conn)))
        case _:
            assert_never(operation)


def answer(conn: sqlite3.Connection, question: ops.PeersQuestion) -> Any:
    """See the question."""
    match question:
        case ops.AllPeers():
            return _peers(conn)
        case _:
            assert_never(question)


def _save(conn: sqlite3.Connection, peer: PeerRow, changes: list[Change]) -> None:
    known = conn.execute("SELECT 1 FROM peer WHERE provider = ?", (peer.provider,)).fetchone()
    if not known and conn.execute("SELECT count(*) FROM peer").fetchone()[0] >= PEERS_MAX:
        oldest = conn.execute(
            "SELECT provider FROM peer WHERE key = x'' AND policy = '' ORDER BY heard_ms, provider LIMIT 1"
        ).fetchone()
        if oldest is None:
            raise Refused(Code.QUOTA, f"{PEERS_MAX} peers are known")
        _forget(conn, Provider(oldest[0]), changes)
    conn.execute(
        "INSERT OR REPLACE INTO peer (provider, key, trust, policy, record, first_ms, heard_ms)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (peer.provider, peer.key, peer.trust, peer.policy, peer.record, peer.first_ms, peer.heard_ms),
    )
    changes.append(PeerChanged(peer.provider, peer))


def _forget(conn: sqlite3.Connection, provider: Provider, changes: list[Change]) -> None:
    conn.execute("DELETE FROM peer WHERE provider = ?", (provider,))
    changes.append(PeerChanged(provider, None))


def _peers(conn: sqlite3.Connection) -> list[PeerRow]:
    rows = conn.execute("SELECT provider, key, trust, policy, record, first_ms, heard_ms FROM peer ORDER BY provider")
    return [
        PeerRow(provider, key, Trust(trust), PeerPolicy(policy), *rest) for provider, key, trust, policy, *rest in rows
    ]
