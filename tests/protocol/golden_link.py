"""`tests/vectors/link.json`: the handshake of one link, node records, and what is announced by DNS and mDNS."""

from typing import Any

from tests.protocol.golden_cast import (
    BIRDY,
    BIRDY_NODE,
    DAY_MS,
    FINCH,
    FINCH_NEW_NODE,
    FINCH_NODE,
    NOW_MS,
    cast,
)
from tests.protocol.strategies import plain

from waypost.crypto.fingerprint import node_fingerprint
from waypost.crypto.keys import Purpose, SigningKey, key_text
from waypost.discovery.txt import Announcement, dns_value, lan_properties
from waypost.ids import Provider
from waypost.protocol.directory.record import (
    NodeRecord,
    RecordEndpoint,
    RecordState,
    sign_record,
    succession_payload,
)
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.handshake import Channel, Handshake, Own, proof_payload
from waypost.protocol.frames.messages import Role

EXPORTER = bytes(range(32))
GROUP = "X25519MLKEM768"
EXPIRES_MS = NOW_MS + 30 * DAY_MS
ENDPOINTS = (RecordEndpoint("node.finch.example", 7711), RecordEndpoint("192.0.2.7", 7711))


def records() -> dict[str, tuple[NodeRecord, SigningKey]]:
    active = NodeRecord(
        1,
        FINCH,
        FINCH_NODE.public,
        NOW_MS,
        NOW_MS,
        EXPIRES_MS,
        ENDPOINTS,
        ("seal.1",),
        RecordState.ACTIVE,
        "",
        65_536,
    )
    handed_on = FINCH_NODE.sign(Purpose.RECORD_SUCCESSION, succession_payload(FINCH, FINCH_NEW_NODE.public))
    return {
        "active": (active, FINCH_NODE),
        "gone": (tombstone(RecordState.GONE, ""), FINCH_NODE),
        "moved": (tombstone(RecordState.MOVED, BIRDY), FINCH_NODE),
        "succession": (
            NodeRecord(
                1,
                FINCH,
                FINCH_NEW_NODE.public,
                NOW_MS + 1,
                NOW_MS,
                EXPIRES_MS,
                ENDPOINTS,
                ("seal.1",),
                RecordState.ACTIVE,
                "",
                65_536,
                FINCH_NODE.public,
                handed_on,
            ),
            FINCH_NEW_NODE,
        ),
    }


def tombstone(state: RecordState, moved_to: str) -> NodeRecord:
    return NodeRecord(
        1, FINCH, FINCH_NODE.public, NOW_MS + 1, NOW_MS, EXPIRES_MS, (), ("seal.1",), state, moved_to, 65_536
    )


def sides() -> tuple[Own, Own]:
    """The node of birdy.example dials the node of finch.example."""
    record, key = records()["active"]
    return (
        Own(Role.NODE, BIRDY, BIRDY_NODE, ("seal.1",)),
        Own(Role.NODE, FINCH, FINCH_NODE, ("seal.1",), record=sign_record(record, key), epoch=7),
    )


def hellos() -> tuple[bytes, bytes]:
    """Their frames, length included."""
    dialer, listener = sides()
    return (
        Handshake(dialer, Channel(EXPORTER, GROUP, True), NOW_MS).bytes_to_send(),
        Handshake(listener, Channel(EXPORTER, GROUP, False), NOW_MS).bytes_to_send(),
    )


def build() -> dict[str, Any]:
    """What the file holds."""
    return {
        "about": "What docs/protocol/link.md describes. Bytes in hexadecimal; in `fields` after 0x.",
        "cast": cast(),
        "handshake": _handshake(),
        "records": [_record(name, *each) for name, each in records().items()],
        "succession": {
            "payload": succession_payload(FINCH, FINCH_NEW_NODE.public).hex(),
            "signature": records()["succession"][0].old_signature.hex(),
        },
        "discovery": _discovery(),
    }


def _handshake() -> dict[str, Any]:
    dialer, listener = sides()
    first, second = hellos()
    rows = {}
    for name, own, peer, frames in (
        ("dials", dialer, listener, (first, second)),
        ("listens", listener, dialer, (second, first)),
    ):
        bodies = [frame[4:] for frame in frames]
        payload = proof_payload(
            own.role, Channel(EXPORTER, GROUP, name == "dials"), (own.key.public, peer.key.public), bodies
        )
        rows[name] = {
            "hello_frame": frames[0].hex(),
            "proof_payload": payload.hex(),
            "proof_signed_bytes": (Purpose.LINK_PROOF.prefix + payload).hex(),
            "proof_signature": own.key.sign(Purpose.LINK_PROOF, payload).hex(),
        }
    return {"exporter": EXPORTER.hex(), "group": GROUP, "now_ms": NOW_MS, **rows}


def _record(name: str, record: NodeRecord, key: SigningKey) -> dict[str, Any]:
    return {
        "name": name,
        "fields": plain(record),
        "payload": pack(record).hex(),
        "signed": sign_record(record, key).hex(),
    }


def _discovery() -> dict[str, Any]:
    announcement = Announcement(Provider("finch.local"), 7711, FINCH_NODE.public, bytes(range(16)))
    return {
        "key": FINCH_NODE.public.hex(),
        "key_text": key_text(FINCH_NODE.public),
        "dns_name": f"_waypost.{FINCH}",
        "dns_txt": dns_value(FINCH_NODE.public),
        "lan_provider": announcement.provider,
        "lan_record_fingerprint": announcement.record_fingerprint.hex(),
        "lan_txt": lan_properties(announcement),
        "fingerprint": {"provider": FINCH, "digits": node_fingerprint(FINCH_NODE.public, FINCH)},
    }
