"""Watches everything that the node says, in all checks, for what a sender must not do."""

from __future__ import annotations

from collections import Counter

from waypost.errors import LocalError, PeerFault
from waypost.ids import is_canonical_provider, is_canonical_user, parse_address
from waypost.limits import BATCH_MAX_BYTES, FRAME_MAX_BYTES, HANDSHAKE_FRAME_MAX_BYTES
from waypost.protocol.custody.transfer import Delivered, Offer, Outcome
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.messages import Hello, Message, Role, decode

KEPT_MAX = 8  #: violations of one clause that are told


class Witness:
    """`seen` counts what there was to judge, by clause; `violations` holds what was wrong."""

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.violations: dict[str, list[str]] = {}
        self.told: set[tuple[bytes, int]] = set()  #: envelopes and codes, of all outcomes

    def blame(self, clause: str, text: str) -> None:
        """The node has broken a clause."""
        told = self.violations.setdefault(clause, [])
        if len(told) < KEPT_MAX:
            told.append(text)

    def judge(self, clause: str, fits: bool, text: str) -> None:  # noqa: FBT001 - the one question that it asks
        """One more thing that the clause is about."""
        self.seen[clause] += 1
        if not fits:
            self.blame(clause, text)

    def frame(self, body: bytes, *, proven: bool) -> Message:
        """The message in a frame that the node has sent. Raises PeerFault for one that nobody could take."""
        limit = FRAME_MAX_BYTES if proven else HANDSHAKE_FRAME_MAX_BYTES
        self.judge("WIRE-1", len(body) <= limit, f"a frame of {len(body)} bytes, {limit} allowed")
        self.seen["WIRE-12"] += 1
        try:
            message = decode(body)
        except PeerFault as fault:
            self.blame("WIRE-12", f"{body[:40].hex()}: {fault.detail}")
            raise
        self._names(message)
        return message

    def _names(self, message: Message) -> None:
        if isinstance(message, Hello):
            canonical = is_canonical_provider(message.name)
            self.judge("WIRE-14", message.role is Role.NODE and canonical, f"Hello as {message.name!r}")
        elif isinstance(message, Delivered):
            for outcome in message.outcomes:
                self._outcome(outcome)

    def _outcome(self, outcome: Outcome) -> None:
        self.judge("WIRE-15", is_canonical_user(outcome.sender), f"outcome for {outcome.sender!r}")
        ids = (outcome.ids[at : at + ID_BYTES] for at in range(0, len(outcome.ids), ID_BYTES))
        self.told.update((id_, outcome.code) for id_ in ids)
        self.judge("WIRE-15", is_address(outcome.recipient), f"outcome about {outcome.recipient!r}")


class Order:
    """What one side of one link must keep to as a holder: rising numbers, bounds, the window that was granted."""

    def __init__(self, witness: Witness, envelopes: int, size: int) -> None:
        self._witness = witness
        self._granted = (envelopes, size)
        self._open: dict[int, tuple[int, int]] = {}
        self._last = 0

    def takes(self, message: Offer | Delivered) -> None:
        """The node has sent a batch."""
        if isinstance(message, Offer):
            count, size = len(message.envelopes), sum(map(len, message.envelopes))
            self._witness.judge("CUST-4", size <= BATCH_MAX_BYTES, f"a batch of {size} bytes")
        else:
            count, size = len(message.outcomes), sum(len(outcome.ids) for outcome in message.outcomes)
        fits = message.batch == self._last + 1 if not self._last else message.batch > self._last
        self._witness.judge("CUST-3", fits, f"batch {message.batch} after {self._last}")
        self._last = message.batch
        self._open[message.batch] = (count, size)
        envelopes = sum(each for each, _ in self._open.values())
        total = sum(each for _, each in self._open.values())
        within = envelopes <= self._granted[0] and total <= self._granted[1]
        self._witness.judge(
            "CUST-5", within, f"{envelopes} envelopes, {total} bytes under way, granted {self._granted}"
        )

    def settled(self, batch: int) -> None:
        """The checker has sent the receipt."""
        self._open.pop(batch, None)


def is_address(text: str) -> bool:
    """Whether it is one, and canonical."""
    try:
        return str(parse_address(text)) == text
    except LocalError:
        return False
