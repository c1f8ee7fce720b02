"""TLS among strangers: who is let in, what each sees, and what it is told when it fails."""

import socket
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from anyio.abc import SocketStream
from tests.links.memory import allocated_bytes
from tests.links.support import (
    BACKENDS,
    Transport,
    both,
    handshake,
    outcome,
    run,
    run_virtual,
    signing_key,
    tls_config,
    tls_over,
    transports,
)

from waypost.crypto.certificate import private_key_pem
from waypost.errors import Code, PeerFault
from waypost.limits import HANDSHAKE_TIMEOUT_S, KIB
from waypost.links import tls
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.pump import greet
from waypost.links.tcp import connect, listen, port_of


def stdlib_client(port: int, context: ssl.SSLContext) -> str:
    """Connect, send "hello", and give back the answer, or the error's reason."""
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        try:
            with context.wrap_socket(raw) as wrapped:
                wrapped.sendall(b"hello")
                return wrapped.recv(100).decode()
        except (ssl.SSLError, ConnectionResetError) as error:
            # What was sent and not read can cost the client the alert.
            return str(error)


def stdlib_context(*protocols: str, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = maximum
    if protocols:
        context.set_alpn_protocols(protocols)
    return context


def garbage_client(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), 10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
        while raw.recv(1000):
            pass
    return "hung up on"


def silent_client(port: int) -> str:
    socket.create_connection(("127.0.0.1", port), 10).close()
    return "gone"


async def visit(client: Callable[[int], str]) -> tuple[Exception | None, str]:
    """What becomes of a blocking client, at the server and at the client."""
    listeners = await listen("127.0.0.1", 0)

    async def answer() -> Exception | None:
        async with listeners[0] as listener:
            return await outcome(converse(await listener.accept()))

    async def converse(transport: SocketStream) -> None:
        stream = await tls.handshake(transport, tls_config(2), dials=False)
        await stream.send((await stream.receive()).upper())
        await stream.aclose()

    heard: list[str] = []

    async def ask() -> None:
        heard.append(await anyio.to_thread.run_sync(client, port_of(listeners)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        failure = await answer()
    return failure, heard[0]


@pytest.mark.parametrize("backend", BACKENDS)
def test_another_tls_library_without_a_certificate_is_understood(backend: str) -> None:
    client = partial(stdlib_client, context=stdlib_context("h2", "waypost/1"))
    assert run(backend, lambda: visit(client)) == (None, "HELLO")


@pytest.mark.parametrize(
    ("client", "trouble", "told"),
    [
        (garbage_client, Trouble.NOT_TLS, "hung up on"),
        (silent_client, Trouble.LOST, "gone"),
        (
            partial(stdlib_client, context=stdlib_context("waypost/1", maximum=ssl.TLSVersion.TLSv1_2)),
            Trouble.TLS_VERSION,
            "alert protocol version",
        ),
        (
            partial(stdlib_client, context=stdlib_context("h2")),
            Trouble.NOT_WAYPOST,
            "alert",
        ),
    ],
    ids=["garbage", "silent", "tls-1.2", "other-alpn"],
)
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_client_that_does_not_fit_is_refused(
    backend: str, client: Callable[[int], str], trouble: Trouble, told: str
) -> None:
    failure, heard = run(backend, lambda: visit(client))
    assert isinstance(failure, LinkBroken)
    assert failure.trouble is trouble
    assert told in heard


def test_a_client_that_names_no_protocol_is_refused() -> None:
    failure, _ = run("trio", lambda: visit(partial(stdlib_client, context=stdlib_context())))
    assert isinstance(failure, LinkBroken)
    assert failure.trouble is Trouble.NOT_WAYPOST


class MemoryTls:
    """The standard library's TLS as a server on a transport, for peers that ours must reject."""

    def __init__(self, directory_file: str, *protocols: str, maximum: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> None:
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.maximum_version = maximum
        self.context.load_cert_chain(directory_file)
        if protocols:
            self.context.set_alpn_protocols(protocols)

    async def serve(self, transport: Transport) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = self.context.wrap_bio(incoming, outgoing, server_side=True)
        finished = False
        while not finished:
            try:
                server.do_handshake()
                finished = True
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                finished = True
            if outgoing.pending:
                await transport.send(outgoing.read())
            if not finished:
                incoming.write(await transport.receive())


@pytest.fixture
def certificate_file(tmp_path: Path) -> str:
    path = tmp_path / "node.pem"
    config = tls_config(2)
    path.write_bytes(config.key_pem + ssl.DER_cert_to_PEM_cert(config.certificate_der).encode())
    return str(path)


@pytest.mark.parametrize(
    ("protocols", "maximum", "trouble"),
    [
        (["h2"], ssl.TLSVersion.TLSv1_3, Trouble.NOT_WAYPOST),
        ([], ssl.TLSVersion.TLSv1_3, Trouble.NOT_WAYPOST),
        (["waypost/1"], ssl.TLSVersion.TLSv1_2, Trouble.TLS_VERSION),
    ],
)
def test_a_server_that_does_not_fit_is_left(
    certificate_file: str, protocols: list[str], maximum: ssl.TLSVersion, trouble: Trouble
) -> None:
    async def main() -> None:
        left, right = transports()
        server = MemoryTls(certificate_file, *protocols, maximum=maximum)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome, server.serve(right))
            failure = await outcome(tls.handshake(left, tls_config(1), dials=True))
        assert isinstance(failure, LinkBroken)
        assert failure.trouble is trouble

    run_virtual(main)


def test_a_server_without_tls_is_left() -> None:
    async def main() -> None:
        left, right = transports()
        await right.send(b"220 mail.example ESMTP\r\n")
        failure = await outcome(tls.handshake(left, tls_config(1), dials=True))
        assert isinstance(failure, LinkBroken)
        assert failure.trouble is Trouble.NOT_TLS

    run_virtual(main)


@pytest.mark.parametrize("dials", [False, True])
def test_a_peer_that_says_nothing_is_left_in_time(dials: bool) -> None:
    async def main() -> None:
        left, right = transports()
        failure = await outcome(tls.handshake(left, tls_config(1), dials=dials))
        assert isinstance(failure, LinkBroken)
        assert failure.trouble is Trouble.TIMED_OUT
        assert anyio.current_time() == HANDSHAKE_TIMEOUT_S
        with pytest.raises(anyio.BrokenResourceError):
            await right.send(b"x")

    run_virtual(main)


def test_tampered_bytes_end_the_link_after_what_was_good() -> None:
    async def main() -> None:
        left, right = transports()
        dialer, answerer = await tls_over(left, right)
        await dialer.send(b"good")
        await left.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert await answerer.receive() == b"good"
        for _ in range(2):
            with pytest.raises(LinkBroken, match="TLS failed"):
                await answerer.receive()

    run_virtual(main)


def test_first_data_may_come_with_the_end_of_the_handshake() -> None:
    """The server reads its client's Finished and first data in one chunk, and waits for nothing more."""

    async def main() -> None:
        left, right = transports()

        async def dial() -> tls.TlsStream:
            stream = await tls.handshake(left, tls_config(1), dials=True)
            await stream.send(b"early")
            return stream

        async def answer() -> tls.TlsStream:
            return await tls.handshake(right, tls_config(2), dials=False)

        _, answerer = await both(dial, answer)
        assert await answerer.receive() == b"early"
        assert anyio.current_time() == 0

    run_virtual(main)


def test_the_group_withstands_quantum_computers() -> None:
    async def main() -> str:
        dialer, _ = await tls_over(*transports())
        return dialer.channel.group

    assert run_virtual(main) == "X25519MLKEM768"


def test_every_connection_has_an_exporter_of_its_own() -> None:
    async def main() -> None:
        first, _ = await tls_over(*transports())
        second, _ = await tls_over(*transports())
        assert first.channel.exporter != second.channel.exporter

    run_virtual(main)


def test_a_proxy_in_the_middle_is_noticed_by_both() -> None:
    """It has two TLS connections, hence two exporters: the proofs that it passes on fail."""

    async def copy(source: tls.TlsStream, sink: tls.TlsStream) -> None:
        while data := await source.receive():
            await sink.send(data)
        await sink.send_eof()

    async def main() -> None:
        client, towards_client = await tls_over(*transports())
        towards_server, server = await tls_over(*transports())
        assert client.channel.exporter != server.channel.exporter
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(outcome, copy(towards_client, towards_server))
            tasks.start_soon(outcome, copy(towards_server, towards_client))
            faults = await both(
                lambda: outcome(greet(client, handshake(client, 1, signing_key(2).public))),
                lambda: outcome(greet(server, handshake(server, 2))),
            )
            tasks.cancel_scope.cancel()
        codes = {fault.code for fault in faults if isinstance(fault, PeerFault)}
        assert codes == {Code.BAD_PROOF}
        assert len(faults) == 2

    run_virtual(main)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_listens(backend: str) -> None:
    async def main() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            failure = await outcome(connect("127.0.0.1", closed.getsockname()[1], tls_config(1)))
        assert isinstance(failure, LinkBroken)
        assert failure.trouble is Trouble.REFUSED
        assert failure.code is Code.UNREACHABLE

    run(backend, main)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "no such host.invalid"])
def test_a_name_that_cannot_be_resolved(host: str) -> None:
    failure = run("trio", lambda: outcome(connect(host, 1, tls_config(1))))
    assert isinstance(failure, LinkBroken)
    assert failure.trouble is Trouble.NO_ADDRESS


async def exchange(left: tls.TlsStream, right: tls.TlsStream, size: int) -> None:
    """So many bytes each way, at once; nothing is left on the way."""

    async def move(source: tls.TlsStream, sink: tls.TlsStream) -> None:
        async def take() -> None:
            left = size
            while left:
                left -= len(await sink.receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take)
            await source.send(bytes(size))

    await move(left, right)
    await move(right, left)


def test_a_connection_keeps_little_after_a_burst() -> None:
    allocated = allocated_bytes()
    links = 4

    async def main() -> None:
        async def made() -> tuple[tls.TlsStream, tls.TlsStream]:
            pair = await tls_over(*transports())
            await exchange(*pair, 250_000)
            return pair

        kept = [await made()]  # what the first one brings into memory is not its own
        before = allocated()
        kept += [await made() for _ in range(links)]
        each = (allocated() - before) / (2 * links)
        assert 20 * KIB < each < 100 * KIB, f"{each / KIB:.0f} KiB"
        for pair in kept:
            for stream in pair:
                await stream.aclose()

    run_virtual(main)


@pytest.mark.parametrize("size", [1, 16_383, 16_384, 16_385, 250_000, 600_001])
def test_data_of_any_size_arrives_whole(size: int) -> None:
    data = bytes(n * 31 % 251 for n in range(size))

    async def main() -> None:
        left, right = await tls_over(*transports())
        heard = bytearray()

        async def take() -> None:
            while len(heard) < size:
                heard.extend(await right.receive())

        await both(lambda: left.send(data), take)
        assert bytes(heard) == data

    run_virtual(main)


def test_key_and_certificate_must_belong_together() -> None:
    with pytest.raises(ValueError, match="unusable TLS certificate or key"):
        tls.TlsConfig(tls_config(1).certificate_der, private_key_pem(signing_key(2)))


def test_a_config_does_not_show_its_key() -> None:
    assert "PRIVATE" not in repr(tls_config(1))
