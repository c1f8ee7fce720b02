"""The conformance suite over each implementation, on both event loops."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from tests.links.conformance import check_link
from tests.links.support import BACKENDS, Pair, both, memory_pair, run, run_virtual, tls_config, tls_over, transports

from waypost.links import tls
from waypost.links.tcp import connect, listen, port_of


@asynccontextmanager
async def tls_pair() -> AsyncIterator[Pair]:
    (listener,) = await listen("127.0.0.1", 0)
    async with listener:
        transport = None

        async def answer() -> tls.TlsStream:
            nonlocal transport
            transport = await listener.accept()
            return await tls.handshake(transport, tls_config(2), dials=False)

        dialer, answerer = await both(lambda: connect("127.0.0.1", port_of([listener]), tls_config(1)), answer)

    async def cut() -> None:
        assert transport is not None
        await transport.aclose()

    try:
        yield Pair(dialer, answerer, cut)
    finally:
        await dialer.aclose()
        await answerer.aclose()


@asynccontextmanager
async def tls_pair_in_memory() -> AsyncIterator[Pair]:
    left, right = transports()
    dialer, answerer = await tls_over(left, right)

    async def cut() -> None:
        left.stream.cut()

    yield Pair(dialer, answerer, cut)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_memory_link_keeps_the_contract(backend: str) -> None:
    run(backend, lambda: check_link(memory_pair))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_tls_link_keeps_the_contract(backend: str) -> None:
    run(backend, lambda: check_link(tls_pair))


def test_tls_in_virtual_time_keeps_the_contract() -> None:
    async def main() -> None:
        await check_link(tls_pair_in_memory)
        assert anyio.current_time() == 0

    run_virtual(main)
