"""Asks the node that runs on a state directory: one plain blocking socket, nothing of the node itself."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from waypost import __version__
from waypost.daemon.state import StateDir, socket_address
from waypost.errors import Code, LocalError, PeerFault, Refused, WaypostError, code_of
from waypost.limits import FRAME_MAX_BYTES
from waypost.protocol.frames.codec import HEADER_BYTES, FrameBuffer, pack, read
from waypost.protocol.operator import OperatorRequest, Response, answer_type

A = TypeVar("A")

_TIMEOUT_S = 30.0


class Node:
    """A connection to a running node. Made by `ask_node`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._buffer = FrameBuffer(FRAME_MAX_BYTES)

    def ask(self, request: OperatorRequest[A]) -> A:
        """The answer. Raises what the node answered, or LocalError(NOT_RUNNING | OTHER_VERSION)."""
        body = pack(request)
        try:
            self._connection.sendall(len(body).to_bytes(HEADER_BYTES, "big") + body)
            response = read(self._receive(), Response)
            if not response.code:
                return read(response.answer, answer_type(type(request)))
        except TimeoutError:
            raise Refused(Code.TIMED_OUT, f"the node has not answered for {_TIMEOUT_S:.0f} s") from None
        except OSError as error:
            raise LocalError(Code.NOT_RUNNING, f"it ended while it was asked ({error.strerror or error})") from None
        except PeerFault as fault:
            raise LocalError(
                Code.OTHER_VERSION, f"it says what {__version__} does not understand ({fault.detail})"
            ) from None
        raise _refusal(response)

    def _receive(self) -> bytes:
        while True:
            data = self._connection.recv(65_536)
            if not data:
                raise ConnectionResetError("it hung up")
            if frames := self._buffer.feed(data):
                return frames[0]


def _refusal(response: Response) -> WaypostError:
    code = code_of(response.code)
    if response.version != __version__ and (code is None or code is Code.BAD_REQUEST):
        # A request, or a word in one, that only one of the two knows.
        return LocalError(
            Code.OTHER_VERSION,
            f"it is {response.version or 'older'}, this is {__version__}, and it answers: {response.text}",
        )
    return Refused(code or Code.INTERNAL, response.text)


@contextmanager
def ask_node(state: StateDir, timeout_s: float | None = _TIMEOUT_S) -> Iterator[Node]:
    """A connection to the node. Raises LocalError(STATE_MISSING | NOT_RUNNING)."""
    if not state.path.is_dir():
        raise LocalError(Code.STATE_MISSING, str(state.path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        try:
            with socket_address(state.socket) as address:
                connection.connect(address)
        except PermissionError:
            raise LocalError(Code.NOT_RUNNING, f"{state.path} belongs to another user") from None
        except OSError:
            raise LocalError(Code.NOT_RUNNING, str(state.path)) from None
        yield Node(connection)
