"""What the way from one machine to another does to what is sent on it. Pure: chance comes in as an argument.

The links between nodes are TCP, so a fault shows as TCP shows it. A cut way holds everything, and what is held arrives
when it is mended; a lost packet is a delay until it is sent again; a long run of losses breaks the connection. Bytes
never arrive altered, twice or in another order: TLS would end the link, and the kernel's TCP would not let it happen.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from typing import Final

#: Payload of one packet on an Ethernet.
SEGMENT_BYTES: Final = 1_448
#: The shortest time after which Linux sends again what was not acknowledged, and the time for a connection request.
RETRANSMIT_MIN_S: Final = 0.2
CONNECT_RETRANSMIT_S: Final = 1.0
#: One packet lost so often in a row breaks the connection: some 25 s. TCP itself would go on for a quarter of an hour.
LOSSES_MAX: Final = 7

#: Timeouts that have passed after so many losses in a row, each twice as long as the one before.
_TIMEOUTS: Final = tuple(2.0**losses - 1 for losses in range(LOSSES_MAX))

LATENCY_MAX_S: Final = 60.0

_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s)\Z")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%\Z")


@dataclass(frozen=True, slots=True)
class Way:
    """One direction between two nodes. `loss` is the share of packets, 0 to 1."""

    latency_s: float = 0.0
    jitter_s: float = 0.0  #: up to so much more, at random
    loss: float = 0.0
    cut: bool = False

    @property
    def is_clear(self) -> bool:
        return self == CLEAR

    def transit_s(self, size: int, rng: random.Random) -> float | None:
        """Seconds that `size` bytes take, apart from waiting while the way is cut; None: the connection breaks."""
        base = self.latency_s + rng.random() * self.jitter_s
        losses = self._losses(-(-size // SEGMENT_BYTES), rng)
        if losses >= LOSSES_MAX:
            return None
        timeout = max(RETRANSMIT_MIN_S, 2 * self.latency_s)
        return base + timeout * _TIMEOUTS[losses]

    def connect_s(self, rng: random.Random) -> float | None:
        """The same for the one packet that asks for a connection, or answers it."""
        losses = self._losses(1, rng)
        if losses >= LOSSES_MAX:
            return None
        return self.latency_s + rng.random() * self.jitter_s + CONNECT_RETRANSMIT_S * _TIMEOUTS[losses]

    def _losses(self, segments: int, rng: random.Random) -> int:
        """How often in a row the unluckiest of so many packets is lost."""
        if not self.loss:
            return 0
        losses = 0
        while segments and losses < LOSSES_MAX:
            segments = sum(rng.random() < self.loss for _ in range(segments))
            losses += bool(segments)
        return losses

    def words(self) -> str:
        """`"cut"`, `"40 ms ± 5 ms, loss 1%"`, or nothing."""
        if self.cut:
            return "cut"
        parts = []
        if self.latency_s or self.jitter_s:
            jitter = f" + 0–{self.jitter_s * 1000:g} ms" if self.jitter_s else ""
            parts.append(f"{self.latency_s * 1000:g} ms{jitter}")
        if self.loss:
            parts.append(f"loss {self.loss * 100:g}%")
        return ", ".join(parts)


CLEAR: Final = Way()


def parse_duration(text: str) -> float:
    """`"200ms"` or `"1.5s"`, in seconds. Raises ValueError."""
    found = _DURATION.match(text.strip())
    if not found:
        raise ValueError(f"{text!r} is no time|Write a number and a unit, such as 200ms or 1.5s")
    return float(found[1]) / (1000 if found[2] == "ms" else 1)


def parse_latency(text: str) -> float:
    """A duration of at most LATENCY_MAX_S. Raises ValueError."""
    seconds = parse_duration(text)
    if seconds > LATENCY_MAX_S:
        raise ValueError(f"{text} is too long|Write {LATENCY_MAX_S:g}s or less; for longer, cut the link")
    return seconds


def parse_share(text: str) -> float:
    """`"5%"`, as 0.05. Raises ValueError."""
    found = _SHARE.match(text.strip())
    if not found or float(found[1]) > 100:
        raise ValueError(f"{text!r} is no share|Write a percentage from 0% to 100%, such as 5%")
    return float(found[1]) / 100
