"""Listening: many links, bad luck and bad guests."""

import os
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs
from tests.links.support import BACKENDS, outcome, run, tls_config

from waypost.errors import Code, LocalError, Refused
from waypost.links.errors import LinkBroken
from waypost.links.tcp import connect, listen, port_of, serve
from waypost.links.tls import TlsStream


async def echo(stream: TlsStream, proven: Callable[[], None]) -> None:
    proven()
    while data := await stream.receive():
        await stream.send(data)


async def ask(host: str, port: int, data: bytes) -> bytes:
    stream = await connect(host, port, tls_config(1))
    try:
        await stream.send(data)
        return await stream.receive()
    finally:
        await stream.aclose()


def has_ipv6_loopback() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


@contextmanager
def no_file_left() -> Iterator[Callable[[], None]]:
    """Until the block ends or the function given is called, this process can open no further file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open(os.devnull, os.O_RDONLY)]

    def release() -> None:
        while held:
            os.close(held.pop())

    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[0] + 64, hard))
        for _ in range(64):
            with suppress(OSError):
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield release
    finally:
        release()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_address_of_the_machine_is_served_on_one_port(backend: str) -> None:
    async def main() -> None:
        listeners = await listen(None, 0)
        port = port_of(listeners)
        assert port > 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, listeners, echo, tls_config(2))
            assert await ask("127.0.0.1", port, b"four") == b"four"
            if has_ipv6_loopback():
                assert await ask("::1", port, b"six") == b"six"
            tasks.cancel_scope.cancel()

    run(backend, main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_taken_port_is_a_clear_error(backend: str) -> None:
    async def main() -> None:
        listeners = await listen("127.0.0.1", 0)
        failure = await outcome(listen("127.0.0.1", port_of(listeners)))
        assert isinstance(failure, LocalError)
        assert failure.code is Code.CANNOT_LISTEN
        assert "127.0.0.1" in str(failure)
        for listener in listeners:
            await listener.aclose()

    run(backend, main)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host.invalid"])
def test_an_address_of_another_machine_is_a_clear_error(host: str) -> None:
    failure = run("trio", lambda: outcome(listen(host, 0)))
    assert isinstance(failure, LocalError)
    assert failure.code is Code.CANNOT_LISTEN


@pytest.mark.parametrize("backend", BACKENDS)
def test_running_out_of_files_delays_links_and_ends_nothing(backend: str) -> None:
    async def main() -> None:
        listeners = await listen("127.0.0.1", 0)
        waiting = await anyio.connect_tcp("127.0.0.1", port_of(listeners))
        with capture_logs() as logs, no_file_left() as release:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(serve, listeners, echo, tls_config(2))
                while not logs:
                    await anyio.lowlevel.checkpoint()
                assert logs[0]["event"] == "cannot accept a link"
                release()
                assert await ask("127.0.0.1", port_of(listeners), b"after") == b"after"
                tasks.cancel_scope.cancel()
        await waiting.aclose()

    run(backend, main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unproven_link_makes_room_and_a_proven_one_stays(backend: str) -> None:
    async def main() -> None:
        listeners = await listen("127.0.0.1", 0)
        port, arrived = port_of(listeners), anyio.Semaphore(0)

        async def prove_on_request(stream: TlsStream, proven: Callable[[], None]) -> None:
            if await stream.receive() == b"proof":
                proven()
            arrived.release()
            await echo(stream, lambda: None)

        async def arrive(first: bytes) -> TlsStream:
            stream = await connect("127.0.0.1", port, tls_config(1))
            await stream.send(first)
            await arrived.acquire()
            return stream

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, listeners, prove_on_request, tls_config(2), 2)
            proven = await arrive(b"proof")
            oldest = await arrive(b"idle")
            links = [proven, oldest, await arrive(b"idle"), await arrive(b"idle")]
            assert isinstance(await outcome(oldest.receive()), LinkBroken)
            for link in (proven, *links[2:]):
                await link.send(b"here")
                assert await link.receive() == b"here"
            for link in links:
                await link.aclose()
            tasks.cancel_scope.cancel()

    run(backend, main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_refusal_in_a_handler_ends_its_link_alone(backend: str) -> None:
    async def main() -> None:
        async def choosy(stream: TlsStream, proven: Callable[[], None]) -> None:
            if await stream.receive() == b"bad":
                raise Refused(Code.BLOCKED)
            await stream.send(b"welcome")

        listeners = await listen("127.0.0.1", 0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve, listeners, choosy, tls_config(2))
            assert isinstance(await outcome(ask("127.0.0.1", port_of(listeners), b"bad")), LinkBroken)
            assert await ask("127.0.0.1", port_of(listeners), b"good") == b"welcome"
            tasks.cancel_scope.cancel()

    run(backend, main)
