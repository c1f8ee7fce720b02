"""The golden files are what this implementation makes, and what it takes."""

import json
from collections.abc import Callable
from functools import cache
from typing import Any

import msgpack
import pytest
from tests.protocol import golden_directory, golden_link, golden_seal
from tests.protocol.golden_cast import (
    ALICE,
    BIRDY_NODE,
    BOB,
    BOB_IDENTITY,
    BOB_LAPTOP,
    BOB_LAPTOP_KEM,
    BOB_PHONE,
    BOB_PHONE_KEM,
    FINCH_NODE,
    NOW_MS,
    REQUEST,
)
from tests.protocol.golden_files import FILES, FOLDER

from waypost.client.schemes.payload import open_payload
from waypost.crypto.keys import Purpose, SigningKey, envelope_id, parse_key, verify
from waypost.crypto.padding import pad, unpad
from waypost.crypto.seal import open_sealed, parse_sealed
from waypost.discovery.txt import parse_dns_values, parse_lan_properties
from waypost.errors import LocalError, PeerFault, WaypostError
from waypost.ids import parse_address
from waypost.limits import HANDSHAKE_FRAME_MAX_BYTES
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, decode_envelope
from waypost.protocol.custody.transfer import Delivered, Holder, Offer, Receipt, Receiver
from waypost.protocol.directory.asks import ClaimAnswer
from waypost.protocol.directory.bundle import open_claim, open_device_list, open_package
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.record import open_record
from waypost.protocol.frames.codec import FrameBuffer, read
from waypost.protocol.frames.handshake import Channel, Handshake
from waypost.protocol.frames.messages import decode


@cache
def golden(name: str) -> Any:
    return json.loads((FOLDER / name).read_text(encoding="utf-8"))


def message(frame: str) -> Any:
    (body,) = FrameBuffer().feed(bytes.fromhex(frame))
    return decode(body)


@pytest.mark.parametrize("name", FILES)
def test_a_golden_file_is_what_this_implementation_makes(name: str) -> None:
    assert golden(name) == json.loads(json.dumps(FILES[name]()))


def test_no_golden_file_goes_untested() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(FILES)


def test_two_sides_of_a_link_say_the_golden_bytes_and_believe_each_other() -> None:
    told = golden("link.json")["handshake"]
    channel = bytes.fromhex(told["exporter"]), told["group"]
    dialer, listener = (
        Handshake(own, Channel(*channel, dialed), told["now_ms"])
        for own, dialed in zip(golden_link.sides(), (True, False), strict=True)
    )
    said = dialer.bytes_to_send(), listener.bytes_to_send()
    assert [each.hex() for each in said] == [told["dials"]["hello_frame"], told["listens"]["hello_frame"]]
    listener.receive(said[0])
    dialer.receive(said[1])
    proofs = dialer.bytes_to_send(), listener.bytes_to_send()
    for side, proof in zip(("dials", "listens"), proofs, strict=True):
        assert message(proof.hex()).signature.hex() == told[side]["proof_signature"]
        assert told[side]["proof_signed_bytes"] == b"waypost/1 link proof\0".hex() + told[side]["proof_payload"]
    listener.receive(proofs[0])
    dialer.receive(proofs[1])
    assert listener.peer is not None
    assert dialer.peer is not None
    assert (listener.peer.key, dialer.peer.key) == (BIRDY_NODE.public, FINCH_NODE.public)


@pytest.mark.parametrize("row", golden("link.json")["records"], ids=lambda row: row["name"])
def test_golden_records_open(row: dict[str, Any]) -> None:
    signed = bytes.fromhex(row["signed"])
    payload, _ = msgpack.unpackb(signed)
    assert payload.hex() == row["payload"]
    assert open_record(signed, NOW_MS).record == golden_link.records()[row["name"]][0]


def test_golden_announcements_are_read() -> None:
    told = golden("link.json")["discovery"]
    key = bytes.fromhex(told["key"])
    assert parse_key(told["key_text"]) == key
    assert parse_dns_values([told["dns_txt"].encode()]) == key
    announced = parse_lan_properties({name.encode(): text.encode() for name, text in told["lan_txt"].items()})
    assert announced is not None
    assert (announced.provider, announced.key) == (told["lan_provider"], key)
    assert announced.record_fingerprint.hex() == told["lan_record_fingerprint"]


def test_golden_receipts_settle_the_golden_offer() -> None:
    told = golden("custody.json")
    offer = message(told["offer"])
    assert isinstance(offer, Offer)
    ids = [bytes.fromhex(row["id"]) for row in told["envelopes"]]
    assert [data.hex() for data in offer.envelopes] == [row["bytes"] for row in told["envelopes"]]
    assert list(map(envelope_id, offer.envelopes)) == ids
    assert [decode_envelope(data) for data in offer.envelopes]
    for row in told["receipts"]:
        holder = Holder(FINCH_NODE.public, 100, 2**20)
        assert holder.offer(offer.envelopes, ids, "token") == offer
        receipt = message(row["frame"])
        assert isinstance(receipt, Receipt)
        token, payload = holder.settle(receipt)
        assert (token, payload.batch, payload.digest.hex()) == ("token", 1, told["digest"])
        receiver = Receiver(100, 2**20)
        assert receiver.offered(offer) == tuple(ids)
        assert receiver.receipt(1, payload.refusals, payload.at_ms, FINCH_NODE) == receipt


def test_the_golden_receipt_for_outcomes_fits_them() -> None:
    told = golden("custody.json")["delivered"]
    delivered = message(told["frame"])
    assert isinstance(delivered, Delivered)
    receiver = Receiver(100, 2**20)
    receiver.reported(delivered)
    receipt = receiver.receipt(delivered.batch, (), NOW_MS + 1, BIRDY_NODE)
    assert receipt == message(told["receipt"]["frame"])


def test_golden_keys_and_the_golden_bundle_open() -> None:
    told = golden("directory.json")
    assert parse_invite(told["invite"]["text"]) == golden_directory.INVITE
    devices = open_device_list(bytes.fromhex(told["device_list"]["signed"]), BOB)
    assert (devices.key, devices.devices) == (BOB_IDENTITY.public, (BOB_PHONE.public, BOB_LAPTOP.public))
    for row, device in zip(told["packages"], (BOB_PHONE, BOB_LAPTOP), strict=True):
        assert open_package(bytes.fromhex(row["signed"]), device.public).id.hex() == row["id"]
    answer = next(row["bytes"] for row in told["replies"] if row["name"] == "ClaimAnswer")
    bundle = open_claim(read(bytes.fromhex(answer), ClaimAnswer), parse_address(BOB), REQUEST, NOW_MS)
    assert [state for _, state in bundle.states] == ["one-time", "last-resort"]
    assert bundle.node_key == FINCH_NODE.public
    verify(
        FINCH_NODE.public,
        Purpose.ANSWER,
        bytes.fromhex(told["claim"]["payload"]),
        bytes.fromhex(told["claim"]["signature"]),
    )


@pytest.mark.parametrize("row", golden("directory.json")["replies"], ids=lambda row: row["name"])
def test_golden_replies_open(row: dict[str, Any]) -> None:
    reply = golden_directory.replies()[row["name"]]
    assert read(bytes.fromhex(row["bytes"]), type(reply)) == reply


def test_the_golden_body_opens_on_each_device_and_nowhere_else() -> None:
    told = golden("seal.json")
    body, signed = bytes.fromhex(told["body"]), bytes.fromhex(told["content"]["signed_content"])
    ids = [bytes.fromhex(row["package_id"]) for row in told["kem"]]
    for id_, kem in zip(ids, (BOB_PHONE_KEM, BOB_LAPTOP_KEM), strict=True):
        assert open_sealed(body, BOB, {id_: kem}.get) == signed
    assert parse_sealed(body).commitment.hex() == told["commitment"]
    assert parse_sealed(body).package_ids == tuple(ids)
    keys = dict(zip(ids, (BOB_PHONE_KEM, BOB_LAPTOP_KEM), strict=True))
    with pytest.raises(LocalError):
        open_sealed(body, "carol@finch.example", keys.get)
    with pytest.raises(LocalError):
        open_sealed(body[:-1] + bytes([body[-1] ^ 1]), BOB, keys.get)


def test_the_golden_content_is_what_its_envelope_says() -> None:
    signed = bytes.fromhex(golden("seal.json")["content"]["signed_content"])
    envelope = Envelope(1, "finch.example", ("bob",), ALICE, NOW_MS, 60, EnvelopeClass.TEXT, "seal.1", b"")
    assert open_payload(signed, envelope, BOB).payload == golden_seal.payload()


@pytest.mark.parametrize(("size", "padded"), golden("seal.json")["padded_lengths"])
def test_golden_lengths(size: int, padded: int) -> None:
    assert len(pad(bytes(size))) == padded
    assert unpad(pad(bytes(size))) == bytes(size)


@pytest.mark.parametrize("row", golden("hostile.json")["frames"], ids=lambda row: row["name"])
def test_hostile_frames_are_faults(row: dict[str, Any]) -> None:
    with pytest.raises(PeerFault) as fault:
        message(row["bytes"])
    assert fault.value.code.number == row["code"]


def opens(data: bytes) -> object:
    return open_record(data, golden("hostile.json")["now_ms"])


@pytest.mark.parametrize(("kind", "take"), [("envelopes", decode_envelope), ("records", opens)])
def test_hostile_envelopes_and_records_are_faults(kind: str, take: Callable[[bytes], object]) -> None:
    rows = golden("hostile.json")[kind]
    assert {row["name"]: code_of_taking(take, bytes.fromhex(row["bytes"])) for row in rows} == {
        row["name"]: row["code"] for row in rows
    }


def code_of_taking(take: Callable[[bytes], object], data: bytes) -> int:
    try:
        take(data)
    except WaypostError as error:
        return error.code.number
    return 0


def test_before_the_proof_frames_are_short() -> None:
    handshake = Handshake(golden_link.sides()[0], Channel(golden_link.EXPORTER, golden_link.GROUP, True), NOW_MS)
    with pytest.raises(PeerFault) as fault:
        handshake.receive((HANDSHAKE_FRAME_MAX_BYTES + 1).to_bytes(4, "big"))
    assert fault.value.code.number == 101


def test_the_cast_is_told_truly() -> None:
    for row in golden("link.json")["cast"].values():
        assert SigningKey(bytes.fromhex(row["seed"])).public.hex() == row["public"]
