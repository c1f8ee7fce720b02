"""Node records: who may say what about a node, and until when."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.clock import DAY_MS
from waypost.crypto.keys import Purpose, SigningKey
from waypost.errors import Code, PeerFault
from waypost.limits import CLOCK_TOLERANCE_MS, RECORD_ENDPOINTS_MAX, RECORD_LIFETIME_MS, RECORD_MAX_BYTES
from waypost.protocol.directory.record import (
    NodeRecord,
    RecordEndpoint,
    RecordState,
    open_record,
    sign_record,
    succession_payload,
    supersedes,
)
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.signed import Signed

NOW_MS = 1_800_000_000_000
OLD, NEW = SigningKey(b"o" * 32), SigningKey(b"n" * 32)
RECORD = NodeRecord(
    1, "finch.example", NEW.public, 5, NOW_MS, NOW_MS + DAY_MS, (RecordEndpoint("n.finch.example", 7711),), ("seal.1",)
)


def changed(**fields: object) -> NodeRecord:
    return msgspec.structs.replace(RECORD, **fields)


def fault_of(data: bytes, now_ms: int = NOW_MS) -> Code:
    with pytest.raises(PeerFault) as fault:
        open_record(data, now_ms)
    return fault.value.code


def test_a_record_opens_as_it_was_signed() -> None:
    data = sign_record(RECORD, NEW)
    opened = open_record(data, NOW_MS)
    assert (opened.record, opened.data) == (RECORD, data)


def test_a_tombstone_says_where_the_users_are() -> None:
    moved = changed(state=RecordState.MOVED, moved_to="birdy.example", endpoints=())
    assert open_record(sign_record(moved, NEW), NOW_MS).record.moved_to == "birdy.example"
    assert fault_of(sign_record(changed(moved_to="Birdy.Example"), NEW)) is Code.BAD_FRAME


def test_only_the_named_key_can_sign() -> None:
    assert fault_of(sign_record(RECORD, OLD)) is Code.BAD_SIGNATURE
    payload = pack(RECORD)
    for purpose in set(Purpose) - {Purpose.NODE_RECORD}:
        assert fault_of(pack(Signed(payload, NEW.sign(purpose, payload)))) is Code.BAD_SIGNATURE


@given(st.data())
def test_any_altered_byte_is_noticed(data: st.DataObject) -> None:
    signed = bytearray(sign_record(RECORD, NEW))
    at = data.draw(st.integers(0, len(signed) - 1))
    signed[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(PeerFault):
        open_record(bytes(signed), NOW_MS)


@given(st.binary(max_size=400))
def test_nonsense_is_the_peers_fault(data: bytes) -> None:
    with pytest.raises(PeerFault):
        open_record(data, NOW_MS)


@pytest.mark.parametrize("name", ["Finch.example", "finch", "", "finch..example", "finch.example.", "f inch.example"])
def test_a_name_must_be_canonical(name: str) -> None:
    assert fault_of(sign_record(changed(name=name), NEW)) is Code.BAD_FRAME


def test_times_have_bounds() -> None:
    latest = NOW_MS + CLOCK_TOLERANCE_MS
    open_record(sign_record(changed(issued_ms=latest), NEW), NOW_MS)
    assert fault_of(sign_record(changed(issued_ms=latest + 1), NEW)) is Code.CLOCK_SKEW
    assert fault_of(sign_record(RECORD, NEW), NOW_MS + DAY_MS) is Code.EXPIRED
    open_record(sign_record(RECORD, NEW), NOW_MS + DAY_MS - 1)
    open_record(sign_record(changed(expires_ms=NOW_MS + RECORD_LIFETIME_MS), NEW), NOW_MS)
    assert fault_of(sign_record(changed(expires_ms=NOW_MS + RECORD_LIFETIME_MS + 1), NEW)) is Code.EXPIRED


def test_sizes_have_bounds() -> None:
    many = (RecordEndpoint("h", 1),) * (RECORD_ENDPOINTS_MAX + 1)
    assert fault_of(sign_record(changed(endpoints=many), NEW)) is Code.BAD_FRAME
    assert fault_of(bytes(RECORD_MAX_BYTES + 1)) is Code.BAD_FRAME
    for port in (0, 65536):
        assert fault_of(sign_record(changed(endpoints=(RecordEndpoint("h", port),)), NEW)) is Code.BAD_FRAME


def test_a_key_is_handed_on_by_the_old_one_alone() -> None:
    payload = succession_payload(RECORD.name, NEW.public)
    good = changed(old_key=OLD.public, old_signature=OLD.sign(Purpose.RECORD_SUCCESSION, payload))
    assert open_record(sign_record(good, NEW), NOW_MS).record.old_key == OLD.public
    wrong = [
        b"",
        bytes(64),
        NEW.sign(Purpose.RECORD_SUCCESSION, payload),
        OLD.sign(Purpose.NODE_RECORD, payload),
        OLD.sign(Purpose.RECORD_SUCCESSION, succession_payload("birdy.example", NEW.public)),
        OLD.sign(Purpose.RECORD_SUCCESSION, succession_payload(RECORD.name, SigningKey(b"x" * 32).public)),
    ]
    for signature in wrong:
        record = changed(old_key=OLD.public, old_signature=signature)
        assert fault_of(sign_record(record, NEW)) is Code.BAD_SIGNATURE


def test_only_a_higher_sequence_supersedes() -> None:
    assert supersedes(changed(sequence=6), RECORD)
    assert not supersedes(changed(sequence=5), RECORD)
    assert not supersedes(changed(sequence=4), RECORD)


def test_fields_of_a_later_version_are_passed_over() -> None:
    payload = pack((*msgspec.to_builtins(RECORD, builtin_types=(bytes,)), "later"))
    data = pack(Signed(payload, NEW.sign(Purpose.NODE_RECORD, payload)))
    assert open_record(data, NOW_MS).record == RECORD
