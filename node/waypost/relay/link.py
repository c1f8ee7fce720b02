"""One live link of a relay: a session, the pump that drives it, and who is at the other end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waypost.clock import Instant
from waypost.errors import Code
from waypost.links.pump import Pump
from waypost.links.stream import Stream
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.protocol.frames.session import Event, Session


class Link:
    """Made once the peer is admitted. `source` names the peer in traces: a provider, or an address."""

    def __init__(self, stream: Stream, session: Session, peer: PeerIdentity, since: Instant, log: Any) -> None:
        self.session = session
        self.peer = peer
        self.source = peer.name
        self.since = since
        self.taken = 0  #: envelopes accepted over this link
        self.given = 0  #: envelopes handed over
        self.receipts = 0  #: that have come
        self._log = log
        self._looked = (0, since)  #: `receipts` when they last moved, and when that was seen
        self._handler: Callable[[list[Event]], None] | None = None
        self._pump = Pump(stream, session, self._handle)

    def handle_with(self, handler: Callable[[list[Event]], None]) -> None:
        """Who gets the events; set before `run`."""
        self._handler = handler

    def _handle(self, events: list[Event]) -> None:
        assert self._handler is not None  # noqa: S101 - set before run
        try:
            self._handler(events)
        except Exception as error:  # noqa: BLE001 # reason: the other links go on
            self.broken(error)

    def broken(self, error: Exception) -> None:
        """Serving this link has failed in a way that nobody foresaw: it alone ends."""
        self._log.error("unforeseen trouble on a link", peer=self.source, exc_info=error)
        self.close(Code.INTERNAL)

    async def run(self) -> None:
        """Until the link ends."""
        await self._pump.run()

    def stalled_s(self, now: Instant) -> float:
        """Seconds that batches of ours have been in flight without any receipt, as far as calls of this have seen."""
        receipts, since = self._looked
        if not self.session.in_flight or self.receipts != receipts:
            self._looked = self.receipts, now
            return 0.0
        return now - since

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
