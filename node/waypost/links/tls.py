"""TLS 1.3 (RFC 8446) over any byte stream, by pyOpenSSL with memory BIOs.

Certificates are transport only: any is accepted, and a proof inside TLS says who is at the other end. The standard
library's `ssl` is not used: it cannot accept any client certificate, and has no exporter.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final

import anyio
from anyio.abc import ByteStream
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL

from waypost.limits import HANDSHAKE_TIMEOUT_S, RECEIVE_CHUNK_BYTES, TLS_CONTROL_MAX_BYTES, TLS_RECORD_BYTES
from waypost.links.errors import LinkBroken, Trouble
from waypost.protocol.frames.handshake import Channel

ALPN: Final = b"waypost/1"
EXPORTER_LABEL: Final = b"EXPORTER-waypost-link"
EXPORTER_BYTES: Final = 32

#: SSL_MODE_ENABLE_PARTIAL_WRITE, which pyOpenSSL sets and does not name. Cleared, one call encrypts many records.
_MODE_ENABLE_PARTIAL_WRITE: Final = 0x1
#: Header, tag and content type of a record (RFC 8446 §5.2), and of the largest alert or key update beside it.
_RECORD_OVERHEAD_BYTES: Final = 22
#: What one turn of `send` gives to the transport, before encryption.
_SENT_BYTES: Final = RECEIVE_CHUNK_BYTES
#: What goes through OpenSSL's memory BIOs at a time: they grow to the largest of it and keep that while the link lives.
_SLICE_BYTES: Final = TLS_RECORD_BYTES
#: What becomes of a slice.
_SEALED_BYTES: Final = _SLICE_BYTES + 2 * _RECORD_OVERHEAD_BYTES + TLS_CONTROL_MAX_BYTES
#: A record is shorter than that, so what an honest peer sends always holds data by then.
_BARREN_MAX_BYTES: Final = RECEIVE_CHUNK_BYTES

_NOT_TLS_REASONS: Final = frozenset(
    {
        "wrong version number",
        "http request",
        "https proxy request",
        "packet length too long",
        "record too small",
        "bad record type",
        "unexpected message",
        "unsupported record type",
        "invalid alert",
    }
)
_VERSION_REASONS: Final = frozenset({"unsupported protocol", "tlsv1 alert protocol version", "version too low"})
_ALPN_REASONS: Final = frozenset({"tlsv1 alert no application protocol", "no application protocol"})


class _NoCommonProtocolError(Exception):
    """Raised in OpenSSL's callback, so that it sends the alert no_application_protocol (RFC 7301 §3.2)."""


@dataclass(frozen=True)
class TlsConfig:
    """A node's certificate and key for TLS, ready for both ends of connections. Raises ValueError for unusable ones."""

    certificate_der: bytes
    key_pem: bytes = field(repr=False)
    _contexts: dict[bool, SSL.Context] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        contexts = {dials: self._make_context(dials=dials) for dials in (False, True)}
        object.__setattr__(self, "_contexts", contexts)

    def connection(self, *, dials: bool, server_name: str | None = None) -> SSL.Connection:
        """A new TLS connection on memory BIOs; `server_name` goes out as SNI (RFC 6066 §3)."""
        connection = SSL.Connection(self._contexts[dials], None)
        if dials:
            connection.set_connect_state()
            if server_name is not None:
                connection.set_tlsext_host_name(server_name.encode("ascii"))
        else:
            connection.set_accept_state()
        return connection

    def _make_context(self, *, dials: bool) -> SSL.Context:
        context = SSL.Context(SSL.TLS_CLIENT_METHOD if dials else SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION)
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.clear_mode(_MODE_ENABLE_PARTIAL_WRITE)
        # An idle link then holds 34 KB less.
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)
        # Any certificate is accepted, and whoever dials is not asked for one: the proof inside decides. A certificate
        # that says nothing more would cost each incoming link 6 KiB and a signature.
        context.set_verify(SSL.VERIFY_PEER if dials else SSL.VERIFY_NONE, _accept_any)
        if dials:
            context.set_alpn_protos([ALPN])
        else:
            context.set_alpn_select_callback(_select_protocol)
        try:
            context.use_certificate(x509.load_der_x509_certificate(self.certificate_der))
            key = load_pem_private_key(self.key_pem, None)
            context.use_privatekey(key)  # type: ignore[arg-type]  # a kind that OpenSSL does not take raises TypeError
            context.check_privatekey()
        except (SSL.Error, TypeError) as error:
            raise ValueError(f"unusable TLS certificate or key: {error}") from None
        return context


class TlsStream:
    """A `Stream` (which see) after the TLS handshake. Made by `handshake`."""

    def __init__(self, transport: ByteStream, connection: SSL.Connection, channel: Channel) -> None:
        self._transport = transport
        self._connection = connection
        self._channel = channel
        #: Why receiving has ended, if not in order.
        self._end: LinkBroken | None = None
        self._at_eof = False
        #: Why nothing can be sent any more.
        self._unsendable: LinkBroken | None = None
        self._closed = False
        #: Handshake messages that OpenSSL wants sent; they go out before the next data.
        self._control = b""
        # The peer's first data may have come together with the end of its handshake.
        self._ready = self._decrypt()

    @property
    def channel(self) -> Channel:
        return self._channel

    async def receive(self) -> bytes:
        barren = 0  # bytes taken in by this call without any data in them
        while not self._ready:
            if self._end is not None:
                raise self._end.with_traceback(None)
            if self._at_eof:
                return b""
            try:
                with _transport_errors():
                    data = await self._transport.receive(RECEIVE_CHUNK_BYTES)
            except anyio.EndOfStream:
                # No close_notify: the peer died, or someone cut the connection short.
                self._fail(LinkBroken(Trouble.LOST, "it ended without a goodbye"))
                continue
            self._ready = self._open(data)
            barren += len(data)
            if not self._ready and barren > _BARREN_MAX_BYTES:
                self._fail(LinkBroken(Trouble.TLS_FAILED, "too many records without data"))
        ready, self._ready = self._ready, b""
        return ready

    async def send(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _SENT_BYTES):
            self._begin_sending()
            try:
                sealed = self._seal(view[start : start + _SENT_BYTES])
            except SSL.Error as error:
                raise _translated(error) from None
            await self._put(sealed)

    async def send_eof(self) -> None:
        self._begin_sending()
        try:
            self._connection.shutdown()
        except SSL.Error as error:
            raise _translated(error) from None
        await self._put(_outgoing(self._connection))
        self._unsendable = LinkBroken(Trouble.CLOSED, "all was sent")
        with _transport_errors():
            await self._transport.send_eof()

    async def aclose(self) -> None:
        self._closed = True
        self._unsendable = self._unsendable or LinkBroken(Trouble.CLOSED)
        await _drop(self._transport)

    def _begin_sending(self) -> None:
        if self._unsendable is not None:
            raise self._unsendable.with_traceback(None)
        # A send that is cancelled or fails leaves half a record behind: nothing may follow it.
        self._unsendable = LinkBroken(Trouble.CLOSED, "an earlier send was cut short")

    async def _put(self, sealed: bytes) -> None:
        if self._control:
            sealed, self._control = self._control + sealed, b""
        try:
            with _transport_errors():
                await self._transport.send(sealed)
        except LinkBroken as broken:
            self._unsendable = broken
            raise
        if not self._closed:
            self._unsendable = None

    def _seal(self, data: memoryview) -> bytes:
        connection, sealed = self._connection, []
        for start in range(0, len(data), _SLICE_BYTES):
            connection.send(data[start : start + _SLICE_BYTES])
            sealed.append(connection.bio_read(_SEALED_BYTES))
        return sealed[0] if len(sealed) == 1 else b"".join(sealed)

    def _open(self, data: bytes) -> bytes:
        """Take in what has arrived; the plaintext of every record that is whole by now."""
        if len(data) <= _SLICE_BYTES:
            self._connection.bio_write(data)
            return self._decrypt()
        view, opened = memoryview(data), []
        for start in range(0, len(view), _SLICE_BYTES):
            self._connection.bio_write(view[start : start + _SLICE_BYTES])
            opened.append(self._decrypt())
            if self._at_eof or self._end is not None:
                break  # nothing counts that comes after that
        return b"".join(opened)

    def _decrypt(self) -> bytes:
        """The plaintext of every whole record that has arrived."""
        receive, chunks = self._connection.recv, []
        try:
            while True:
                chunks.append(receive(TLS_RECORD_BYTES))
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._at_eof = True
        except SSL.Error as error:
            self._fail(_translated(error))
        self._collect_control()
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _collect_control(self) -> None:
        # RFC 8446 §4.6.3 lets the answer to a key update wait for the next data, so the reader never has to write.
        control = _outgoing(self._connection)
        if control:
            self._control += control
            if len(self._control) > TLS_CONTROL_MAX_BYTES:
                self._fail(LinkBroken(Trouble.TLS_FAILED, "too many handshake messages"))

    def _fail(self, broken: LinkBroken) -> None:
        self._end = self._end or broken


async def handshake(
    transport: ByteStream, config: TlsConfig, *, dials: bool, server_name: str | None = None
) -> TlsStream:
    """Speak TLS on a connected transport, which the result owns. Raises LinkBroken, the transport then is closed.

    Takes at most HANDSHAKE_TIMEOUT_S.
    """
    try:
        connection = config.connection(dials=dials, server_name=server_name)
        with anyio.move_on_after(HANDSHAKE_TIMEOUT_S) as scope:
            await _exchange(transport, connection)
        if scope.cancelled_caught:
            raise LinkBroken(Trouble.TIMED_OUT, "in the TLS handshake")
        if connection.get_alpn_proto_negotiated() != ALPN:
            raise LinkBroken(Trouble.NOT_WAYPOST)
        exporter = connection.export_keying_material(EXPORTER_LABEL, EXPORTER_BYTES)
        channel = Channel(exporter, connection.get_group_name() or "", dials)
        return TlsStream(transport, connection, channel)
    except BaseException:
        await _drop(transport)
        raise


async def _exchange(transport: ByteStream, connection: SSL.Connection) -> None:
    while True:
        failure: LinkBroken | None = None
        finished = False
        try:
            connection.do_handshake()
            finished = True
        except SSL.WantReadError:
            pass
        except _NoCommonProtocolError:
            failure = LinkBroken(Trouble.NOT_WAYPOST)
        except SSL.Error as error:
            failure = _translated(error)
        try:
            with _transport_errors():
                # When it failed, this is the alert that tells the peer why.
                if data := _outgoing(connection):
                    await transport.send(data)
                if failure is None and not finished:
                    connection.bio_write(await transport.receive(TLS_RECORD_BYTES))
        except anyio.EndOfStream:
            raise LinkBroken(Trouble.LOST, "it ended in the TLS handshake") from None
        except LinkBroken as broken:
            raise failure or broken from None
        if failure is not None:
            raise failure
        if finished:
            return


def _outgoing(connection: SSL.Connection) -> bytes:
    """What OpenSSL wants sent besides data."""
    chunks = []
    try:
        while True:
            chunks.append(connection.bio_read(TLS_RECORD_BYTES))
    except SSL.WantReadError:
        return b"".join(chunks)


async def _drop(transport: ByteStream) -> None:
    with anyio.CancelScope(shield=True):
        # It may be gone already, which is what was wanted.
        with suppress(OSError, anyio.BrokenResourceError):
            await transport.aclose()


@contextmanager
def _transport_errors() -> Iterator[None]:
    try:
        yield
    except anyio.BrokenResourceError as error:
        raise LinkBroken(Trouble.LOST, _os_reason(error.__cause__)) from None
    except OSError as error:
        raise LinkBroken(Trouble.LOST, _os_reason(error)) from None
    except anyio.ClosedResourceError:
        raise LinkBroken(Trouble.CLOSED) from None


def _os_reason(error: BaseException | None) -> str:
    return (error.strerror or "").lower() if isinstance(error, OSError) else ""


def _translated(error: SSL.Error) -> LinkBroken:
    """OpenSSL's queue of (library, function, reason) as one trouble."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    reasons = [entry[2] for entry in entries]
    for trouble, known in (
        (Trouble.TLS_VERSION, _VERSION_REASONS),
        (Trouble.NOT_WAYPOST, _ALPN_REASONS),
        (Trouble.NOT_TLS, _NOT_TLS_REASONS),
    ):
        if not known.isdisjoint(reasons):
            return LinkBroken(trouble)
    return LinkBroken(Trouble.TLS_FAILED, ", ".join(reasons) or str(error))


def _accept_any(_connection: SSL.Connection, _certificate: object, _error: int, _depth: int, _ok: int) -> bool:
    return True


def _select_protocol(_connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if ALPN not in offered:
        raise _NoCommonProtocolError
    return ALPN
