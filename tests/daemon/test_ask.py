"""Asking what runs, whatever that is."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from waypost import __version__
from waypost.daemon.ask import ask_node
from waypost.daemon.state import StateDir
from waypost.errors import Code, LocalError, Refused, WaypostError
from waypost.protocol.frames.codec import pack
from waypost.protocol.operator import GetStatus, Response, Stop, Stopped


@contextmanager
def answering(state: StateDir, body: bytes) -> Iterator[None]:
    """Something listens there that says this to whatever it is asked."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(state.socket))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65_536)
                connection.sendall(len(body).to_bytes(4, "big") + body)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


def refused(state: StateDir, body: bytes) -> WaypostError:
    with answering(state, body), ask_node(state) as node, pytest.raises(WaypostError) as caught:
        node.ask(GetStatus())
    return caught.value


def test_an_answer_is_of_the_type_that_the_request_names(tmp_path: Path) -> None:
    body = pack(Response(0, "", pack(Stopped("birdy.local")), __version__))
    with answering(StateDir(tmp_path), body), ask_node(StateDir(tmp_path)) as node:
        assert node.ask(Stop()) == Stopped("birdy.local")


@pytest.mark.parametrize(
    "body",
    [
        pack((0, "", '{"provider": "birdy.local"}')),  # as up to 0.6.0
        pack(Response(0, "", pack(Stopped("birdy.local")), "9.9.9")),  # an answer without what is expected
        pack(Response(Code.BAD_REQUEST.number, "Invalid value 1", b"", "9.9.9")),
        pack(Response(9_999, "what only it knows", b"", "9.9.9")),
        pack("hello"),
        b"",
    ],
)
def test_a_node_of_another_version_is_called_that(tmp_path: Path, body: bytes) -> None:
    error = refused(StateDir(tmp_path), body)
    assert isinstance(error, LocalError)
    assert error.code is Code.OTHER_VERSION
    assert __version__ in str(error)


def test_a_refusal_of_this_version_is_what_it_is(tmp_path: Path) -> None:
    error = refused(StateDir(tmp_path), pack(Response(Code.BAD_REQUEST.number, "no", b"", __version__)))
    assert isinstance(error, Refused)
    assert (error.code, error.detail) == (Code.BAD_REQUEST, "no")
