"""The messages that hand over custody. `docs/protocol/custody.md` is their specification."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from waypost.limits import BATCH_MAX_ENVELOPES, ENVELOPE_MAX_BYTES, USER_MAX_CHARS
from waypost.protocol.frames.fields import ID_BYTES, U16, U32, U53, Key, Name, Positional, Signature


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
