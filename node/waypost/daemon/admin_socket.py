"""Local administration: requests of `protocol.operator`, or others like them, over a Unix socket of its owner's."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog
import trio
from msgspec import Struct

from waypost import __version__
from waypost.daemon.state import socket_address
from waypost.errors import Code, LocalError, PeerFault, WaypostError
from waypost.limits import (
    ADMIN_CONNECTIONS_MAX,
    ADMIN_IDLE_S,
    ADMIN_REQUEST_MAX_BYTES,
    FRAME_MAX_BYTES,
    TEXT_MAX_CHARS,
)
from waypost.protocol.frames.codec import HEADER_BYTES, FrameBuffer, pack, read
from waypost.protocol.operator import Response

_log = structlog.get_logger(__name__)
_CHUNK_BYTES = 4_096

Answer = Callable[[Any], Awaitable[Struct]]


def listen(path: Path) -> trio.SocketListener:
    """Bind the socket, for its owner alone. Call it while holding the state directory: a socket left behind is removed.

    Raises LocalError(UNSUPPORTED | CANNOT_LISTEN).
    """
    _remove(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with socket_address(path) as address:
            # Between bind and chmod anyone could connect, were it not for the mask.
            mask = os.umask(0o177)
            try:
                sock.bind(address)
            finally:
                os.umask(mask)
        path.chmod(0o600)
        sock.listen(ADMIN_CONNECTIONS_MAX)
    except OSError as error:
        sock.close()
        raise LocalError(Code.CANNOT_LISTEN, f"{path} ({error.strerror or error})") from None
    except BaseException:
        sock.close()
        raise
    return trio.SocketListener(trio.socket.from_stdlib_socket(sock))


async def serve(listener: trio.SocketListener, path: Path, requests: Any, answer: Answer) -> None:
    """Answer requests until cancelled; then the socket is removed. One connection may ask one thing after another.

    `requests`: the union of the structs that `answer` takes. A WaypostError that it raises is an answer too.
    """
    places = trio.CapacityLimiter(ADMIN_CONNECTIONS_MAX)

    async def attend(stream: trio.SocketStream) -> None:
        try:
            places.acquire_nowait()
        except trio.WouldBlock:
            with trio.move_on_after(1), suppress(trio.BrokenResourceError):
                await stream.send_all(
                    _frame(_refusal(Code.BUSY, "too many administration commands at once; try again"))
                )
            return
        try:
            await _converse(stream, requests, answer)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass  # whoever asked has gone
        except PeerFault as fault:
            _log.warning("administration request not understood", reason=str(fault))
        finally:
            places.release()

    try:
        await trio.serve_listeners(attend, [listener])
    finally:
        _remove(path)


async def _converse(stream: trio.SocketStream, requests: Any, answer: Answer) -> None:
    buffer = FrameBuffer(ADMIN_REQUEST_MAX_BYTES)
    while True:
        with trio.move_on_after(ADMIN_IDLE_S) as idle:
            data = await stream.receive_some(_CHUNK_BYTES)
        if idle.cancelled_caught or not data:
            return
        try:
            frames = buffer.feed(bytes(data))
        except PeerFault as fault:
            await _say(stream, _refusal(fault.code, str(fault)))
            raise
        for frame in frames:
            await _say(stream, await _respond(frame, requests, answer))


async def _respond(frame: bytes, requests: Any, answer: Answer) -> Response:
    try:
        request = read(frame, requests, Code.BAD_REQUEST)
    except PeerFault as fault:
        return _refusal(fault.code, str(fault))
    try:
        found = await answer(request)
    except WaypostError as error:
        return _refusal(error.code, error.detail)
    return Response(0, "", pack(found), __version__)


def _refusal(code: Code, text: str) -> Response:
    return Response(code.number, text[:TEXT_MAX_CHARS], b"", __version__)


def _remove(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


async def _say(stream: trio.SocketStream, response: Response) -> None:
    with trio.move_on_after(ADMIN_IDLE_S) as slow:
        await stream.send_all(_frame(response))
    if slow.cancelled_caught:
        raise trio.BrokenResourceError


def _frame(response: Response) -> bytes:
    body = pack(response)
    if len(body) > FRAME_MAX_BYTES:
        body = pack(_refusal(Code.INTERNAL, "the answer is larger than a frame"))
    return len(body).to_bytes(HEADER_BYTES, "big") + body
