"""The exchange of custody, with the node as receiver and as holder: [CUST-3] to [CUST-15] of custody.md."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

import trio

from waypost.crypto.keys import Purpose, envelope_id
from waypost.errors import Code
from waypost.limits import BATCH_MAX_BYTES, BATCH_MAX_ENVELOPES, RETRY_HINT_MAX_S
from waypost.protocol.custody.transfer import Delivered, Offer, Outcome, Receipt, ReceiptPayload, Refusal
from waypost.protocol.frames.codec import pack, read
from waypost_lab.conformance.bench import Bench, refused_with
from waypost_lab.conformance.check import Area, Need, require
from waypost_lab.conformance.encoding import longest
from waypost_lab.conformance.peer import PAUSE_S, Party, frame
from waypost_lab.conformance.residents import Resident

AREA = Area()

_UNKNOWN_CODE: Final = 29_999  #: a number that no version has


def _outcome(peer: Party, ids: bytes, sender: str = "nobody") -> Outcome:
    return Outcome(sender, f"eve@{peer.own.name}", 0, peer.wall_ms(), ids)


# ── the node as receiver ────────────────────────────────────────────────────────────────────────────────────────────


@AREA.check("CUST-3", "a batch number that is not above the last one ends the link with duplicate-batch (110)")
async def batch_numbers(bench: Bench) -> None:
    for first, second in ((1, 1), (7, 6), (7, 0)):
        peer = await bench.peer()
        await peer.say(Offer(first, (b"x",)), Offer(second, (b"y",)))
        await peer.end(Code.DUPLICATE_BATCH)


@AREA.check("CUST-3", "the numbers run over Offer and Delivered together")
async def one_sequence(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(Offer(3, (b"x",)), Delivered(3, (_outcome(peer, bytes(16)),)))
    await peer.end(Code.DUPLICATE_BATCH)


@AREA.check("CUST-3", "every link starts anew, and numbers may be left out")
async def numbers_start_anew(bench: Bench) -> None:
    own = bench.stranger()
    for number in (2**32 - 1, 1):
        peer = await bench.peer(own)
        await peer.say(Offer(number, (b"x",)))
        await peer.receipt_for(number, [envelope_id(b"x")])


@AREA.check("CUST-4", "a batch of 513 envelopes, or outcomes, ends the link with bad-frame (100)")
async def too_many_in_a_batch(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(Offer(1, (b"",) * (BATCH_MAX_ENVELOPES + 1)))
    await peer.end(Code.BAD_FRAME)
    peer = await bench.peer()
    await peer.say(Delivered(1, (_outcome(peer, bytes(16)),) * (BATCH_MAX_ENVELOPES + 1)))
    await peer.end(Code.BAD_FRAME)


@AREA.check("CUST-4", "a batch of 1,044,481 bytes ends the link with batch-too-large (108)")
async def too_large_a_batch(bench: Bench) -> None:
    peer = await bench.peer()
    whole = [bytes(70_000)] * 14
    await peer.say(Offer(1, (*whole, bytes(BATCH_MAX_BYTES + 1 - sum(map(len, whole))))))
    await peer.end(Code.BATCH_TOO_LARGE)


@AREA.check("CUST-4 CUST-6", "a batch of 512 envelopes and one of 1,044,480 bytes are judged")
async def the_largest_batches(bench: Bench) -> None:
    peer = await bench.peer()
    refused = await peer.offer(*(secrets.token_bytes(4) for _ in range(BATCH_MAX_ENVELOPES)))
    require(len(refused) == BATCH_MAX_ENVELOPES, f"{len(refused)} of 512 malformed envelopes refused")
    whole = [bytes(70_000)] * 14
    await peer.offer(*whole, bytes(BATCH_MAX_BYTES - sum(map(len, whole))))


@AREA.check("CUST-5", "more than the window that the node has granted ends the link with window-exceeded (107)")
async def window(bench: Bench) -> None:
    peer = await bench.peer()
    hello, _ = await peer.their_hello()
    batches = min(hello.window_envelopes // BATCH_MAX_ENVELOPES + 2, 64)
    sender, to = f"eve@{peer.own.name}", f"nobody-{secrets.token_hex(4)}@{bench.node.name}"
    each = tuple(bench.envelope(sender, to) for _ in range(BATCH_MAX_ENVELOPES))
    await peer.say(*(Offer(number, each) for number in range(1, batches + 1)))
    # A node that has answered the first before it reads the last has not been offered too much.
    await peer.until(
        lambda: peer.parted is not None or len(peer.all(Receipt)) == batches, "neither receipts nor a Goodbye", 30
    )
    if peer.parted is not None:
        await peer.end(Code.WINDOW_EXCEEDED)


@AREA.check("CUST-6 CUST-7", "each batch gets one Receipt, which is signed and has the digest of its ids")
async def one_receipt_each(bench: Bench) -> None:
    peer = await bench.peer()
    batches = [[secrets.token_bytes(9) for _ in range(size)] for size in (1, 3, 2)]
    await peer.say(*(Offer(number, tuple(batch)) for number, batch in enumerate(batches, 1)))
    ids = [secrets.token_bytes(32), secrets.token_bytes(16)]
    await peer.say(Delivered(4, tuple(_outcome(peer, each) for each in ids)))
    for number, batch in enumerate(batches, 1):
        await peer.receipt_for(number, [envelope_id(each) for each in batch])
    await peer.receipt_for(4, ids)
    await peer.lives()
    numbers = [read(receipt.payload, ReceiptPayload).batch for receipt in peer.all(Receipt)]
    require(sorted(numbers) == [1, 2, 3, 4], f"receipts for batches {numbers}")


@AREA.people("CUST-10", "an envelope that was taken before is taken again, and handed on once")
async def duplicates(bench: Bench, _alice: Party, bob: Party) -> None:
    peer = await bench.peer()
    envelope = bench.envelope(f"eve@{peer.own.name}", bob.own.name)
    refused_with(await peer.offer(envelope, envelope), None, None)
    refused_with(await peer.offer(envelope), None)
    await peer.close()
    again = await bench.peer(peer.own)
    refused_with(await again.offer(envelope), None)
    await bob.arrives(envelope_id(envelope))
    await trio.sleep(PAUSE_S)
    times = bob.offered(envelope_id(envelope))
    require(times == 1, f"the device was offered it {times} times")


# ── the node as holder ──────────────────────────────────────────────────────────────────────────────────────────────


def _bad_receipt(what: str, code: Code, make: Callable[[Party, Offer], Receipt], more: str = "") -> None:
    async def run(bench: Bench, alice: Resident, bob: Resident) -> None:
        link = await bench.device(bob.as_device, takes=False)
        sender = await bench.device(alice.as_device)
        envelope = bench.envelope(alice.address, bob.address)
        await bench.send(sender, envelope)
        await link.arrives(envelope_id(envelope))
        offer = next(each for each in link.all(Offer) if envelope in each.envelopes)
        await link.say(make(link, offer))
        await link.end(code)
        # Nothing of the batch is settled, so it comes again.
        again = await bench.device(bob.as_device)
        await again.arrives(envelope_id(envelope))

    expects = f"a Receipt {what} ends the link with {code}, and the envelope is offered on the next one"
    AREA.persons(f"CUST-8 CUST-9 CUST-2 {more}", expects)(run)


def _signed(link: Party, payload: bytes) -> Receipt:
    return Receipt(payload, link.own.key.sign(Purpose.RECEIPT, payload))


def _late(offer: Offer) -> Refusal:
    return Refusal(len(offer.envelopes), Code.BUSY.number)


_bad_receipt("whose signature does not fit", Code.BAD_SIGNATURE, lambda p, o: Receipt(p.receipt(o).payload, bytes(64)))
_bad_receipt(
    "signed as something else", Code.BAD_SIGNATURE, lambda p, o: p.receipt(o, purpose=Purpose.ANSWER), "WIRE-21"
)
_bad_receipt("that does not decode", Code.BAD_RECEIPT, lambda p, _o: _signed(p, b"\x90"))
_bad_receipt("for a batch that is not open", Code.BAD_RECEIPT, lambda p, o: p.receipt(o, number=o.batch + 1))
_bad_receipt("with another digest", Code.BAD_RECEIPT, lambda p, o: p.receipt(o, digest=bytes(32)))
_bad_receipt("with an index twice", Code.BAD_RECEIPT, lambda p, o: p.receipt(o, [Refusal(0, 206), Refusal(0, 300)]))
_bad_receipt("with an index beyond the batch", Code.BAD_RECEIPT, lambda p, o: p.receipt(o, [_late(o)]))


@AREA.check("CUST-8", "a Receipt when nothing was offered ends the link with bad-receipt (109)")
async def receipt_for_nothing(bench: Bench) -> None:
    peer = await bench.peer()
    await peer.say(_signed(peer, pack(ReceiptPayload(1, bench.wall_ms(), bytes(32)))))
    await peer.end(Code.BAD_RECEIPT)


@AREA.persons("CUST-8 WIRE-6 WIRE-19", "a Receipt in an odd encoding settles its batch")
async def odd_receipt(bench: Bench, alice: Resident, bob: Resident) -> None:
    link = await bench.device(bob.as_device, takes=False)
    sender = await bench.device(alice.as_device)
    id_ = await bench.mail(sender, bob.address)
    await link.arrives(id_)
    for offer in link.all(Offer):
        payload = longest([offer.batch, bench.wall_ms(), read(link.receipt(offer).payload, ReceiptPayload).digest])
        receipt = _signed(link, payload)
        await link.say(frame(longest([4, receipt.payload, receipt.signature])))
    await sender.told(id_)


@AREA.persons("CUST-5", "the node offers no more than the window that it was granted")
async def keeps_to_the_window(bench: Bench, alice: Resident, bob: Resident) -> None:
    narrow = bob.as_device
    link = await bench.party(narrow)
    link.manners.takes = False
    await link.greet(link.hello(window_envelopes=2))
    sender = await bench.device(alice.as_device)
    made = [bench.envelope(alice.address, bob.address) for _ in range(6)]
    for envelope in made:
        await bench.send(sender, envelope)
    await link.lives()
    await trio.sleep(PAUSE_S)
    open_now = sum(len(offer.envelopes) for offer in link.all(Offer))
    require(0 < open_now <= 2, f"{open_now} envelopes under way, 2 granted")
    await link.close()
    rest = await bench.device(bob.as_device)
    for envelope in made:
        await rest.arrives(envelope_id(envelope))


@AREA.people("CUST-11 CUST-23", "what a device refuses for good is not offered again, and the sender is told")
async def refused_for_good(bench: Bench, alice: Party, bob: Party) -> None:
    bob.manners.verdict = lambda _id: Refusal(0, Code.MALFORMED_ENVELOPE.number)
    id_ = await bench.mail(alice, bob.own.name)
    await alice.told(id_, Code.MALFORMED_ENVELOPE.number)
    again = await bench.device(bob.own)
    await again.lives()
    await trio.sleep(PAUSE_S)
    require(not again.offered(id_), "it was offered again")


async def _comes_again(bench: Bench, refusal: Refusal, within_s: float) -> None:
    """A peer refuses an envelope for now; the node must keep it, and offer it again within that time."""
    async with bench.people() as (alice, _):
        peer = await bench.peer()
        refused: list[bytes] = []

        def once(id_: bytes) -> Refusal | None:
            if id_ in refused:
                return None
            refused.append(id_)
            return refusal

        peer.manners.verdict = once
        id_ = await bench.mail(alice, f"eve@{peer.own.name}", expires_s=432_000)
    await peer.until(lambda: peer.offered(id_) >= 2, "what was refused for now was not offered again", within_s)


@AREA.check(
    "CUST-11 WIRE-13 CUST-13",
    "a refusal with an unknown number is one for now: the envelope is kept and offered again",
    Need.PEOPLE,
    takes_s=18,
)
async def unknown_refusal(bench: Bench) -> None:
    await _comes_again(bench, Refusal(0, _UNKNOWN_CODE, 1), 18)


@AREA.check(
    "CUST-11 CUST-12",
    "a refusal that is about the whole hop, such as busy (206), holds the envelope up for a moment only",
    Need.PEOPLE,
)
async def busy(bench: Bench) -> None:
    await _comes_again(bench, Refusal(0, Code.BUSY.number), 12)


@AREA.check("CUST-13", "a refusal for now without a time is tried again after about a minute", Need.PEOPLE, takes_s=100)
async def deferred(bench: Bench) -> None:
    await _comes_again(bench, Refusal(0, Code.MAILBOX_FULL.number), 90)


@AREA.check(
    "CUST-14",
    "however long a `retry_s` is, the envelope is offered again within an hour",
    Need.PEOPLE,
    takes_s=RETRY_HINT_MAX_S + 120,
)
async def long_hint(bench: Bench) -> None:
    await _comes_again(bench, Refusal(0, Code.MAILBOX_FULL.number, 2**32 - 1), RETRY_HINT_MAX_S + 60)


@AREA.check("CUST-14", "also where it is about the whole hop", Need.PEOPLE, takes_s=RETRY_HINT_MAX_S + 120)
async def long_hint_of_the_hop(bench: Bench) -> None:
    await _comes_again(bench, Refusal(0, Code.BUSY.number, 2**32 - 1), RETRY_HINT_MAX_S + 60)


@AREA.check("CUST-22", "mail for a peer that cannot be reached delays nobody else's", Need.PEOPLE, Need.LISTEN)
async def the_dead_delay_nobody(bench: Bench) -> None:
    async with bench.provider() as door, bench.people() as (alice, bob):
        for _ in range(50):
            await bench.mail(alice, f"eve@{door.name}")
        await door.arrival()  # and nothing is ever said there
        peer = await bench.peer()
        began = trio.current_time()
        for to, link in ((bob.own.name, bob), (f"eve@{peer.own.name}", peer)):
            await link.arrives(await bench.mail(alice, to))
        took = trio.current_time() - began
        require(took < 5, f"mail for others took {took:.1f} s")
