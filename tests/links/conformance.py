"""What every implementation of `Stream` promises."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

import anyio
import pytest
from tests.links.support import Pair, both

from waypost.limits import MIB
from waypost.links.errors import LinkBroken
from waypost.links.stream import Stream

MakePair = Callable[[], AbstractAsyncContextManager[Pair]]

#: More than any socket, transport and pipe buffers together.
MORE_THAN_BUFFERS = 64 * MIB


async def check_link(make_pair: MakePair) -> None:
    """Run every check on a fresh link of its own."""
    for check in CHECKS:
        async with make_pair() as pair:
            with anyio.fail_after(20):
                await check(pair)


async def receive_exactly(stream: Stream, size: int) -> bytes:
    chunks = []
    while size > 0:
        chunk = await stream.receive()
        assert chunk, "ended early"
        size -= len(chunk)
        chunks.append(chunk)
    assert size == 0, "more than was sent"
    return b"".join(chunks)


async def receive_all(stream: Stream) -> bytes:
    chunks = []
    while chunk := await stream.receive():
        chunks.append(chunk)
    return b"".join(chunks)


async def both_ends_name_the_same_channel(pair: Pair) -> None:
    dialer, answerer = pair.dialer.channel, pair.answerer.channel
    assert dialer.exporter == answerer.exporter
    assert len(dialer.exporter) == 32
    assert dialer.group == answerer.group != ""
    assert (dialer.dialed, answerer.dialed) == (True, False)


async def bytes_arrive_in_order_both_ways(pair: Pair) -> None:
    for sender, receiver in ((pair.dialer, pair.answerer), (pair.answerer, pair.dialer)):
        for part in (b"one", b"", b"two", bytes(range(256))):
            await sender.send(part)
        assert await receive_exactly(receiver, 262) == b"onetwo" + bytes(range(256))


async def large_sends_cross_each_other(pair: Pair) -> None:
    there, back = bytes(range(256)) * 8192, bytes(range(255, -1, -1)) * 8192 + b"odd"

    async def exchange(stream: Stream, data: bytes, size: int) -> bytes:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(stream.send, memoryview(data))
            return await receive_exactly(stream, size)
        raise AssertionError("unreachable")

    got = await both(
        partial(exchange, pair.dialer, there, len(back)),
        partial(exchange, pair.answerer, back, len(there)),
    )
    assert got == (back, there)


async def half_a_link_can_end(pair: Pair) -> None:
    await pair.dialer.send(b"last")
    await pair.dialer.send_eof()
    assert await receive_all(pair.answerer) == b"last"
    assert await pair.answerer.receive() == b""
    with pytest.raises(LinkBroken):
        await pair.dialer.send(b"more")
    await pair.answerer.send(b"answer")
    await pair.answerer.send_eof()
    assert await receive_all(pair.dialer) == b"answer"


async def a_cut_shows_at_both_ends(pair: Pair) -> None:
    await pair.cut()
    for stream in (pair.dialer, pair.answerer):
        with pytest.raises(LinkBroken):
            await stream.receive()
        # A socket notices only after it has tried.
        with pytest.raises(LinkBroken):
            await stream.send(bytes(MORE_THAN_BUFFERS))


async def a_cut_wakes_whoever_waits(pair: Pair) -> None:
    async def receive() -> None:
        with pytest.raises(LinkBroken):
            await pair.answerer.receive()

    async def send() -> None:
        with pytest.raises(LinkBroken):
            await pair.answerer.send(bytes(MORE_THAN_BUFFERS))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        await pair.cut()


async def closing_wakes_whoever_waits(pair: Pair) -> None:
    async def receive() -> None:
        with pytest.raises(LinkBroken):
            await pair.dialer.receive()

    async def send() -> None:
        with pytest.raises(LinkBroken):
            await pair.dialer.send(bytes(MORE_THAN_BUFFERS))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(receive)
        tasks.start_soon(send)
        await anyio.wait_all_tasks_blocked()
        await pair.dialer.aclose()
    await pair.dialer.aclose()
    with pytest.raises(LinkBroken):
        await pair.dialer.send(b"x")


async def closing_without_eof_is_no_orderly_end(pair: Pair) -> None:
    await pair.dialer.aclose()
    with pytest.raises(LinkBroken):
        await receive_all(pair.answerer)


async def closing_after_eof_is_an_orderly_end(pair: Pair) -> None:
    await pair.dialer.send(b"last")
    await pair.dialer.send_eof()
    await pair.dialer.aclose()
    assert await receive_all(pair.answerer) == b"last"


async def a_sender_waits_for_the_receiver(pair: Pair) -> None:
    sent = anyio.Event()

    async def send() -> None:
        await pair.dialer.send(bytes(MORE_THAN_BUFFERS))
        sent.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(send)
        received = len(await pair.answerer.receive())
        await anyio.wait_all_tasks_blocked()
        assert not sent.is_set()
        while received < MORE_THAN_BUFFERS:
            received += len(await pair.answerer.receive())
    assert received == MORE_THAN_BUFFERS


async def a_cancelled_receive_takes_nothing(pair: Pair) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pair.answerer.receive)
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    await pair.dialer.send(b"still here")
    assert await receive_exactly(pair.answerer, 10) == b"still here"


async def nothing_follows_a_cancelled_send(pair: Pair) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(pair.dialer.send, bytes(MORE_THAN_BUFFERS))
            await anyio.wait_all_tasks_blocked()
            scope.cancel()
    with pytest.raises(LinkBroken):
        await pair.dialer.send(b"after half a record")
    with pytest.raises(LinkBroken):
        await pair.dialer.send_eof()


CHECKS = (
    both_ends_name_the_same_channel,
    bytes_arrive_in_order_both_ways,
    large_sends_cross_each_other,
    half_a_link_can_end,
    a_cut_shows_at_both_ends,
    a_cut_wakes_whoever_waits,
    closing_wakes_whoever_waits,
    closing_without_eof_is_no_orderly_end,
    closing_after_eof_is_an_orderly_end,
    a_sender_waits_for_the_receiver,
    a_cancelled_receive_takes_nothing,
    nothing_follows_a_cancelled_send,
)
