"""Dialling and listening: TCP below TLS."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import anyio
import anyio.lowlevel
import structlog
from anyio.abc import SocketAttribute, SocketListener, SocketStream

from waypost.errors import Code, LocalError, WaypostError
from waypost.limits import ACCEPT_RETRY_S, CONNECT_TIMEOUT_S, UNPROVEN_LINKS_MAX
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.tls import TlsConfig, TlsStream, handshake

_log = structlog.get_logger(__name__)

#: Handles one arrived link. Call the second argument once the peer has proved who it is: until then the link may be
#: dropped to make room for another.
Handler = Callable[[TlsStream, Callable[[], None]], Awaitable[None]]

#: `accept` ran into a bound of this machine, which passes.
_SCARCE: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
#: `accept` reports trouble of a connection that was being made (accept(2), "Error handling").
_OF_THE_CONNECTION: Final = frozenset(
    getattr(errno, name)
    for name in ("ECONNABORTED", "EPROTO", "EPERM", "ENETDOWN", "EHOSTDOWN", "EHOSTUNREACH", "ENETUNREACH", "ETIMEDOUT")
    if hasattr(errno, name)
)


async def connect(host: str, port: int, config: TlsConfig) -> TlsStream:
    """Dial a host (a name, or an IPv4 or IPv6 address) and speak TLS. Raises LinkBroken.

    Takes at most CONNECT_TIMEOUT_S plus HANDSHAKE_TIMEOUT_S.
    """
    try:
        with anyio.fail_after(CONNECT_TIMEOUT_S):
            transport = await anyio.connect_tcp(host, port)
    except TimeoutError:
        raise LinkBroken(Trouble.TIMED_OUT, f"connecting to {host} port {port}") from None
    except (OSError, UnicodeError) as error:
        raise _connect_trouble(error, f"{host} port {port}") from None
    server_name = None if _is_ip(host) else host
    return await handshake(_without_delay(transport), config, dials=True, server_name=server_name)


async def listen(host: str | None, port: int) -> Sequence[SocketListener]:
    """Bind, to every address of the machine if `host` is None; port 0 takes a free one.

    Raises LocalError(CANNOT_LISTEN).
    """
    try:
        bound = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except (OSError, UnicodeError, OverflowError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise LocalError(Code.CANNOT_LISTEN, f"{host or 'any address'} port {port}: {reason}") from None
    return [listener for listener in bound.listeners if isinstance(listener, SocketListener)]


def port_of(listeners: Sequence[SocketListener]) -> int:
    """The port that they are bound to."""
    return int(listeners[0].extra(SocketAttribute.local_port))  # noqa: S610 - not Django's


async def serve(
    listeners: Sequence[SocketListener], handler: Handler, config: TlsConfig, unproven_max: int = UNPROVEN_LINKS_MAX
) -> None:
    """Accept links for ever; each runs `handler` in its own task, and its stream is closed when that returns.

    A WaypostError out of a handler ends its link alone. At most `unproven_max` links are unproven: a further one
    takes the place of the oldest, so that whoever merely connects cannot keep others out.
    """

    async def attend(transport: SocketStream) -> None:
        try:
            with unproven.admit(transport) as proven:
                stream = await handshake(_without_delay(transport), config, dials=False)
                try:
                    await handler(stream, proven)
                finally:
                    await stream.aclose()
        except WaypostError as error:
            _log.debug("incoming link ended", reason=str(error))

    async with anyio.create_task_group() as tasks:
        # Closing is enough: whoever waits for that link's data learns that it is gone.
        unproven = _Unproven(unproven_max, lambda transport: tasks.start_soon(anyio.aclose_forcefully, transport))

        async def accept_on(listener: SocketListener) -> None:
            async with listener:
                while True:
                    transport = await _accept(listener)
                    tasks.start_soon(attend, transport)

        for listener in listeners:
            tasks.start_soon(accept_on, listener)


async def _accept(listener: SocketListener) -> SocketStream:
    while True:
        try:
            return await listener.accept()
        except (OSError, anyio.BrokenResourceError) as error:
            cause = error if isinstance(error, OSError) else error.__cause__
            number = cause.errno if isinstance(cause, OSError) else None
            if number in _SCARCE:
                _log.warning("cannot accept a link", reason=str(cause))
                await anyio.sleep(ACCEPT_RETRY_S)
            elif number in _OF_THE_CONNECTION:
                await anyio.lowlevel.checkpoint()
            else:
                raise


class _Unproven:
    """The links that have not proved who they are, oldest first."""

    def __init__(self, limit: int, evict: Callable[[SocketStream], object]) -> None:
        self._limit = limit
        self._evict = evict
        self._transports: dict[int, SocketStream] = {}
        self._last = 0

    @contextmanager
    def admit(self, transport: SocketStream) -> Iterator[Callable[[], None]]:
        """Hold a place while the block runs, or until the function given is called; who loses it is evicted."""
        self._last += 1
        number = self._last
        if len(self._transports) >= self._limit:
            self._evict(self._transports.pop(next(iter(self._transports))))
        self._transports[number] = transport
        try:
            yield lambda: self._forget(number)
        finally:
            self._forget(number)

    def _forget(self, number: int) -> None:
        self._transports.pop(number, None)


def _without_delay(transport: SocketStream) -> SocketStream:
    # A lone message leaves at once; the pump gathers under load by itself.
    raw = transport.extra(SocketAttribute.raw_socket)  # noqa: S610 - not Django's
    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return transport


def _connect_trouble(error: OSError | UnicodeError, where: str) -> LinkBroken:
    failures = [failure for failure in _leaves(error) if isinstance(failure, OSError)]
    if isinstance(error, UnicodeError) or any(isinstance(failure, socket.gaierror) for failure in failures):
        return LinkBroken(Trouble.NO_ADDRESS, where)
    if any(isinstance(failure, ConnectionRefusedError) for failure in failures):
        return LinkBroken(Trouble.REFUSED, where)
    if any(failure.errno == errno.ETIMEDOUT for failure in failures):
        return LinkBroken(Trouble.TIMED_OUT, f"connecting to {where}")
    reasons = sorted({failure.strerror.lower() for failure in failures if failure.strerror})
    return LinkBroken(Trouble.NO_ROUTE, ": ".join([where, *reasons]))


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors behind one of anyio's, which stands for an attempt at each address of a host."""
    yield error
    if error.__cause__ is not None:
        yield from _leaves(error.__cause__)
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
