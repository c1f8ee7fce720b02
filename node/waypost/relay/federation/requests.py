"""What is asked of peers on behalf of local users, such as the keys of theirs."""

from __future__ import annotations

from dataclasses import dataclass, field

import trio

from waypost.clock import Clock
from waypost.errors import Code, Kind, Refused
from waypost.limits import QUERY_TIMEOUT_S
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.messages import Answer
from waypost.relay.federation.lookup import Lookup
from waypost.relay.link import Link
from waypost.relay.peer import Peer
from waypost.relay.peers import Peers


@dataclass(eq=False)
class _Pending:
    """An answer that somebody waits for; without one when `done`: the link has ended."""

    link: Link
    done: trio.Event = field(default_factory=trio.Event)
    answer: Answer | None = None


class Requests:
    """See the module."""

    def __init__(self, peers: Peers, lookup: Lookup, clock: Clock) -> None:
        self._peers = peers
        self._lookup = lookup
        self._clock = clock
        self._pending: set[_Pending] = set()

    async def ask_peer(self, provider: str, ask: Ask) -> tuple[Answer, bytes]:
        """The peer's answer and its record. Raises Refused."""
        peer = self._peers.get(provider)
        if peer is None:
            await self._lookup.find(provider)
            peer = self._peers.get(provider)
        if peer is None:
            raise Refused(Code.BUSY)
        if peer.blocked:
            raise Refused(Code.BLOCKED)
        if peer.gone:
            raise Refused(Code.PEER_GONE)
        return await self._ask(peer, await self._linked(peer), ask)

    async def _ask(self, peer: Peer, link: Link, ask: Ask) -> tuple[Answer, bytes]:
        pending = _Pending(link)
        if not link.ask(ask, pending, self._clock.instant()):
            raise Refused(Code.BUSY)
        self._pending.add(pending)
        try:
            with trio.move_on_after(QUERY_TIMEOUT_S + 1):
                await pending.done.wait()
        finally:
            self._pending.discard(pending)
        if pending.answer is None:
            raise Refused(Code.UNREACHABLE if pending.done.is_set() else Code.TIMED_OUT)
        return pending.answer, peer.row.record

    async def _linked(self, peer: Peer) -> Link:
        """The peer's link; if there is none, the result of the next try, unless that is far off."""
        soon = self._clock.instant() + QUERY_TIMEOUT_S
        if (peer.link is None or peer.link.session.closed) and peer.backoff.next_try <= soon:
            peer.asked_for += 1
            self._peers.wake(peer)
            try:
                with trio.move_on_after(QUERY_TIMEOUT_S):
                    await peer.tried.wait()
            finally:
                peer.asked_for -= 1
        if peer.link is None:
            later = peer.trouble is not None and peer.trouble.code.kind is Kind.LATER
            raise Refused(peer.trouble.code if peer.trouble and later else Code.UNREACHABLE)
        return peer.link

    def answered(self, token: object, answer: Answer) -> None:
        """The answer to something that was asked here."""
        if isinstance(token, _Pending):
            token.answer = answer
            token.done.set()

    def link_ended(self, link: Link) -> None:
        """No more answers will come over it."""
        for pending in self._pending:
            if pending.link is link:
                pending.done.set()
