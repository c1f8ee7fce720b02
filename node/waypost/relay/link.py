"""One live link of a relay: a session, the pump that drives it, and who is at the other end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from waypost.clock import Instant, WallMs
from waypost.errors import Code
from waypost.limits import NOTICE_IDS_MAX
from waypost.links.pump import Pump
from waypost.links.stream import Stream
from waypost.protocol.custody.fate import State
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.protocol.frames.messages import Notice, NoticeKind, Role
from waypost.protocol.frames.session import Event, Session
from waypost.routing.quota import TokenBucket


class Link:
    """Made once the peer is admitted. `source` names the peer in traces: a provider, or an address.

    `mail`: the envelopes that the peer or account may send; `serve` is told of what has come over the link.
    """

    def __init__(
        self,
        stream: Stream,
        session: Session,
        peer: PeerIdentity,
        since: Instant,
        log: Any,
        mail: TokenBucket,
        serve: Callable[[Link, list[Event]], None],
    ) -> None:
        self.session = session
        self.peer = peer
        self.source = peer.name
        self.since = since
        self.mail = mail
        self.taken = 0  #: envelopes accepted over this link
        self.given = 0  #: envelopes handed over
        self.receipts = 0  #: that have come
        self._log = log
        self._looked = (0, since)  #: `receipts` when they last moved, and when that was seen
        self._serve = serve
        self._pump = Pump(stream, session, self._handle)

    @property
    def is_device(self) -> bool:
        """Whether a device of ours is at the other end; else another node."""
        return self.peer.role is Role.DEVICE

    def _handle(self, events: list[Event]) -> None:
        try:
            self._serve(self, events)
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

    def tell(self, state: State, ids: Sequence[bytes], code: int, at_ms: WallMs) -> None:
        """News of messages that this device has sent: `HELD`, or `WAITING` with the reason and the next try."""
        kind = NoticeKind.HELD if state is State.HELD else NoticeKind.WAITING
        for start in range(0, len(ids), NOTICE_IDS_MAX):
            joined = b"".join(ids[start : start + NOTICE_IDS_MAX])
            self.session.notice(Notice(kind, code, at_ms, joined))
        self.wake()
