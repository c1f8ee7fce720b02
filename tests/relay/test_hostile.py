"""Peers and devices that break the rules: each is refused with its number and harms nobody else."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
import trio
import trio.testing
from tests.relay.stranger import Stranger, envelope_from
from tests.relay.world import Device, VirtualClock, World, key_of, world

from waypost.crypto.keys import envelope_id
from waypost.errors import Code, PeerFault
from waypost.ids import Address
from waypost.limits import DEVICE_WINDOW_ENVELOPES, FRAME_MAX_BYTES, STRANGERS_MAX, WINDOW_ENVELOPES
from waypost.links.memory import memory_link
from waypost.links.pump import greet
from waypost.protocol.custody.transfer import Delivered, Offer, Outcome, Receipt
from waypost.protocol.directory.asks import Records, Track
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Message, Query, Role, encode
from waypost.relay.settings import Quotas

BIRDY, FINCH, HERON = "birdy.local", "finch.local", "heron.local"


async def say(stranger: Stranger, data: bytes) -> None:
    """These very bytes, past its session."""
    stranger.session._out.append(data)
    stranger.session.pending_bytes += len(data)
    stranger.pump.wake()
    await trio.lowlevel.checkpoint()


async def still_well(w: World, bob: Device) -> None:
    """Another peer's mail flows, and nothing unforeseen is in the log."""
    heron = Stranger(w, HERON)
    await heron.dial(FINCH)
    before = len(bob.inbox)
    heron.offer(envelope_from("carol@heron.local", "bob@finch.local", str(trio.current_time()).encode()))
    await bob.until(lambda: len(bob.inbox) == before + 1)
    assert not [entry for entry in w.nodes[FINCH].logs if "unforeseen" in entry["event"]]


def outcome(recipient: str, ids: bytes, sender: str = "bob", code: int = 0) -> Outcome:
    return Outcome(sender, recipient, code, VirtualClock().wall_ms(), ids)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"\x00\x00\x00\x03\xff\xff\xff", Code.BAD_FRAME),
        (b"\x00\x00\x00\x02\x91\x63", Code.UNKNOWN_TYPE),
        ((FRAME_MAX_BYTES + 1).to_bytes(4, "big"), Code.FRAME_TOO_LARGE),
        (b"\xff\xff\xff\xff", Code.FRAME_TOO_LARGE),
        ((Receipt(b"\x90", bytes(64)),), Code.BAD_SIGNATURE),
        ((Offer(1, (b"x",)), Offer(1, (b"y",))), Code.DUPLICATE_BATCH),
        ((Offer(2, (b"x",)), Offer(1, (b"y",))), Code.DUPLICATE_BATCH),
        (tuple(Query(number, Track(bytes(16))) for number in [1, 1]), Code.TOO_MANY_REQUESTS),
        (tuple(Query(number, Records(())) for number in range(65)), Code.TOO_MANY_REQUESTS),
        (tuple(Offer(number, (b"x",) * 512) for number in range(1, 10)), Code.WINDOW_EXCEEDED),
        ((Delivered(1, (Outcome("bob", "a@birdy.local", 0, 0, bytes(17)),)),), Code.BAD_FRAME),
    ],
    ids=lambda value: value.name if isinstance(value, Code) else "",
)
async def test_what_is_against_the_rules_ends_the_link_with_its_number(
    autojump_clock: trio.testing.MockClock, said: bytes | tuple[Message, ...], code: Code
) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        await say(birdy, said if isinstance(said, bytes) else b"".join(map(encode, said)))
        assert await birdy.goodbye() == code.number
        await still_well(w, bob)


async def test_a_replayed_proof_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        sent: list[bytes] = []
        honest = Stranger(w, BIRDY)
        stream = await w.net.dial(FINCH, 7711)
        send = stream.send

        async def recording(data: bytes | memoryview) -> None:
            sent.append(bytes(data))
            await send(data)

        stream.send = recording  # type: ignore[method-assign]
        await honest._greet(stream)
        replayed = await w.net.dial(FINCH, 7711)
        for data in sent:
            await replayed.send(data)
        answer = b""
        while data := await replayed.receive():
            answer += data
        assert encode_goodbye(Code.BAD_PROOF) in answer


def encode_goodbye(code: Code) -> bytes:
    from waypost.protocol.frames.messages import Goodbye

    return encode(Goodbye(code.number))


async def test_a_man_in_the_middle_fails_closed(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        await w.node(BIRDY)
        listener = w.net.listeners[FINCH]

        class Middle:
            async def accept(self, near: object) -> None:
                ours, theirs = memory_link(hashlib.sha256(b"another TLS connection").digest())
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(pipe, near, ours)
                    nursery.start_soon(pipe, ours, near)
                    try:
                        await listener.accept(theirs)
                    except PeerFault as fault:
                        faults.append(fault.code)
                    nursery.cancel_scope.cancel()

        async def pipe(source: object, target: object) -> None:
            from waypost.links.errors import LinkBroken

            try:
                while data := await source.receive():  # type: ignore[attr-defined]
                    await target.send(data)  # type: ignore[attr-defined]
            except LinkBroken:
                pass

        faults: list[Code] = []
        w.net.listeners[FINCH] = Middle()  # type: ignore[assignment]
        w.introduce(BIRDY, FINCH)
        await trio.sleep(10)
        known = w.peer(BIRDY, FINCH)
        assert known is not None
        assert known.link is None
        assert known.trouble is not None
        assert Code.BAD_PROOF in (known.trouble.code, *faults)


async def test_a_silent_newcomer_does_not_stay(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        stream = await w.net.dial(FINCH, 7711)
        started = trio.current_time()
        while await stream.receive():
            pass
        assert 9 <= trio.current_time() - started <= 14


async def test_a_peer_speaks_for_its_own_users_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        heron = Stranger(w, HERON)
        heron.listen()
        w.introduce(FINCH, HERON)
        id_ = bob.send("carol@heron.local")
        await heron.until(lambda: bool(heron.offered))
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        birdy.session.report([outcome("carol@heron.local", id_), outcome("bob@finch.local", id_)], None)
        birdy.session.report([outcome("nobody@birdy.local", bytes(16), sender="nobody")], None)
        birdy.pump.wake()
        await birdy.until(lambda: len(birdy.settled) == 2)
        await trio.sleep(5)
        assert bob.outcomes == []
        heron.session.report([outcome("carol@heron.local", id_, code=Code.NOT_FOUND.number)], None)
        heron.pump.wake()
        await bob.until(lambda: len(bob.outcomes) == 1)
        assert bob.outcomes[0].ids == id_


async def test_a_peer_cannot_fill_a_mailbox_with_news(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH, quotas=Quotas(mailbox_envelopes=50))
        bob = await w.device(FINCH, "bob")
        bob.disconnect()
        await bob.until(lambda: bob.closed is not None)
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        for number in range(200):
            birdy.session.report([outcome("x@birdy.local", number.to_bytes(16, "big"))], None)
            birdy.pump.wake()
            await birdy.until(lambda number=number: len(birdy.settled) == number + 1)  # type: ignore[misc]
        [mailbox] = w.nodes[FINCH].relay.accounts.device_mailboxes(Address.of("bob@finch.local"))
        assert w.nodes[FINCH].relay.usages.of(mailbox).items <= 51


async def test_a_device_that_reports_is_out_of_order(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        bob.session.report([outcome("bob@finch.local", bytes(16))], [])
        bob._pump.wake()
        await bob.until(lambda: bob.closed is not None)
        assert bob.closed is not None
        assert bob.closed.code == Code.OUT_OF_ORDER.number


async def test_devices_that_may_only_join_are_counted(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        for number in range(STRANGERS_MAX):
            eve = Device(w, FINCH, "bob@finch.local", key_of(f"eve {number}"))
            await eve.connect()
        one_more = Device(w, FINCH, "bob@finch.local", key_of("one more"))
        await one_more.connect()
        await one_more.until(lambda: one_more.closed is not None, seconds=5)
        assert one_more.closed is not None
        assert one_more.closed.code == Code.TOO_MANY_LINKS.number
        await still_well(w, bob)
        await trio.sleep(20)
        assert w.nodes[FINCH].relay._door._devices._strangers == 0


async def test_a_clock_that_is_far_off_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        stream = await w.net.dial(FINCH, 7711)
        own = Own(Role.NODE, BIRDY, key_of(BIRDY))
        with pytest.raises(PeerFault) as caught:
            await greet(stream, Handshake(own, stream.channel, VirtualClock().wall_ms() + 400_000))
        assert caught.value.code is Code.CLOCK_SKEW


async def test_trouble_in_serving_one_link_ends_that_link_alone(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        intake = w.nodes[FINCH].relay.intake
        offered = intake.offered

        def fails(link: object, *others: object) -> None:
            if link.source == BIRDY:  # type: ignore[attr-defined]
                raise KeyError("nobody foresaw this")
            offered(link, *others)  # type: ignore[arg-type]

        intake.offered = fails  # type: ignore[assignment, method-assign]
        birdy.offer(envelope_from("alice@birdy.local", "bob@finch.local"))
        assert await birdy.goodbye() == Code.INTERNAL.number
        assert [entry["peer"] for entry in w.nodes[FINCH].logs if "unforeseen" in entry["event"]] == [BIRDY]
        w.nodes[FINCH].logs.clear()
        await still_well(w, bob)


async def test_trouble_in_a_request_is_its_own(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")

        async def fails(*_: object, **__: object) -> None:
            raise KeyError("nobody foresaw this")

        w.nodes[FINCH].relay.tracks.find = fails  # type: ignore[method-assign, assignment]
        answer = await bob.ask(Track(bytes(16)))
        assert answer.code == Code.INTERNAL.number
        w.nodes[FINCH].logs.clear()
        await still_well(w, bob)


async def test_a_peers_task_that_fails_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(BIRDY)
        await w.node(FINCH)
        relay = w.nodes[BIRDY].relay
        dial = relay.dialer._dial
        failures: list[int] = []

        async def fails(*args: Any) -> None:
            if not failures:
                failures.append(1)
                raise KeyError("nobody foresaw this")
            await dial(*args)

        relay.dialer._dial = fails  # type: ignore[method-assign, assignment]
        w.introduce(BIRDY, FINCH)
        await w.linked(BIRDY, FINCH)
        assert failures == [1]


async def test_receipts_for_what_was_never_offered(autojump_clock: trio.testing.MockClock) -> None:
    from waypost.crypto.keys import Purpose
    from waypost.protocol.custody.transfer import ReceiptPayload
    from waypost.protocol.frames.codec import pack

    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        payload = pack(ReceiptPayload(1, 0, bytes(32)))
        await say(birdy, encode(Receipt(payload, birdy.key.sign(Purpose.RECEIPT, payload))))
        assert await birdy.goodbye() == Code.BAD_RECEIPT.number
        await still_well(w, bob)


async def test_the_largest_batch_of_the_smallest_envelopes(autojump_clock: trio.testing.MockClock) -> None:
    async with world() as w:
        await w.node(FINCH)
        bob = await w.device(FINCH, "bob")
        birdy = Stranger(w, BIRDY)
        await birdy.dial(FINCH)
        envelopes = [envelope_from("a@birdy.local", "bob@finch.local", b"%d" % number) for number in range(512)]
        birdy.offer(*envelopes)
        await bob.until(lambda: len(bob.ids) == 512)
        assert bob.ids == [envelope_id(each) for each in envelopes]


@pytest.mark.parametrize(("role", "most"), [(Role.DEVICE, DEVICE_WINDOW_ENVELOPES), (Role.NODE, WINDOW_ENVELOPES)])
async def test_however_large_a_window_is_granted_what_is_in_flight_is_bounded(
    autojump_clock: trio.testing.MockClock, role: Role, most: int
) -> None:
    async with world() as w:
        await w.node(FINCH)
        node = key_of("a node")
        name = "eve@finch.local" if role is Role.DEVICE else BIRDY
        near, far = memory_link(bytes(32))
        ours = Handshake(Own(Role.NODE, FINCH, node), near.channel, VirtualClock().wall_ms())
        greedy = Own(role, name, key_of("eve"), (), 2**32 - 1, 2**32 - 1)
        theirs = Handshake(greedy, far.channel, VirtualClock().wall_ms())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(greet, near, ours)
            nursery.start_soon(greet, far, theirs)
        session, offered = ours.finish(0.0), 0
        while session.room.envelopes:
            session.offer([b"x"], [bytes(16)], None)
            session.bytes_to_send()
            offered += 1
        assert offered == most
