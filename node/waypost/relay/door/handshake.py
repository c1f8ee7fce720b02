"""This node's side of every handshake."""

from __future__ import annotations

from waypost.clock import Clock
from waypost.crypto.keys import SigningKey
from waypost.ids import Provider
from waypost.limits import WINDOW_BYTES, WINDOW_ENVELOPES
from waypost.links.pump import greet
from waypost.links.stream import Stream
from waypost.protocol.frames.handshake import Handshake, Own, PeerIdentity
from waypost.protocol.frames.messages import Role
from waypost.protocol.frames.session import Session
from waypost.relay.federation.own_record import FEATURES, OwnRecord


class Greeting:
    """Says who we are and learns who is there."""

    def __init__(self, provider: Provider, key: SigningKey, epoch: int, own: OwnRecord, clock: Clock) -> None:
        self._provider = provider
        self._key = key
        self._epoch = epoch
        self._own = own
        self._clock = clock

    async def exchange(self, stream: Stream) -> tuple[Session, PeerIdentity]:
        """Raises PeerFault, LinkBroken; the stream is closed then."""
        own = Own(
            Role.NODE,
            self._provider,
            self._key,
            FEATURES,
            WINDOW_ENVELOPES,
            WINDOW_BYTES,
            self._own.signed,
            self._epoch,
        )
        handshake = Handshake(own, stream.channel, self._clock.wall_ms())
        identity = await greet(stream, handshake)
        return handshake.finish(self._clock.instant()), identity
