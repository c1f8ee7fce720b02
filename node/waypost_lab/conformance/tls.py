"""TLS itself: [LINK-1] to [LINK-6] of docs/protocol/link.md. For real links alone; nothing else can lie to TLS."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final

import trio
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from waypost.clock import DAY_MS
from waypost.links.tls import ALPN
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.frames.codec import FrameBuffer
from waypost.protocol.frames.messages import Hello, decode
from waypost_lab.conformance.bench import Bench
from waypost_lab.conformance.check import Area, Need, fail, require
from waypost_lab.conformance.meeting import throwaway_tls

AREA = Area()

_TIMEOUT_S: Final = 5.0
_CHUNK: Final = 16 * 1024
_TLS = (Need.TLS,)
_TLS_AND_BACK = (Need.TLS, Need.PEOPLE, Need.LISTEN)


def _client(alpn: list[str] | None, *, at_most: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """The standard library's client: without a certificate of its own, and asking nothing of the node's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if at_most is not None:
        context.maximum_version = at_most
    if alpn is not None:
        context.set_alpn_protocols(alpn)
    return context


def _connect(address: tuple[str, int], context: ssl.SSLContext, session: Any = None) -> tuple[bytes, Any, bool]:
    """What the node says first, the TLS session, and whether it was resumed. Raises OSError (also ssl.SSLError)."""
    with (
        socket.create_connection(address, _TIMEOUT_S) as raw,
        context.wrap_socket(raw, session=session) as connection,
    ):
        connection.settimeout(_TIMEOUT_S)
        return connection.recv(_CHUNK), connection.session, bool(connection.session_reused)


async def _first_words(bench: Bench, context: ssl.SSLContext, session: Any = None) -> tuple[bytes, Any, bool]:
    address = bench.ground.address
    if address is None:
        raise ValueError("a check of TLS must say that it needs it")
    return await trio.to_thread.run_sync(_connect, address, context, session)


async def _refusal(bench: Bench, context: ssl.SSLContext) -> str:
    """OpenSSL's words for how the node refused. Fails if the node spoke."""
    try:
        said, _, _ = await _first_words(bench, context)
    except ssl.SSLError as error:
        return f"{error.reason or ''} {error}".lower()
    except OSError as error:
        return str(error)
    return fail(f"the node took the connection and said {len(said)} bytes")


@AREA.check("LINK-1", "a dialler that speaks TLS 1.2 at the most is refused", *_TLS)
async def tls_1_2(bench: Bench) -> None:
    await _refusal(bench, _client([ALPN.decode()], at_most=ssl.TLSVersion.TLSv1_2))


@AREA.check("LINK-1", "one that offers another ALPN name gets the alert no_application_protocol", *_TLS)
async def another_alpn(bench: Bench) -> None:
    refusal = await _refusal(bench, _client(["h2", "http/1.1"]))
    require("no application protocol" in refusal or "no_application_protocol" in refusal, f"it says {refusal!r}")


@AREA.check("LINK-1", "one that offers no ALPN at all is refused", *_TLS)
async def no_alpn(bench: Bench) -> None:
    try:
        said, _, _ = await _first_words(bench, _client(None))
    except OSError:
        return
    require(not said, "the node says Hello to somebody who does not speak of waypost/1")


@AREA.check("LINK-2", "no session is resumed, whatever the dialler was given", *_TLS)
async def no_resumption(bench: Bench) -> None:
    context = _client([ALPN.decode()])
    _, session, _ = await _first_words(bench, context)
    if session is not None:
        _, _, reused = await _first_words(bench, context, session)
        require(not reused, "it resumes sessions")


@AREA.check("LINK-3", "a dialler without a certificate is served", *_TLS)
async def no_client_certificate(bench: Bench) -> None:
    said, _, _ = await _first_words(bench, _client([ALPN.decode()]))
    frames = FrameBuffer().feed(said)
    require(frames and isinstance(decode(frames[0]), Hello), "it says no Hello")


@AREA.check("LINK-6", "X25519MLKEM768 or x25519 is among the groups that the node takes", *_TLS)
async def groups(bench: Bench) -> None:
    party = await bench.party()
    group = party.stream.channel.group
    require(group in {"X25519MLKEM768", "x25519"}, f"the node and this machine agree on {group!r}")


@AREA.check("LINK-3", "as a dialler it takes a certificate that expired years ago, for another key", *_TLS_AND_BACK)
async def any_certificate(bench: Bench) -> None:
    # What the ground listens with is such a certificate.
    async with bench.provider() as door, bench.people() as (alice, _):
        door.want(alice)
        await (await door.welcomed()).lives()


class _Listener:
    """A TLS server of its own, to see what a dialler says before any of it is waypost/1. One connection."""

    def __init__(self, alpn: bytes | None, version: int) -> None:
        self.sni: bytes | None = None
        self.heard = b""
        self.failed = ""
        self.context = SSL.Context(SSL.TLS_SERVER_METHOD)
        now_ms = 1_700_000_000_000
        config = throwaway_tls(now_ms, now_ms + 36_500 * DAY_MS)
        self.context.use_certificate(x509.load_der_x509_certificate(config.certificate_der))
        self.context.use_privatekey(load_pem_private_key(config.key_pem, None))  # type: ignore[arg-type] # Ed25519 it is
        self.context.set_max_proto_version(version)
        if alpn is not None:
            self.context.set_alpn_select_callback(lambda _connection, _offered: alpn)
        self.context.set_tlsext_servername_callback(self._named)

    def _named(self, connection: SSL.Connection) -> None:
        self.sni = connection.get_servername()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Handshake, and whatever is said until it ends or falls silent."""
        connection = SSL.Connection(self.context, None)
        connection.set_accept_state()
        try:
            with trio.move_on_after(_TIMEOUT_S):
                await self._listen(connection, stream)
        except (SSL.Error, trio.BrokenResourceError, trio.EndOfChannel) as error:
            self.failed = str(error) or "it hung up"

    async def _listen(self, connection: SSL.Connection, stream: trio.SocketStream) -> None:
        """Until something is heard. Raises SSL.Error, trio.BrokenResourceError, trio.EndOfChannel."""
        while True:
            try:
                self.heard += connection.recv(_CHUNK)
                return
            except SSL.WantReadError:
                await _flush(connection, stream)
            data = await stream.receive_some(_CHUNK)
            if not data:
                raise trio.EndOfChannel
            connection.bio_write(bytes(data))


async def _flush(connection: SSL.Connection, stream: trio.SocketStream) -> None:
    try:
        await stream.send_all(connection.bio_read(10 * _CHUNK))
    except SSL.WantReadError:
        await trio.lowlevel.checkpoint()


async def _dialled(bench: Bench, listener: _Listener) -> None:
    """Let the node dial a provider whose record leads to that listener."""
    async with bench.provider(announce=False) as door, bench.people() as (alice, _):
        [bound] = await trio.open_tcp_listeners(0, host=door.endpoint.host)
        async with bound:
            door.endpoint = RecordEndpoint(door.endpoint.host, bound.socket.getsockname()[1])
            await door.announce()
            door.want(alice)
            with trio.move_on_after(30):
                stream = await bound.accept()
                async with stream:
                    await listener.serve(stream)
                return
    fail("the node did not dial")


@AREA.check("LINK-1", "as a dialler it ends a connection on which waypost/1 was not chosen", *_TLS_AND_BACK)
async def not_chosen(bench: Bench) -> None:
    listener = _Listener(None, SSL.TLS1_3_VERSION)
    await _dialled(bench, listener)
    require(not listener.heard, "it says Hello to somebody who has not chosen waypost/1")


@AREA.check("LINK-1", "as a dialler it takes no other version than TLS 1.3", *_TLS_AND_BACK)
async def dials_1_3_alone(bench: Bench) -> None:
    listener = _Listener(ALPN, SSL.TLS1_2_VERSION)
    await _dialled(bench, listener)
    require(not listener.heard and listener.failed, "it speaks to a listener that has TLS 1.2 at the most")


@AREA.check("LINK-4", "an IP address that it dials is not sent as SNI", *_TLS_AND_BACK)
async def no_address_as_sni(bench: Bench) -> None:
    listener = _Listener(ALPN, SSL.TLS1_3_VERSION)
    await _dialled(bench, listener)
    require(listener.heard, f"it did not come to the point: {listener.failed or 'it said nothing'}")
    require(listener.sni is None, f"SNI was {listener.sni!r}")
