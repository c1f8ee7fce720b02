"""The proxy on real sockets: what a way does to what is sent on it."""

from __future__ import annotations

import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from waypost_lab.box.owners import Owners, holders, inodes_of
from waypost_lab.box.proxy import LOOPBACK, Front, Ways
from waypost_lab.ways import CLEAR, Way

BIRDY, FINCH = "birdy.local", "finch.local"
CUT = Way(cut=True)


class Finch:
    """What stands behind the front: it keeps each connection for the test to use."""

    def __init__(self, network: Ways, front: Front) -> None:
        self.network = network
        self.front = front
        self.send, self.receive = trio.open_memory_channel[trio.SocketStream](16)
        self.clients: list[trio.SocketStream] = []

    async def attend(self, stream: trio.SocketStream) -> None:
        await self.send.send(stream)
        await trio.sleep_forever()

    async def dial(self) -> trio.SocketStream:
        self.clients.append(await trio.open_tcp_stream(LOOPBACK, self.front.port))
        return self.clients[-1]

    async def pair(self) -> tuple[trio.SocketStream, trio.SocketStream]:
        """Both ends of a connection."""
        client = await self.dial()
        return client, await self.receive.receive()


@asynccontextmanager
async def finch(*, dials: str | None = BIRDY, runs: bool = True) -> AsyncIterator[Finch]:
    """This process passes for the node `dials`."""
    pids = {os.getpid(): dials} if dials else {}
    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            [listener] = await trio.open_tcp_listeners(0, host=LOOPBACK)
            port = listener.socket.getsockname()[1] if runs else None
            network = Ways(lambda _: port, Owners(lambda: pids), random.Random(1))
            made = Finch(network, Front(network, FINCH))
            nursery.start_soon(trio.serve_listeners, made.attend, [listener])
            nursery.start_soon(made.front.serve)
            yield made
            nursery.cancel_scope.cancel()
        for client in made.clients:
            await client.aclose()


async def test_a_clear_way_passes_everything_on() -> None:
    async with finch() as there:
        client, server = await there.pair()
        await client.send_all(b"hello")
        assert await server.receive_some() == b"hello"
        await server.send_all(b"good day")
        assert await client.receive_some() == b"good day"
        await client.send_eof()
        assert await server.receive_some() == b""
        await server.send_all(b"bye")
        assert await client.receive_some() == b"bye"


async def test_much_passes_in_order() -> None:
    sent = random.Random(1).randbytes(3_000_000)
    async with finch() as there, trio.open_nursery() as nursery:
        client, server = await there.pair()
        there.network.shape(BIRDY, FINCH, Way(0.001, 0.001))
        nursery.start_soon(client.send_all, sent)
        got = bytearray()
        while len(got) < len(sent):
            got += await server.receive_some()
        assert got == sent


async def test_a_cut_holds_one_way_and_lets_the_other_pass() -> None:
    async with finch() as there:
        client, server = await there.pair()
        there.network.shape(BIRDY, FINCH, CUT)
        await client.send_all(b"held")
        # The answer overtakes it: the other way is open.
        await server.send_all(b"passes")
        assert await client.receive_some() == b"passes"
        there.network.shape(BIRDY, FINCH, CLEAR)
        assert await server.receive_some() == b"held"


async def test_the_end_of_a_connection_is_held_as_well() -> None:
    async with finch() as there:
        client, server = await there.pair()
        there.network.shape(BIRDY, FINCH, CUT)
        await client.aclose()
        # To the other side it still is a connection: what it sends is taken.
        await server.send_all(b"are you there?")
        there.network.shape(BIRDY, FINCH, CLEAR)
        assert await server.receive_some() == b""


@pytest.mark.parametrize("cut", [(BIRDY, FINCH), (FINCH, BIRDY)])
async def test_what_is_dialled_over_a_cut_way_gets_no_answer_until_it_is_healed(cut: tuple[str, str]) -> None:
    async with finch() as there:
        there.network.shape(*cut, CUT)
        client = await there.dial()
        await client.send_all(b"hello")
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(trio.WouldBlock):
            there.receive.receive_nowait()
        there.network.shape(*cut, CLEAR)
        server = await there.receive.receive()
        assert await server.receive_some() == b"hello"


async def test_who_gives_up_while_the_way_is_cut_is_never_seen() -> None:
    async with finch() as there:
        there.network.shape(BIRDY, FINCH, CUT)
        gone = await there.dial()
        await gone.send_all(b"from the past")
        await gone.aclose()
        there.network.shape(BIRDY, FINCH, CLEAR)
        client, server = await there.pair()
        await client.send_all(b"now")
        assert await server.receive_some() == b"now"


async def test_cutting_one_pair_leaves_others_alone() -> None:
    async with finch() as there:
        there.network.shape("robin.local", FINCH, CUT)
        there.network.shape(BIRDY, "robin.local", CUT)
        client, server = await there.pair()
        await client.send_all(b"hello")
        assert await server.receive_some() == b"hello"


async def test_apps_are_not_disturbed() -> None:
    async with finch(dials=None) as there:
        there.network.shape(BIRDY, FINCH, CUT)
        there.network.shape(FINCH, BIRDY, Way(loss=1.0))
        client, server = await there.pair()
        await client.send_all(b"hello")
        assert await server.receive_some() == b"hello"


async def test_latency_counts_in_each_direction_and_for_connecting() -> None:
    async with finch() as there:
        there.network.shape(BIRDY, FINCH, Way(0.02))
        there.network.shape(FINCH, BIRDY, Way(0.01))
        begun = trio.current_time()
        client, server = await there.pair()
        assert trio.current_time() - begun >= 0.03
        begun = trio.current_time()
        await client.send_all(b"hello")
        await server.receive_some()
        assert trio.current_time() - begun >= 0.02


async def test_losses_without_end_break_the_connection() -> None:
    async with finch() as there:
        client, server = await there.pair()
        there.network.shape(BIRDY, FINCH, Way(loss=1.0))
        await client.send_all(b"hello")
        for end in (server, client):
            with pytest.raises(trio.BrokenResourceError):
                await end.receive_some()
        again = await there.dial()
        with pytest.raises(trio.BrokenResourceError):
            await again.receive_some()


async def test_a_node_that_does_not_run_resets() -> None:
    async with finch(runs=False) as there:
        client = await there.dial()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()


async def test_a_crash_is_passed_on_as_one() -> None:
    async with finch() as there:
        client, server = await there.pair()
        server.setsockopt(1, 13, b"\x01\0\0\0\0\0\0\0")  # SO_LINGER 0: what the kernel does for a killed process
        server.socket.close()
        with pytest.raises(trio.BrokenResourceError):
            await client.receive_some()


# ── whose connection ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_connection_is_found_in_the_kernels_table() -> None:
    rest = "00000000:00000000 00:00000000 00000000  1000        0"
    table = (
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
        f"   0: 0100007F:1F90 00000000:0000 0A {rest} 111 1 0 100 0 0 10 0\n"
        f" 127: 0100007F:C350 0100007F:1F90 01 {rest} 222 1 0 20 4 30 10 -1\n"
        f"1128: 0100007F:1F90 0100007F:C350 01 {rest} 333 1 0 20 4 30 10 -1\n"
    )
    assert inodes_of(table, [(50_000, 8_080)]) == {"222": (50_000, 8_080)}
    assert inodes_of(table, [(50_001, 8_080)]) == {}


async def test_the_holder_of_a_connection_is_known() -> None:
    async with finch() as there:
        client, _ = await there.pair()
        ends = (client.socket.getsockname()[1], there.front.port)
        assert holders([ends], {os.getpid(): "us", os.getppid(): "others"}) == {ends: "us"}
        assert holders([ends], {os.getppid(): "others", 2**22 + 1: "nobody"}) == {}


async def test_many_ask_at_once() -> None:
    async with finch() as there:
        answers: list[str | None] = []
        asked = Owners(lambda: {os.getpid(): BIRDY})

        async def ask() -> None:
            client = await there.dial()
            answers.append(await asked.of((client.socket.getsockname()[1], there.front.port)))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(ask)
        assert answers == [BIRDY] * 20


async def test_whoever_gives_up_asking_keeps_nobody_waiting() -> None:
    async with finch() as there:
        client = await there.dial()
        ends = (client.socket.getsockname()[1], there.front.port)
        asked = Owners(lambda: {os.getpid(): BIRDY})
        async with trio.open_nursery() as nursery:
            gone = trio.CancelScope()

            async def ask() -> None:
                with gone:
                    await asked.of((1, there.front.port))

            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            gone.cancel()
            assert await asked.of(ends) == BIRDY
