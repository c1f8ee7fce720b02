"""Custody transfer: one exchange, used by every hop (device→node, node→node, node→device).

    holder   → Offer(batch, envelopes)  or  Delivered(batch, outcomes)
    receiver : check, commit, then
    receiver → Receipt(batch, at, refusals, signature)
    holder   : forgets what is held, bounces what is refused for good, keeps what is refused for now

The holder may have many batches in flight, up to the window that the receiver granted in its Hello. A receipt names its
batch by number *and* by a digest over the ids, so it is evidence of what was received and fits no other batch.
Dedup by id is the receiver's store's work; here a batch number is simply never taken twice on one link.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Annotated

from msgspec import Meta

from waypost.clock import WallMs
from waypost.crypto.keys import Purpose, SigningKey, envelope_id, verify
from waypost.errors import Code, PeerFault
from waypost.limits import BATCH_MAX_BYTES, BATCH_MAX_ENVELOPES, ENVELOPE_MAX_BYTES, USER_MAX_CHARS
from waypost.protocol.frames.codec import ID_BYTES, U16, U32, U53, Key, Name, Positional, Signature, pack, read

# ── messages; docs/protocol/wire.md specifies them ───────────────────────────────────────────────────────────────────


class Offer(Positional, frozen=True, tag=3):
    """Take these envelopes into custody. Batch numbers of one link and direction rise from 1."""

    batch: U32
    envelopes: Annotated[
        tuple[Annotated[bytes, Meta(max_length=ENVELOPE_MAX_BYTES)], ...],
        Meta(min_length=1, max_length=BATCH_MAX_ENVELOPES),
    ]


class Receipt(Positional, frozen=True, tag=4):
    """The answer to an Offer or a Delivered: `payload` is an encoded `ReceiptPayload`, signed by the receiver's key."""

    payload: Annotated[bytes, Meta(max_length=64 * 1024)]
    signature: Signature


class Outcome(Positional, frozen=True):
    """What became of some envelopes of one sender to one recipient. Code 0: delivered; else the reason's number."""

    sender: Annotated[str, Meta(max_length=USER_MAX_CHARS)]
    recipient: Name
    code: U16
    at_ms: U53
    ids: Annotated[bytes, Meta(min_length=ID_BYTES, max_length=ID_BYTES * BATCH_MAX_ENVELOPES)]


class Delivered(Positional, frozen=True, tag=5):
    """Outcomes on their way back to the sender; in custody like envelopes, so answered by a Receipt."""

    batch: U32
    outcomes: Annotated[tuple[Outcome, ...], Meta(min_length=1, max_length=BATCH_MAX_ENVELOPES)]


class Refusal(Positional, frozen=True):
    """A verdict other than "accepted": the envelope at `index` of the batch was refused with `code`."""

    index: Annotated[int, Meta(ge=0, lt=BATCH_MAX_ENVELOPES)]
    code: U16
    #: for a refusal for now: seconds after which trying again makes sense; 0 = the holder's own schedule
    retry_s: U32 = 0


class ReceiptPayload(Positional, frozen=True):
    """What a Receipt signs. `digest` is BLAKE2b-256 over the batch's ids, in order: it says *what* was received."""

    batch: U32
    at_ms: U53
    digest: Key
    refusals: Annotated[tuple[Refusal, ...], Meta(max_length=BATCH_MAX_ENVELOPES)] = ()


# ── what comes of them, as a session tells it ────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Offered:
    """The peer wants to hand over custody: answer with `Session.receipt(batch, …)` after the commit."""

    batch: int
    ids: tuple[bytes, ...]
    envelopes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Reported:
    """The peer tells what became of envelopes: answer with `Session.receipt(batch, …)` after the commit."""

    batch: int
    outcomes: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class Settled:
    """A receipt for a batch of ours; `refusals` lists what was not taken."""

    token: object
    at_ms: WallMs
    refusals: tuple[Refusal, ...]


# ── the exchange ────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Room:
    """How much more may be offered now."""

    envelopes: int
    bytes: int


@dataclass(frozen=True, slots=True)
class _Batch:
    token: object
    digest: bytes
    count: int
    size: int


def batch_digest(ids: bytes) -> bytes:
    """BLAKE2b-256 over the ids of a batch, one after the other."""
    return blake2b(ids, digest_size=32).digest()


class _Window:
    """What is in flight against what was granted."""

    def __init__(self, envelopes: int, size: int) -> None:
        self._envelopes = envelopes
        self._bytes = size
        self._batches: dict[int, _Batch] = {}

    def __len__(self) -> int:
        return len(self._batches)

    @property
    def room(self) -> Room:
        return Room(max(0, self._envelopes), max(0, self._bytes))

    @property
    def overdrawn(self) -> bool:
        return self._envelopes < 0 or self._bytes < 0

    def open(self, number: int, batch: _Batch) -> None:
        self._batches[number] = batch
        self._envelopes -= batch.count
        self._bytes -= batch.size

    def close(self, number: int) -> _Batch | None:
        batch = self._batches.pop(number, None)
        if batch:
            self._envelopes += batch.count
            self._bytes += batch.size
        return batch


class Holder:
    """The side that has custody and wants to hand it on."""

    def __init__(self, peer_key: bytes, window_envelopes: int, window_bytes: int) -> None:
        self._peer_key = peer_key
        self._window = _Window(window_envelopes, window_bytes)
        self._next = 1

    @property
    def room(self) -> Room:
        """What one further batch may hold; both zero when nothing may be offered."""
        room = self._window.room
        return Room(min(room.envelopes, BATCH_MAX_ENVELOPES), min(room.bytes, BATCH_MAX_BYTES))

    @property
    def in_flight(self) -> int:
        """Batches without a receipt yet."""
        return len(self._window)

    def offer(self, envelopes: Sequence[bytes], ids: Sequence[bytes], token: object) -> Offer:
        """The message that offers them; `token` comes back with the receipt. Raises ValueError beyond `room`."""
        size = sum(map(len, envelopes))
        room = self.room
        if not envelopes or len(envelopes) > room.envelopes or size > room.bytes:
            raise ValueError(f"{len(envelopes)} envelopes, {size} bytes do not fit {room}")
        number = self._open(token, b"".join(ids), len(envelopes), size)
        return Offer(number, tuple(envelopes))

    def report(self, outcomes: Sequence[Outcome], token: object) -> Delivered:
        """The message that reports them; `token` comes back with the receipt. Raises ValueError beyond `room`."""
        ids = b"".join(outcome.ids for outcome in outcomes)
        if not outcomes or len(outcomes) > self.room.envelopes or len(ids) > self.room.bytes:
            raise ValueError(f"{len(outcomes)} outcomes do not fit {self.room}")
        return Delivered(self._open(token, ids, len(outcomes), len(ids)), tuple(outcomes))

    def settle(self, receipt: Receipt) -> tuple[object, ReceiptPayload]:
        """The token of the batch, and the verified verdicts. Raises PeerFault(BAD_SIGNATURE | BAD_RECEIPT)."""
        verify(self._peer_key, Purpose.RECEIPT, receipt.payload, receipt.signature)
        payload = read(receipt.payload, ReceiptPayload, Code.BAD_RECEIPT)
        batch = self._window.close(payload.batch)
        if batch is None:
            raise PeerFault(Code.BAD_RECEIPT, f"batch {payload.batch} is not open")
        if batch.digest != payload.digest:
            raise PeerFault(Code.BAD_RECEIPT, f"digest of batch {payload.batch} differs")
        indexes = [refusal.index for refusal in payload.refusals]
        if len(set(indexes)) != len(indexes) or any(index >= batch.count for index in indexes):
            raise PeerFault(Code.BAD_RECEIPT, f"verdicts of batch {payload.batch} do not fit it")
        return batch.token, payload

    def _open(self, token: object, ids: bytes, count: int, size: int) -> int:
        number, self._next = self._next, self._next + 1
        self._window.open(number, _Batch(token, batch_digest(ids), count, size))
        return number


class Receiver:
    """The side that takes custody. It grants a window and holds the holder to it."""

    def __init__(self, window_envelopes: int, window_bytes: int) -> None:
        self._window = _Window(window_envelopes, window_bytes)
        self._last = 0

    def offered(self, offer: Offer) -> tuple[bytes, ...]:
        """The envelopes' ids. Raises PeerFault(DUPLICATE_BATCH | BATCH_TOO_LARGE | WINDOW_EXCEEDED)."""
        size = sum(map(len, offer.envelopes))
        if size > BATCH_MAX_BYTES:
            raise PeerFault(Code.BATCH_TOO_LARGE, f"{size} bytes")
        ids = tuple(map(envelope_id, offer.envelopes))
        self._open(offer.batch, b"".join(ids), len(ids), size)
        return ids

    def reported(self, delivered: Delivered) -> None:
        """Raises PeerFault(BAD_FRAME | DUPLICATE_BATCH | BATCH_TOO_LARGE | WINDOW_EXCEEDED)."""
        if any(len(outcome.ids) % ID_BYTES for outcome in delivered.outcomes):
            raise PeerFault(Code.BAD_FRAME, "ids are not whole")
        ids = b"".join(outcome.ids for outcome in delivered.outcomes)
        self._open(delivered.batch, ids, len(delivered.outcomes), len(ids))

    def receipt(self, batch: int, refusals: Sequence[Refusal], at_ms: WallMs, key: SigningKey) -> Receipt:
        """The signed receipt of an open batch; call it after the commit. Raises ValueError for one that is not open."""
        closed = self._window.close(batch)
        if closed is None:
            raise ValueError(f"batch {batch} is not open")
        payload = pack(ReceiptPayload(batch, at_ms, closed.digest, tuple(refusals)))
        return Receipt(payload, key.sign(Purpose.RECEIPT, payload))

    def _open(self, number: int, ids: bytes, count: int, size: int) -> None:
        if number <= self._last:
            raise PeerFault(Code.DUPLICATE_BATCH, f"batch {number} after {self._last}")
        if count > BATCH_MAX_ENVELOPES:
            raise PeerFault(Code.BATCH_TOO_LARGE, f"{count} envelopes or outcomes")
        self._last = number
        self._window.open(number, _Batch(None, batch_digest(ids), count, size))
        if self._window.overdrawn:
            raise PeerFault(Code.WINDOW_EXCEEDED, f"batch {number} of {count}")
