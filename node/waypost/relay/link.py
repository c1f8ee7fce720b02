"""One live link of a relay: a session, the pump that drives it, and who is at the other end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from waypost.clock import Instant
from waypost.errors import Code
from waypost.links.pump import Pump
from waypost.links.stream import Stream
from waypost.protocol.handshake import PeerIdentity
from waypost.protocol.messages import Ask
from waypost.protocol.session import Event, Session


class Link:
    """Made once the peer is admitted. `source` names the peer in traces: a provider, or an address."""

    def __init__(self, stream: Stream, session: Session, peer: PeerIdentity, since: Instant) -> None:
        self.session = session
        self.peer = peer
        self.source = peer.name
        self.since = since
        self.taken = 0  #: envelopes accepted over this link
        self.given = 0  #: envelopes handed over
        self._handler: Callable[[list[Event]], Awaitable[None] | None] | None = None
        self._pump = Pump(stream, session, self._handle)

    def handle_with(self, handler: Callable[[list[Event]], Awaitable[None] | None]) -> None:
        """Who gets the events; set before `run`."""
        self._handler = handler

    def _handle(self, events: list[Event]) -> Awaitable[None] | None:
        assert self._handler is not None  # noqa: S101 - set before run
        return self._handler(events)

    async def run(self) -> None:
        """Until the link ends."""
        await self._pump.run()

    def wake(self) -> None:
        """After anything was said through `session`."""
        self._pump.wake()

    def close(self, code: Code, text: str = "") -> None:
        self._pump.close(code, text)

    def ask(self, ask: Ask, token: Any, now: Instant) -> bool:
        """Whether it could be asked; `Answered` brings the token back."""
        if not self.session.can_ask:
            return False
        self.session.ask(ask, token, now)
        self.wake()
        return True
