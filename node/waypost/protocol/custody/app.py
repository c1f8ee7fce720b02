"""The app's half of custody: what a device offers and when, what a receipt means for a message, what the device takes.

Whoever uses it keeps the messages, the SDK in a database, an app of a simulation in memory. A message that the node has
not taken is *due* at some time; it is offered in the order in which it was written, never twice over one link at once,
and after a link has ended once more over the next, as the same bytes: the node knows it by its id.

    due ──► in flight ──► taken
     ▲          │  └────► ended (bounced, expired)
     └── waits ─┘

A device takes what is for it and knows its ids for as long as they may come again; what it knows already it
acknowledges and does not show once more.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from waypost.clock import SECOND_MS, Instant, WallMs
from waypost.errors import Code, is_for_good
from waypost.ids import Address
from waypost.limits import CLOCK_TOLERANCE_MS, EXPIRY_MAX_S, RESEND_S, SEEN_EXTRA_MS
from waypost.protocol.custody.envelope import Envelope, sender_of
from waypost.protocol.custody.fate import State
from waypost.protocol.custody.transfer import Refusal, Room

K = TypeVar("K", bound=Hashable)

#: Refusals that are about the node as a whole: the rest of the mail would only be refused as well.
NODE_CODES: Final = frozenset(
    code.number for code in (Code.STORE_FULL, Code.RATE_LIMITED, Code.INTERNAL, Code.BUSY, Code.CLOSING)
)
RESEND_MAX_MS: Final = int(RESEND_S[-1] * SECOND_MS)


class Offering(Generic[K]):
    """What is under way over one link, by keys that the user has for its messages. Make a new one for each link."""

    def __init__(self) -> None:
        self._in_flight: set[K] = set()
        self._pauses = 0
        self.paused_until: Instant = 0.0  #: nothing is to be offered before then: the node takes nothing now

    @property
    def in_flight(self) -> int:
        """How many messages are."""
        return len(self._in_flight)

    def choose(self, due: Iterable[tuple[K, int]], room: Room) -> list[K]:
        """Which to offer now. `due`: key and bytes of each message that is due, oldest first."""
        chosen: list[K] = []
        left = room.bytes
        for key, size in due:
            if key in self._in_flight:
                continue
            left -= size
            if left < 0 or len(chosen) >= room.envelopes:
                break
            chosen.append(key)
        return chosen

    def offered(self, keys: Iterable[K]) -> None:
        """They are in one batch now."""
        self._in_flight.update(keys)

    def settled(self, keys: Collection[K], refusals: Sequence[Refusal], now: Instant, spread: float) -> None:
        """The batch's receipt has come. `spread`: see `resend_after_ms`."""
        self._in_flight.difference_update(keys)
        if any(refusal.code in NODE_CODES for refusal in refusals):
            self.paused_until = now + resend_after_ms(self._pauses, spread) / SECOND_MS
            self._pauses += 1
        else:
            self._pauses = 0


@dataclass(frozen=True, slots=True)
class Taken:
    """The node has the message."""


@dataclass(frozen=True, slots=True)
class Ended:
    """It is refused for good."""

    state: State
    code: int


@dataclass(frozen=True, slots=True)
class Waits:
    """It is refused for now, and due again after that time."""

    code: int
    wait_ms: int


def verdict_on(refusal: Refusal | None, tries: int, spread: float) -> Taken | Ended | Waits:
    """What a receipt means for one message; None: it is not refused. `tries`: how often it was refused for now."""
    if refusal is None:
        return Taken()
    if is_for_good(refusal.code):
        return Ended(end_of(refusal.code), refusal.code)
    # The node may ask for patience, but not for so much that the message never goes.
    asked_ms = min(refusal.retry_s * SECOND_MS, RESEND_MAX_MS)
    return Waits(refusal.code, asked_ms or resend_after_ms(tries, spread))


def end_of(code: int) -> State:
    """The end that a code stands for, in a refusal for good or in an outcome; 0 is delivery."""
    if code == 0:
        return State.DELIVERED
    return State.EXPIRED if code == Code.EXPIRED.number else State.BOUNCED


def resend_after_ms(tries: int, spread: float) -> int:
    """The schedule's delay after that many failures, less up to a quarter: many wait for the same thing.

    `spread`: at random from 0 to 1.
    """
    delay_ms = int(RESEND_S[min(tries, len(RESEND_S) - 1)] * SECOND_MS)
    return delay_ms - int(delay_ms // 4 * spread)


def fault_of(envelope: Envelope, me: Address, now_ms: WallMs) -> Code | None:
    """Why a device does not take an envelope that it does not know; None: it takes it."""
    if envelope.provider != me.provider or me.user not in envelope.users:
        return Code.NOT_OURS
    if sender_of(envelope) is None:
        return Code.MALFORMED_ENVELOPE
    # Ids are forgotten after this time: later, a duplicate would not be recognised.
    if envelope.expires_ms + SEEN_EXTRA_MS <= now_ms:
        return Code.EXPIRED
    # Ids are kept until a time counted from this one. Sender, node and device may differ by a tolerance each.
    if envelope.created_ms > now_ms + 2 * CLOCK_TOLERANCE_MS:
        return Code.FROM_FUTURE
    return None


def known_until_ms(envelope: Envelope) -> WallMs:
    """How long a device keeps the id of an envelope that it has taken: afterwards `fault_of` refuses it as expired."""
    return envelope.created_ms + EXPIRY_MAX_S * SECOND_MS + SEEN_EXTRA_MS
