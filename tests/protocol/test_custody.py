from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from waypost.crypto.keys import Purpose, SigningKey, envelope_id
from waypost.errors import Code, PeerFault
from waypost.limits import BATCH_MAX_BYTES, BATCH_MAX_ENVELOPES, ENVELOPE_MAX_BYTES
from waypost.protocol.custody.transfer import (
    Delivered,
    Holder,
    Offer,
    Outcome,
    Receipt,
    ReceiptPayload,
    Receiver,
    Refusal,
    Room,
    batch_digest,
)
from waypost.protocol.frames.codec import pack

KEY, OTHER = SigningKey(bytes(32)), SigningKey(b"\1" * 32)
AT_MS = 1_700_000_000_000
WIDE = (4096, 2**24)


def ids_of(envelopes: Sequence[bytes]) -> list[bytes]:
    return [envelope_id(data) for data in envelopes]


def offer(holder: Holder, *envelopes: bytes, token: object = None) -> Offer:
    return holder.offer(envelopes, ids_of(envelopes), token)


def pair(envelopes: int = WIDE[0], size: int = WIDE[1]) -> tuple[Holder, Receiver]:
    return Holder(KEY.public, envelopes, size), Receiver(envelopes, size)


def signed(payload: ReceiptPayload, key: SigningKey = KEY) -> Receipt:
    data = pack(payload)
    return Receipt(data, key.sign(Purpose.RECEIPT, data))


def fault_of(holder: Holder, receipt: Receipt) -> Code:
    with pytest.raises(PeerFault) as fault:
        holder.settle(receipt)
    return fault.value.code


def test_a_batch_changes_hands() -> None:
    holder, receiver = pair()
    message = offer(holder, b"one", b"two", token="t")
    assert holder.in_flight == 1
    assert receiver.offered(message) == tuple(ids_of((b"one", b"two")))
    token, payload = holder.settle(receiver.receipt(1, [Refusal(1, 201, 30)], AT_MS, KEY))
    assert (token, payload.at_ms, payload.refusals) == ("t", AT_MS, (Refusal(1, 201, 30),))
    assert holder.in_flight == 0


def test_receipts_may_come_in_any_order() -> None:
    holder, receiver = pair()
    for n in range(3):
        receiver.offered(offer(holder, bytes([n]), token=n))
    assert [holder.settle(receiver.receipt(batch, (), AT_MS, KEY))[0] for batch in (3, 1, 2)] == [2, 0, 1]


def test_the_window_closes_and_opens() -> None:
    holder, receiver = pair(3, 1000)
    first = offer(holder, b"a" * 100, b"b" * 200)
    assert holder.room == Room(1, 700)
    with pytest.raises(ValueError, match="do not fit"):
        offer(holder, b"c", b"d")
    with pytest.raises(ValueError, match="do not fit"):
        offer(holder, b"c" * 701)
    second = offer(holder, b"c" * 700)
    assert holder.room == Room(0, 0)
    receiver.offered(first)
    receiver.offered(second)
    holder.settle(receiver.receipt(1, (), AT_MS, KEY))
    assert holder.room == Room(2, 300)


def test_a_batch_has_its_own_bounds_within_a_wide_window() -> None:
    holder, _ = pair(10**6, 2**31)
    assert holder.room == Room(BATCH_MAX_ENVELOPES, BATCH_MAX_BYTES)
    with pytest.raises(ValueError, match="do not fit"):
        offer(holder, *[b""] * 513)
    with pytest.raises(ValueError, match="do not fit"):
        offer(holder)


@pytest.mark.parametrize(
    ("batches", "code"),
    [
        ([Offer(1, (b"x",) * 4)], Code.WINDOW_EXCEEDED),
        ([Offer(1, (bytes(1001),))], Code.WINDOW_EXCEEDED),
        ([Offer(1, (b"x",)), Offer(2, (b"x",) * 3)], Code.WINDOW_EXCEEDED),
        ([Offer(1, (b"x",)), Offer(1, (b"x",))], Code.DUPLICATE_BATCH),
        ([Offer(5, (b"x",)), Offer(4, (b"x",))], Code.DUPLICATE_BATCH),
        ([Offer(0, (b"x",))], Code.DUPLICATE_BATCH),
        ([Offer(1, (bytes(ENVELOPE_MAX_BYTES),) * 15)], Code.BATCH_TOO_LARGE),
    ],
)
def test_a_holder_is_held_to_the_window(batches: list[Offer], code: Code) -> None:
    receiver = Receiver(3, 1000)
    for batch in batches[:-1]:
        receiver.offered(batch)
    with pytest.raises(PeerFault) as fault:
        receiver.offered(batches[-1])
    assert fault.value.code is code


def test_a_batch_number_stays_used_after_its_receipt() -> None:
    receiver = Receiver(*WIDE)
    receiver.offered(Offer(1, (b"x",)))
    receiver.receipt(1, (), AT_MS, KEY)
    with pytest.raises(PeerFault) as fault:
        receiver.offered(Offer(1, (b"x",)))
    assert fault.value.code is Code.DUPLICATE_BATCH


def test_a_receipt_is_given_once() -> None:
    receiver = Receiver(*WIDE)
    receiver.offered(Offer(1, (b"x",)))
    receiver.receipt(1, (), AT_MS, KEY)
    with pytest.raises(ValueError, match="not open"):
        receiver.receipt(1, (), AT_MS, KEY)


def test_a_receipt_must_fit_what_was_offered() -> None:
    digest = batch_digest(envelope_id(b"x"))
    good = ReceiptPayload(1, AT_MS, digest)

    def answered(receipt: Receipt) -> Code:
        holder, _ = pair()
        offer(holder, b"x")
        return fault_of(holder, receipt)

    assert answered(signed(good, OTHER)) is Code.BAD_SIGNATURE
    data = pack(good)
    assert answered(Receipt(data, KEY.sign(Purpose.ANSWER, data))) is Code.BAD_SIGNATURE
    assert answered(Receipt(data + b"\0", signed(good).signature)) is Code.BAD_SIGNATURE
    assert answered(Receipt(b"\xc1", KEY.sign(Purpose.RECEIPT, b"\xc1"))) is Code.BAD_RECEIPT
    assert answered(signed(ReceiptPayload(2, AT_MS, digest))) is Code.BAD_RECEIPT
    assert answered(signed(ReceiptPayload(1, AT_MS, batch_digest(b"")))) is Code.BAD_RECEIPT
    assert answered(signed(ReceiptPayload(1, AT_MS, digest, (Refusal(1, 300),)))) is Code.BAD_RECEIPT
    assert answered(signed(ReceiptPayload(1, AT_MS, digest, (Refusal(0, 300),) * 2))) is Code.BAD_RECEIPT


def test_a_receipt_counts_once() -> None:
    holder, receiver = pair()
    receiver.offered(offer(holder, b"x"))
    receipt = receiver.receipt(1, (), AT_MS, KEY)
    holder.settle(receipt)
    assert fault_of(holder, receipt) is Code.BAD_RECEIPT


def test_order_within_a_batch_is_part_of_what_was_received() -> None:
    holder, receiver = pair()
    message = offer(holder, b"one", b"two")
    receiver.offered(Offer(message.batch, message.envelopes[::-1]))
    assert fault_of(holder, receiver.receipt(1, (), AT_MS, KEY)) is Code.BAD_RECEIPT


def test_outcomes_change_hands_like_envelopes() -> None:
    holder, receiver = pair()
    outcome = Outcome("alice", "bob@finch.example", 0, AT_MS, bytes(32))
    message = holder.report([outcome], "t")
    receiver.reported(message)
    assert holder.settle(receiver.receipt(1, (), AT_MS, KEY))[0] == "t"
    with pytest.raises(PeerFault) as fault:
        receiver.reported(Delivered(2, (Outcome("alice", "bob@finch.example", 0, AT_MS, bytes(17)),)))
    assert fault.value.code is Code.BAD_FRAME
    with pytest.raises(ValueError, match="do not fit"):
        holder.report([], "t")


def test_outcomes_share_the_window_with_envelopes() -> None:
    outcome = Outcome("alice", "bob@finch.example", 0, AT_MS, bytes(16))
    holder, receiver = pair(2, 1000)
    receiver.offered(offer(holder, b"x"))
    receiver.reported(holder.report([outcome], None))
    with pytest.raises(ValueError, match="do not fit"):
        holder.report([outcome], None)
    with pytest.raises(PeerFault) as fault:
        receiver.reported(Delivered(3, (outcome,)))
    assert fault.value.code is Code.WINDOW_EXCEEDED


def report_within(holder: Holder, receiver: Receiver, ids: int) -> bool:
    outcomes = [Outcome("alice", "bob@finch.example", 0, AT_MS, bytes(16 * ids))]
    try:
        message = holder.report(outcomes, None)
    except ValueError:
        return False
    receiver.reported(message)
    return True


@given(st.integers(1, 600))
def test_whatever_a_holder_may_report_its_receiver_takes(ids: int) -> None:
    holder, receiver = pair(10, 4096)
    assert report_within(holder, receiver, ids) is (16 * ids <= 4096)


@given(st.lists(st.one_of(st.integers(1, 4), st.none()), max_size=80))
def test_an_honest_pair_never_faults_and_forgets_nothing(steps: list[int | None]) -> None:
    holder, receiver = pair(9, 900)
    waiting: list[int] = []
    sent, settled = 0, 0
    for step in steps:
        if step is not None and holder.room.envelopes >= step:
            message = offer(holder, *(bytes([n]) * 100 for n in range(step)), token=step)
            receiver.offered(message)
            waiting.append(message.batch)
            sent += step
        elif waiting:
            token, _ = holder.settle(receiver.receipt(waiting.pop(len(waiting) // 2), (), AT_MS, KEY))
            assert isinstance(token, int)
            settled += token
        assert holder.in_flight == len(waiting)
        assert holder.room.envelopes == 9 - (sent - settled)
