"""`tests/vectors/custody.json`: envelopes with their ids, and the receipts for them."""

from typing import Any

from tests.protocol.golden_cast import ALICE, BIRDY_NODE, FINCH, FINCH_NODE, NOW_MS, cast
from tests.protocol.strategies import plain

from waypost.crypto.keys import Purpose, SigningKey, envelope_id
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import Delivered, Offer, Outcome, Receipt, ReceiptPayload, Refusal, batch_digest
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.messages import encode


def envelopes() -> dict[str, Envelope]:
    def to(*users: str, class_: EnvelopeClass = EnvelopeClass.TEXT, body: bytes = b"\x01\x02\x03") -> Envelope:
        return Envelope(1, FINCH, users, ALICE, NOW_MS, 432_000, class_, "seal.1", body)

    return {
        "one recipient": to("bob"),
        "three recipients, one of them not ASCII": to("bob", "carol", "zoë"),
        "bulk, empty body": to("bob", class_=EnvelopeClass.BULK, body=b""),
    }


def outcomes() -> tuple[Outcome, ...]:
    first, second, third = (envelope_id(encode_envelope(envelope)) for envelope in envelopes().values())
    return (
        Outcome("alice", "bob@finch.example", 0, NOW_MS + 5, first + third),
        Outcome("alice", "carol@finch.example", 300, NOW_MS + 6, second),
    )


def build() -> dict[str, Any]:
    """What the file holds."""
    data = [encode_envelope(envelope) for envelope in envelopes().values()]
    ids = b"".join(map(envelope_id, data))
    reported = b"".join(outcome.ids for outcome in outcomes())
    return {
        "about": "What docs/protocol/custody.md describes. Bytes in hexadecimal; in `fields` after 0x.",
        "cast": cast(),
        "envelopes": [
            {
                "name": name,
                "fields": plain(envelope),
                "bytes": encode_envelope(envelope).hex(),
                "id": envelope_id(encode_envelope(envelope)).hex(),
            }
            for name, envelope in envelopes().items()
        ],
        "offer": encode(Offer(1, tuple(data))).hex(),
        "digest": batch_digest(ids).hex(),
        "receipts": [
            {"name": "all taken", **_receipt(1, ids, (), FINCH_NODE)},
            {
                "name": "the second full for now, the third not found",
                **_receipt(1, ids, (Refusal(1, 201, 60), Refusal(2, 300)), FINCH_NODE),
            },
        ],
        "delivered": {
            "frame": encode(Delivered(2, outcomes())).hex(),
            "digest": batch_digest(reported).hex(),
            "receipt": _receipt(2, reported, (), BIRDY_NODE),
        },
    }


def _receipt(batch: int, ids: bytes, refusals: tuple[Refusal, ...], key: SigningKey) -> dict[str, Any]:
    fields = ReceiptPayload(batch, NOW_MS + 1, batch_digest(ids), refusals)
    payload = pack(fields)
    signature = key.sign(Purpose.RECEIPT, payload)
    return {
        "fields": plain(fields),
        "payload": payload.hex(),
        "signed_bytes": (Purpose.RECEIPT.prefix + payload).hex(),
        "signature": signature.hex(),
        "frame": encode(Receipt(payload, signature)).hex(),
    }
