"""The wire's golden bytes, `tests/vectors/wire.json`: for other implementations, and against slips in this one.

The other files are made by the modules beside this one. A difference means that the wire has changed. If that is meant:
`python -m tests.protocol.golden`, and say so in docs/protocol/.
"""

from pathlib import Path
from typing import Any

from tests.protocol.strategies import plain

from waypost.crypto.keys import Purpose, SigningKey, envelope_id
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import Delivered, Offer, Outcome, Receipt, ReceiptPayload, Refusal, batch_digest
from waypost.protocol.directory.asks import AskReach, Claim, Join, Publish, Records, Track
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.messages import (
    Answer,
    Goodbye,
    Hello,
    Message,
    Notice,
    NoticeKind,
    Ping,
    Pong,
    Proof,
    Query,
    Role,
    Signal,
    encode,
)

PATH = Path(__file__).parents[1] / "vectors" / "wire.json"
KEY = SigningKey(bytes(range(32)))
AT_MS = 1_700_000_000_000
ID = bytes(range(16))


def envelope() -> bytes:
    return encode_envelope(
        Envelope(
            1,
            "finch.example",
            ("bob",),
            "alice@birdy.example",
            AT_MS,
            432_000,
            EnvelopeClass.TEXT,
            "seal.1",
            b"\x01\x02\x03",
        )
    )


def messages() -> dict[str, Message]:
    payload = pack(ReceiptPayload(1, AT_MS, batch_digest(envelope_id(envelope())), (Refusal(0, 201, 60),)))
    return {
        "Hello of a node": Hello(
            1, 1, Role.NODE, "birdy.example", KEY.public, ("x-test",), "X25519", AT_MS, 4096, 2**24, b"\x01", 7
        ),
        "Hello of a device": Hello(
            1, 1, Role.DEVICE, "alice@birdy.example", KEY.public, (), "X25519", AT_MS, 1024, 2**21
        ),
        "Proof": Proof(KEY.sign(Purpose.LINK_PROOF, b"payload")),
        "Offer": Offer(1, (envelope(),)),
        "Receipt": Receipt(payload, KEY.sign(Purpose.RECEIPT, payload)),
        "Delivered": Delivered(2, (Outcome("alice", "bob@finch.example", 0, AT_MS, ID + ID),)),
        "Query Join": Query(1, Join(ID, b"\x01", "phone")),
        "Query Publish": Query(2, Publish(ID, 7, (b"\x01", b"\x02"), b"\x03")),
        "Query Claim": Query(3, Claim(ID, "bob@finch.example", ("seal.1",))),
        "Query Track": Query(4, Track(ID)),
        "Query Records": Query(5, Records((b"\x01",))),
        "Query Reach": Query(6, AskReach("some", ("finch.example",))),
        "Answer": Answer(4, 0, "", b"\x01", bytes(64)),
        "Answer, refused": Answer(4, 407, "no trace"),
        "Notice": Notice(NoticeKind.WAITING, 204, AT_MS, ID),
        "Signal": Signal("bob@finch.example", "alice@birdy.example", "x-typing", b"\x01"),
        "Ping": Ping(1),
        "Pong": Pong(2**32 - 1),
        "Goodbye": Goodbye(150, "bye"),
    }


def build() -> dict[str, Any]:
    """What the file holds."""
    return {
        "about": "Frames of waypost/1. `message`: fields in order, bytes in hexadecimal after 0x. `frame`: all.",
        "seed": KEY.seed.hex(),
        "envelope": {"id": envelope_id(envelope()).hex(), "bytes": envelope().hex()},
        "frames": [
            {"name": name, "message": plain(message), "frame": encode(message).hex()}
            for name, message in messages().items()
        ],
    }


if __name__ == "__main__":
    from tests.protocol.golden_files import write

    write()
