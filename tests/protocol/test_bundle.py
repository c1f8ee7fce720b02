"""Key bundles: three signatures, and nothing that fits only two of them."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.clock import DAY_MS
from waypost.crypto.keys import Purpose, SigningKey
from waypost.crypto.seal import package_id
from waypost.errors import Code, PeerFault
from waypost.ids import parse_address
from waypost.limits import DEVICES_PER_ACCOUNT_MAX
from waypost.protocol.directory.asks import ClaimAnswer, ClaimReply, DeviceKeys
from waypost.protocol.directory.bundle import (
    DeviceList,
    DevicePackage,
    open_claim,
    open_device_list,
    open_package,
    sign_claim,
    sign_device_list,
    sign_package,
)
from waypost.protocol.directory.record import NodeRecord, sign_record
from waypost.protocol.frames.codec import pack, read
from waypost.protocol.frames.signed import Signed

NOW_MS = 1_800_000_000_000
BOB = "bob@finch.example"
REQUEST = b"r" * 16
NODE, IDENTITY, PHONE, LAPTOP, MALLORY = (SigningKey(bytes([number]) * 32) for number in range(1, 6))
LIST = DeviceList(1, BOB, IDENTITY.public, 3, (PHONE.public, LAPTOP.public))


def record(name: str = "finch.example", key: SigningKey = NODE) -> bytes:
    return sign_record(NodeRecord(1, name, key.public, 1, NOW_MS, NOW_MS + DAY_MS, (), ()), key)


def package(device: SigningKey, *, expires_ms: int = NOW_MS + DAY_MS, signer: SigningKey | None = None) -> bytes:
    return sign_package(DevicePackage(1, "seal.1", device.public, b"public", expires_ms, False), signer or device)


def keys(device: SigningKey, data: bytes | None = None, state: str = "one-time") -> DeviceKeys:
    return DeviceKeys(device.public, state, package(device) if data is None else data)


def reply(*devices: DeviceKeys, signed_list: bytes | None = None, request: bytes = REQUEST) -> ClaimReply:
    return ClaimReply(request, BOB, NOW_MS, signed_list or sign_device_list(LIST, IDENTITY), devices)


def fault_of(answer: ClaimAnswer, now_ms: int = NOW_MS) -> Code:
    with pytest.raises(PeerFault) as fault:
        open_claim(answer, parse_address(BOB), REQUEST, now_ms)
    return fault.value.code


def test_a_bundle_opens_with_all_that_a_sender_needs() -> None:
    answer = sign_claim(reply(keys(PHONE), keys(LAPTOP, b"", "exhausted")), NODE, record())
    bundle = open_claim(answer, parse_address(BOB), REQUEST, NOW_MS)
    assert (bundle.address, bundle.identity_key, bundle.list_sequence) == (parse_address(BOB), IDENTITY.public, 3)
    assert (bundle.node_key, bundle.at_ms) == (NODE.public, NOW_MS)
    assert bundle.states == ((PHONE.public, "one-time"), (LAPTOP.public, "exhausted"))
    (opened,) = bundle.packages
    assert opened.package.init == b"public"
    assert opened.id == package_id(read(package(PHONE), Signed).payload)


def test_the_answer_is_to_this_question_alone() -> None:
    good = reply(keys(PHONE))
    assert fault_of(sign_claim(reply(keys(PHONE), request=b"x" * 16), NODE, record())) is Code.BAD_FRAME
    other = msgspec.structs.replace(good, address="carol@finch.example")
    assert fault_of(sign_claim(other, NODE, record())) is Code.BAD_FRAME
    assert fault_of(sign_claim(good, NODE, record("birdy.example"))) is Code.BAD_FRAME


def test_the_serving_node_signs_the_whole() -> None:
    good = sign_claim(reply(keys(PHONE)), NODE, record())
    assert fault_of(sign_claim(reply(keys(PHONE)), MALLORY, record())) is Code.BAD_SIGNATURE
    other = pack(reply(keys(LAPTOP)))
    assert fault_of(msgspec.structs.replace(good, reply=other)) is Code.BAD_SIGNATURE
    payload = good.reply
    elsewhere = ClaimAnswer(payload, NODE.sign(Purpose.RECEIPT, payload), record())
    assert fault_of(elsewhere) is Code.BAD_SIGNATURE
    assert fault_of(good, NOW_MS + DAY_MS) is Code.EXPIRED


def test_a_device_that_the_owner_has_not_listed_does_not_slip_in() -> None:
    assert fault_of(sign_claim(reply(keys(PHONE), keys(MALLORY)), NODE, record())) is Code.BAD_SIGNATURE
    # Listed, but by somebody else under the owner's identity key.
    forged = sign_device_list(DeviceList(1, BOB, IDENTITY.public, 4, (MALLORY.public,)), MALLORY)
    assert fault_of(sign_claim(reply(keys(MALLORY), signed_list=forged), NODE, record())) is Code.BAD_SIGNATURE
    # By somebody else under their own: it opens, and the pinned identity key tells.
    other = sign_device_list(DeviceList(1, BOB, MALLORY.public, 4, (MALLORY.public,)), MALLORY)
    answer = sign_claim(reply(keys(MALLORY), signed_list=other), NODE, record())
    assert open_claim(answer, parse_address(BOB), REQUEST, NOW_MS).identity_key == MALLORY.public != IDENTITY.public


def test_a_package_is_its_devices_own() -> None:
    for wrong in (package(PHONE, signer=MALLORY), package(LAPTOP), package(MALLORY)):
        assert fault_of(sign_claim(reply(keys(PHONE, wrong)), NODE, record())) is Code.BAD_SIGNATURE
    assert fault_of(sign_claim(reply(keys(PHONE, b"nonsense")), NODE, record())) is Code.BAD_FRAME
    late = package(PHONE, expires_ms=NOW_MS)
    assert fault_of(sign_claim(reply(keys(PHONE, late)), NODE, record())) is Code.EXPIRED


def test_a_device_list_is_of_its_address_and_names_each_device_once() -> None:
    data = sign_device_list(LIST, IDENTITY)
    assert open_device_list(data, BOB) == LIST
    twice = sign_device_list(msgspec.structs.replace(LIST, devices=(PHONE.public, PHONE.public)), IDENTITY)
    many = tuple(bytes([number]) * 32 for number in range(DEVICES_PER_ACCOUNT_MAX + 1))
    crowded = sign_device_list(msgspec.structs.replace(LIST, devices=many), IDENTITY)
    for wrong, address in ((data, "carol@finch.example"), (twice, BOB), (crowded, BOB)):
        with pytest.raises(PeerFault) as fault:
            open_device_list(wrong, address)
        assert fault.value.code is Code.BAD_FRAME


def test_signed_things_do_not_pass_for_one_another() -> None:
    payload = pack(DevicePackage(1, "seal.1", PHONE.public, b"public", NOW_MS, False))
    as_list = pack(Signed(payload, PHONE.sign(Purpose.DEVICE_LIST, payload)))
    with pytest.raises(PeerFault) as fault:
        open_package(as_list, PHONE.public)
    assert fault.value.code is Code.BAD_SIGNATURE


@given(st.data())
def test_any_altered_byte_of_a_bundle_is_noticed(data: st.DataObject) -> None:
    answer = sign_claim(reply(keys(PHONE)), NODE, record())
    field = data.draw(st.sampled_from(["reply", "signature", "node_record"]))
    value = bytearray(getattr(answer, field))
    value[data.draw(st.integers(0, len(value) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PeerFault):
        open_claim(msgspec.structs.replace(answer, **{field: bytes(value)}), parse_address(BOB), REQUEST, NOW_MS)


@given(st.binary(max_size=300), st.binary(max_size=300))
def test_nonsense_is_the_peers_fault(one: bytes, other: bytes) -> None:
    for fields in ({"reply": one}, {"node_record": one}, {"reply": one, "node_record": other}):
        answer = msgspec.structs.replace(sign_claim(reply(keys(PHONE)), NODE, record()), **fields)
        with pytest.raises(PeerFault):
            open_claim(answer, parse_address(BOB), REQUEST, NOW_MS)
    # A node that signs nonsense.
    with pytest.raises(PeerFault):
        open_claim(ClaimAnswer(one, NODE.sign(Purpose.ANSWER, one), record()), parse_address(BOB), REQUEST, NOW_MS)
