"""How much is too much: token buckets, and a table of them that cannot be made to grow."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Final, Generic, TypeVar

from waypost.clock import Instant

K = TypeVar("K", bound=Hashable)

#: Candidates looked at to find one that can leave the table: a bound on the work that a new key causes.
_EVICTION_SCAN: Final = 16


class TokenBucket:
    """Allows `rate_per_s` on average and `burst` at once after a rest; rate 0: no limit. It starts full.

    Raises ValueError for a negative rate, or a limited one with a burst below 1.
    """

    __slots__ = ("_at", "_tokens", "burst", "rate_per_s")

    def __init__(self, rate_per_s: float, burst: int) -> None:
        if rate_per_s < 0 or (rate_per_s > 0 and burst < 1):
            raise ValueError(f"{rate_per_s} a second, {burst} at once")
        self.rate_per_s: Final = rate_per_s
        self.burst: Final = burst
        self._tokens = float(burst)
        self._at: Instant | None = None

    def take(self, n: int, now: Instant) -> int:
        """How many of `n` are allowed; they are used up."""
        if not self.rate_per_s:
            return n
        allowed = min(n, int(self._refilled(now)))
        self._tokens -= allowed
        return allowed

    def wait_s(self, n: int, now: Instant) -> float:
        """Seconds until `n` would be allowed; for more than the burst, until the burst would be."""
        if not self.rate_per_s:
            return 0.0
        return max(0.0, min(n, self.burst) - self._refilled(now)) / self.rate_per_s

    def level(self, now: Instant) -> float:
        """Tokens that are there."""
        return self._refilled(now) if self.rate_per_s else float(self.burst)

    def is_full(self, now: Instant) -> bool:
        """Whether it says no more than a new bucket would."""
        return not self.rate_per_s or self._refilled(now) >= self.burst

    def drain_to(self, level: float, now: Instant) -> None:
        """Leave at most `level` tokens."""
        self._tokens = min(self._refilled(now), level)

    def _refilled(self, now: Instant) -> float:
        # A clock that goes back gives nothing, and takes nothing away.
        if self._at is not None and now > self._at:
            self._tokens = min(float(self.burst), self._tokens + (now - self._at) * self.rate_per_s)
        if self._at is None or now > self._at:
            self._at = now
        return self._tokens


class Buckets(Generic[K]):
    """At most `max_keys` buckets, by key, all with the same rate and burst.

    A full bucket says nothing that a new one would not, so a full one leaves first, the least recently used before
    others. If none of those looked at is full, the fullest leaves, and the newcomer starts with no more than that one
    had left: whoever comes under ever new keys makes others forgotten, but wins no tokens by it.
    """

    def __init__(self, rate_per_s: float, burst: int, max_keys: int) -> None:
        if max_keys < 1:
            raise ValueError("a table of no buckets")
        TokenBucket(rate_per_s, burst)  # the same checks, now rather than at the first key
        self._rate_per_s = rate_per_s
        self._burst = burst
        self._max_keys = max_keys
        self._table: OrderedDict[K, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, key: K) -> bool:
        return key in self._table

    def get(self, key: K, now: Instant) -> TokenBucket:
        """The key's bucket, made if need be. Use it at once; do not keep it."""
        bucket = self._table.get(key)
        if bucket is not None:
            self._table.move_to_end(key)
            return bucket
        bucket = TokenBucket(self._rate_per_s, self._burst)
        if len(self._table) >= self._max_keys:
            bucket.drain_to(self._evict(now), now)
        self._table[key] = bucket
        return bucket

    def take(self, key: K, n: int, now: Instant) -> int:
        """How many of `n` the key is allowed; they are used up."""
        return self.get(key, now).take(n, now)

    def wait_s(self, key: K, n: int, now: Instant) -> float:
        """Seconds until the key would be allowed `n`; see `TokenBucket.wait_s`."""
        return self.get(key, now).wait_s(n, now)

    def _evict(self, now: Instant) -> float:
        """Make room for one; returns the tokens that it had."""
        leaving, most = next(iter(self._table)), -1.0
        for key, bucket in islice(self._table.items(), _EVICTION_SCAN):
            if bucket.is_full(now):
                leaving = key
                break
            if bucket.level(now) > most:
                leaving, most = key, bucket.level(now)
        return self._table.pop(leaving).level(now)
