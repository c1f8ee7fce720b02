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

from waypost.clock import WallMs
from waypost.crypto.keys import Purpose, SigningKey, envelope_id, verify
from waypost.errors import Code, PeerFault
from waypost.limits import BATCH_MAX_BYTES, BATCH_MAX_ENVELOPES
from waypost.protocol.custody.messages import Delivered, Offer, Outcome, Receipt, ReceiptPayload, Refusal
from waypost.protocol.frames.codec import pack, read
from waypost.protocol.frames.fields import ID_BYTES


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
