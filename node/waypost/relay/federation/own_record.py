"""This node's own record, as it is announced."""

from __future__ import annotations

from waypost.clock import Clock, WallMs
from waypost.crypto.keys import SigningKey
from waypost.ids import Provider
from waypost.limits import BODY_MAX_BYTES, RECORD_LIFETIME_MS
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, sign_record

FEATURES = ("seal.1",)


class OwnRecord:
    """Signed anew whenever it changes. `signed`: its bytes; `endpoints`: those announced."""

    def __init__(
        self, provider: Provider, key: SigningKey, clock: Clock, endpoints: tuple[RecordEndpoint, ...]
    ) -> None:
        self._provider = provider
        self._key = key
        self._clock = clock
        self.endpoints = endpoints
        self._signed_ms: WallMs = 0
        self._sequence = 0
        self.signed = self._sign(RecordState.ACTIVE, "")

    def renew(
        self, endpoints: tuple[RecordEndpoint, ...], state: RecordState = RecordState.ACTIVE, moved_to: str = ""
    ) -> None:
        """A new one in place of the one before."""
        self.endpoints = endpoints
        self.signed = self._sign(state, moved_to)

    @property
    def is_old(self) -> bool:
        """Half of its time is over: it is to be renewed long before it expires."""
        return self._clock.wall_ms() > self._signed_ms + RECORD_LIFETIME_MS // 2

    def _sign(self, state: RecordState, moved_to: str) -> bytes:
        now_ms = self._clock.wall_ms()
        # Wall time rises over restarts without having to be stored; two records in a millisecond still differ.
        self._sequence = max(self._sequence + 1, now_ms)
        self._signed_ms = now_ms
        record = NodeRecord(
            1,
            self._provider,
            self._key.public,
            self._sequence,
            now_ms,
            now_ms + RECORD_LIFETIME_MS,
            self.endpoints,
            FEATURES,
            state,
            moved_to,
            BODY_MAX_BYTES,
        )
        return sign_record(record, self._key)
