"""The pump in virtual time: sessions over memory links, and what happens when they fall silent, break or end."""

from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import pytest
from tests.links.conformance import receive_all
from tests.links.support import (
    BACKENDS,
    EXPORTER,
    both,
    handshake,
    outcome,
    run,
    run_virtual,
    sessions,
    signing_key,
    tls_over,
    transports,
)

from waypost.errors import Code, PeerFault
from waypost.limits import HANDSHAKE_TIMEOUT_S, KIB, LINGER_S, PING_AFTER_S, SILENT_AFTER_S, UNREAD_ABOVE_BYTES
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.memory import MemoryStream, memory_link
from waypost.links.pump import Pump, greet, part
from waypost.links.stream import Stream
from waypost.protocol.directory.asks import Track
from waypost.protocol.frames.messages import Goodbye, Ping, Pong, Signal, decode, encode
from waypost.protocol.frames.session import Closed, Event, Session, Signalled


@dataclass
class Side:
    """One end of a link that is pumped, and what its handler got."""

    stream: Stream
    session: Session
    events: list[Event] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    pump: Pump = field(init=False)

    def __post_init__(self) -> None:
        self.pump = Pump(self.stream, self.session, self._take)

    def _take(self, events: list[Event]) -> None:
        self.events += events
        self.at += [anyio.current_time()] * len(events)

    def say(self, body: bytes) -> None:
        self.session.signal(signal(body))
        self.pump.wake()

    @property
    def closed(self) -> Closed:
        last = self.events[-1]
        assert isinstance(last, Closed)
        assert sum(isinstance(event, Closed) for event in self.events) == 1
        return last

    @property
    def heard(self) -> list[bytes]:
        return [event.signal.body for event in self.events if isinstance(event, Signalled)]


def signal(body: bytes) -> Signal:
    return Signal("bob@node2.example", "ada@node1.example", "mls.1", body)


async def two_sides() -> tuple[Side, Side]:
    streams = memory_link(EXPORTER)
    left, right = await sessions(*streams)
    return Side(streams[0], left), Side(streams[1], right)


async def side_and_stream() -> tuple[Side, MemoryStream]:
    """A side that is pumped, and the bare stream of its peer."""
    streams = memory_link(EXPORTER)
    left, _ = await sessions(*streams)
    return Side(streams[0], left), streams[1]


def frames(data: bytes) -> list[object]:
    messages: list[object] = []
    while data:
        length = int.from_bytes(data[:4], "big")
        messages.append(decode(data[4 : 4 + length]))
        data = data[4 + length :]
    return messages


def test_keep_alive_holds_a_quiet_link() -> None:
    async def main() -> None:
        left, right = await two_sides()
        with anyio.move_on_after(1_000):
            await both(left.pump.run, right.pump.run)
        assert anyio.current_time() == 1_000
        assert left.events == right.events == []

    run_virtual(main)


def test_a_silent_peer_is_noticed_at_its_deadline() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        await side.pump.run()
        assert side.closed.code == Code.SILENT.number
        assert side.at == [SILENT_AFTER_S]
        assert anyio.current_time() == SILENT_AFTER_S + LINGER_S
        said = frames(await receive_all(peer))
        assert [type(message) for message in said] == [Ping, Goodbye]

    run_virtual(main)


def test_any_sign_of_life_moves_the_deadline() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(side.pump.run)
            await anyio.sleep(SILENT_AFTER_S - 1)
            await peer.send(encode(Pong(0)))
        assert side.at == [2 * SILENT_AFTER_S - 1]

    run_virtual(main)


def test_a_lone_message_leaves_at_once() -> None:
    async def main() -> None:
        left, right = await two_sides()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(left.pump.run)
            tasks.start_soon(right.pump.run)
            for moment in (1, 2, 7):
                await anyio.sleep_until(moment)
                left.say(b"tick")
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        assert right.heard == [b"tick"] * 3
        assert right.at == [1, 2, 7]

    run_virtual(main)


class Counting:
    """A stream that counts the calls of its `send`."""

    def __init__(self, stream: MemoryStream) -> None:
        self.stream = stream
        self.sends = 0
        self.channel = stream.channel
        self.receive = stream.receive
        self.send_eof = stream.send_eof
        self.aclose = stream.aclose

    async def send(self, data: bytes | memoryview) -> None:
        self.sends += 1
        await self.stream.send(data)


def test_what_has_accumulated_leaves_in_one_send_and_arrives_in_one_call() -> None:
    async def main() -> None:
        left, right = await two_sides()
        assert isinstance(left.stream, MemoryStream)
        counting = Counting(left.stream)
        left.pump = Pump(counting, left.session, lambda _: None)
        batches: list[int] = []
        right.pump = Pump(right.stream, right.session, lambda events: batches.append(len(events)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(left.pump.run)
            tasks.start_soon(right.pump.run)
            await anyio.wait_all_tasks_blocked()
            for _ in range(500):
                left.say(b"x")
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        assert counting.sends == 1
        assert batches == [500]

    run_virtual(main)


def test_goodbye_reaches_a_peer_that_is_slow_to_read() -> None:
    async def main() -> None:
        left, right = await two_sides()
        for _ in range(100):
            left.session.signal(signal(bytes(4 * KIB)))
        left.pump.close(Code.CLOSING, "back soon")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(left.pump.run)
            await anyio.sleep(1)
            tasks.start_soon(right.pump.run)
        assert len(right.heard) == 100
        assert right.closed == Closed(Code.CLOSING.number, "back soon", by_peer=True)
        assert left.closed == Closed(Code.CLOSING.number, "back soon", by_peer=False)
        assert anyio.current_time() == 1

    run_virtual(main)


def test_closing_waits_no_longer_than_lingering_for_a_peer_that_does_not_read() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        for _ in range(100):
            side.session.signal(signal(bytes(4 * KIB)))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(side.pump.run)
            await anyio.sleep(5)
            side.pump.close(Code.CLOSING)
        assert side.at == [5]
        assert anyio.current_time() == 5 + LINGER_S
        with pytest.raises(LinkBroken):
            await peer.send(b"x")

    run_virtual(main)


def test_a_closed_link_does_not_listen_to_a_peer_that_talks_on() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()

        async def chatter() -> None:
            with suppress(LinkBroken):
                while True:
                    await peer.send(encode(signal(b"blah")))
                    await anyio.sleep(0.1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(chatter)
            tasks.start_soon(side.pump.run)
            await anyio.sleep(1)
            side.pump.close(Code.CLOSING)
        assert 1 + LINGER_S <= anyio.current_time() <= 1.2 + LINGER_S
        assert all(moment <= 1 for moment in side.at)
        assert side.closed.code == Code.CLOSING.number

    run_virtual(main)


def test_a_fault_of_the_peer_is_answered_with_its_number() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(side.pump.run)
            await peer.send(b"\0\0\0\1\xc1")
            said = frames(await receive_all(peer))
            await peer.send_eof()
        assert side.closed.code == Code.BAD_FRAME.number
        assert said == [Goodbye(Code.BAD_FRAME.number, "")]
        assert anyio.current_time() == 0

    run_virtual(main)


def test_a_lost_connection_closes_the_session_with_its_reason() -> None:
    async def main() -> None:
        left, right = await two_sides()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(left.pump.run)
            tasks.start_soon(right.pump.run)
            await anyio.sleep(3)
            assert isinstance(left.stream, MemoryStream)
            left.stream.cut()
        for side in (left, right):
            assert side.closed == Closed(None, Trouble.LOST.value, by_peer=True)
            assert side.at == [3]
        assert anyio.current_time() == 3

    run_virtual(main)


def test_a_peer_that_hangs_up_in_order_closes_the_session() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        await peer.send_eof()
        await side.pump.run()
        assert side.closed.code is None
        assert side.closed.by_peer
        assert anyio.current_time() == 0

    run_virtual(main)


def test_a_peer_that_keeps_alive_but_takes_nothing_is_left() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        for _ in range(100):
            side.session.signal(signal(bytes(4 * KIB)))

        async def keep_alive() -> None:
            with suppress(LinkBroken):
                while True:
                    await peer.send(encode(Pong(0)))
                    await anyio.sleep(PING_AFTER_S)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(keep_alive)
            await side.pump.run()
        assert side.closed == Closed(None, Trouble.STALLED.value, by_peer=True)
        assert side.at == [SILENT_AFTER_S + LINGER_S]

    run_virtual(main)


def test_a_peer_that_asks_and_does_not_read_cannot_fill_our_memory() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        pings = encode(Ping(2**32 - 1)) * 4_000
        sent = 0

        async def flood() -> None:
            nonlocal sent
            with suppress(LinkBroken):
                while True:
                    await peer.send(pings)
                    sent += len(pings)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(flood)
            tasks.start_soon(side.pump.run)
            await anyio.sleep(1)
            # Each ping costs as many bytes to answer; what the streams hold comes on top.
            assert UNREAD_ABOVE_BYTES - len(pings) < sent < UNREAD_ABOVE_BYTES + 4 * len(pings)
            assert side.session.pending_bytes < UNREAD_ABOVE_BYTES + len(pings)
        assert side.closed.code in (None, Code.SILENT.number)
        assert anyio.current_time() <= SILENT_AFTER_S + LINGER_S

    run_virtual(main)


def test_while_the_handler_awaits_nothing_more_is_read() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        handled = 0

        async def slow(events: list[Event]) -> None:
            nonlocal handled
            await anyio.sleep(10)
            handled += len(events)

        pump = Pump(side.stream, side.session, slow)
        sent = 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pump.run)
            with anyio.move_on_after(9):
                while True:
                    await peer.send(encode(signal(bytes(4 * KIB))))
                    sent += 1
            assert handled == 0
            assert sent < 40
            tasks.cancel_scope.cancel()

    run_virtual(main)


def test_the_handler_is_never_called_twice_at_once() -> None:
    """The deadline passes while the handler still works on what was read."""

    async def main() -> None:
        side, peer = await side_and_stream()
        order: list[str] = []

        async def slow(events: list[Event]) -> None:
            order.append(f"begin {type(events[0]).__name__}")
            await anyio.sleep(2 * SILENT_AFTER_S)
            order.append(f"end {type(events[0]).__name__}")

        await peer.send(encode(signal(b"x")))
        await Pump(side.stream, side.session, slow).run()
        assert order == ["begin Signalled", "end Signalled", "begin Closed", "end Closed"]
        assert anyio.current_time() == 4 * SILENT_AFTER_S

    run_virtual(main)


def test_a_handler_may_close_the_link() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()
        events: list[Event] = []

        def handle(got: list[Event]) -> None:
            events.extend(got)
            if isinstance(got[0], Signalled):
                pump.close(Code.REPLACED)

        pump = Pump(side.stream, side.session, handle)
        await peer.send(encode(signal(b"x")))
        await peer.send_eof()
        await pump.run()
        assert [type(event) for event in events] == [Signalled, Closed]
        assert frames(await receive_all(peer)) == [Goodbye(Code.REPLACED.number, "")]

    run_virtual(main)


def test_an_earlier_deadline_is_kept() -> None:
    """A request that is made while the pump sleeps until the next ping times out before it."""

    async def main() -> None:
        side, _ = await side_and_stream()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(side.pump.run)
            await anyio.sleep(1)
            side.session.ask(Track(bytes(16)), "token", anyio.current_time(), timeout_s=3)
            side.pump.wake()
            await anyio.sleep(5)
            tasks.cancel_scope.cancel()
        assert side.at == [4]

    run_virtual(main)


@pytest.mark.parametrize("state", ["idle", "sending", "handling"])
def test_cancelling_leaves_nothing_hanging(state: str) -> None:
    async def main() -> None:
        side, peer = await side_and_stream()

        async def handle(events: list[Event]) -> None:
            await anyio.sleep_forever()

        if state == "sending":
            for _ in range(100):
                side.session.signal(signal(bytes(4 * KIB)))
        if state == "handling":
            await peer.send(encode(signal(b"x")))
        pump = Pump(side.stream, side.session, handle)
        with anyio.move_on_after(5) as scope:
            await pump.run()
        assert scope.cancelled_caught
        assert anyio.current_time() == 5
        assert isinstance(await outcome(receive_all(peer)), LinkBroken)
        assert isinstance(await outcome(side.stream.receive()), LinkBroken)

    run_virtual(main)


def test_an_error_of_the_handler_comes_out_and_the_stream_is_closed() -> None:
    async def main() -> None:
        side, peer = await side_and_stream()

        def broken(events: list[Event]) -> None:
            raise ZeroDivisionError

        await peer.send(encode(signal(b"x")))
        with pytest.raises(ExceptionGroup) as raised:
            await Pump(side.stream, side.session, broken).run()
        assert raised.group_contains(ZeroDivisionError)
        assert isinstance(await outcome(receive_all(peer)), LinkBroken)

    run_virtual(main)


# ── handshake ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_greeting_names_both_sides() -> None:
    async def main() -> None:
        left, right = memory_link(EXPORTER)
        peers = await both(
            lambda: greet(left, handshake(left, 1, signing_key(2).public)),
            lambda: greet(right, handshake(right, 2)),
        )
        assert [peer.name for peer in peers] == ["node2.example", "node1.example"]
        assert [peer.dialed for peer in peers] == [True, False]

    run_virtual(main)


def test_a_peer_that_does_not_greet_is_left_in_time_and_told() -> None:
    async def main() -> None:
        left, right = memory_link(EXPORTER)
        fault = await outcome(greet(left, handshake(left, 1)))
        assert isinstance(fault, PeerFault)
        assert fault.code is Code.TOO_SLOW
        assert anyio.current_time() == HANDSHAKE_TIMEOUT_S + LINGER_S
        assert frames(await receive_all(right))[-1] == Goodbye(Code.TOO_SLOW.number, "")

    run_virtual(main)


def test_another_key_than_expected_is_left_and_told() -> None:
    async def main() -> None:
        left, right = memory_link(EXPORTER)
        faults = await both(
            lambda: outcome(greet(left, handshake(left, 1, signing_key(3).public))),
            lambda: outcome(greet(right, handshake(right, 2))),
        )
        assert [fault.code for fault in faults if isinstance(fault, PeerFault)] == [Code.WRONG_PEER] * 2
        assert anyio.current_time() == 0

    run_virtual(main)


def test_a_cut_while_greeting_is_no_fault_of_the_peer() -> None:
    async def main() -> None:
        left, _ = memory_link(EXPORTER)
        left.cut()
        assert isinstance(await outcome(greet(left, handshake(left, 1))), LinkBroken)

    run_virtual(main)


def test_cancelling_a_greeting_closes_the_stream() -> None:
    async def main() -> None:
        left, right = memory_link(EXPORTER)
        with anyio.move_on_after(1):
            await greet(left, handshake(left, 1))
        assert isinstance(await outcome(receive_all(right)), LinkBroken)

    run_virtual(main)


def test_parting_waits_for_the_peer_to_hang_up() -> None:
    async def main() -> None:
        left, right = memory_link(EXPORTER)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(part, left, b"bye")
            await anyio.sleep(1)
            assert await receive_all(right) == b"bye"
            await right.send_eof()
        assert anyio.current_time() == 1

    run_virtual(main)


# ── over TLS ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("backend", BACKENDS)
def test_two_nodes_talk_over_tls(backend: str) -> None:
    async def main() -> None:
        streams = await tls_over(*transports())
        sides = [Side(stream, session) for stream, session in zip(streams, await sessions(*streams), strict=True)]
        async with anyio.create_task_group() as tasks:
            for side in sides:
                tasks.start_soon(side.pump.run)
            for number in range(1_000):
                sides[0].say(b"%d" % number)
                sides[1].say(b"%d" % -number)
            while len(sides[0].heard) < 1_000 or len(sides[1].heard) < 1_000:
                await anyio.wait_all_tasks_blocked()
            sides[0].pump.close(Code.CLOSING)
        assert sides[1].heard == [b"%d" % number for number in range(1_000)]
        assert sides[1].closed == Closed(Code.CLOSING.number, "", by_peer=True)

    run(backend, main)
