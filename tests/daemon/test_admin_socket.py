from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio

from waypost.daemon import admin_socket
from waypost.errors import Code, Refused
from waypost.limits import ADMIN_CONNECTIONS_MAX, ADMIN_REQUEST_MAX_BYTES
from waypost.protocol.frames.codec import FrameBuffer, pack, read
from waypost.protocol.operator import AddUser, GetStatus, Request, Response, Stopped, Why


async def echo(request: Request) -> Stopped:
    if isinstance(request, AddUser):
        raise Refused(Code.USER_EXISTS, request.user)
    return Stopped(type(request).__name__)


@asynccontextmanager
async def served(path: Path) -> AsyncIterator[None]:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(admin_socket.serve, admin_socket.listen(path), path, Request, echo)
        yield
        nursery.cancel_scope.cancel()


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


async def answers(stream: trio.SocketStream, count: int) -> list[Response]:
    buffer = FrameBuffer()
    found: list[Response] = []
    with trio.fail_after(5):
        while len(found) < count:
            data = await stream.receive_some()
            if not data:
                break
            found += [read(body, Response) for body in buffer.feed(bytes(data))]
    return found


async def test_requests_are_answered_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with served(path):
        assert path.stat().st_mode & 0o777 == 0o600
        stream = await trio.open_unix_socket(path)
        async with stream:
            await stream.send_all(frame(pack(GetStatus())) + frame(pack(Why("ab"))))
            assert [read(answer.answer, Stopped).provider for answer in await answers(stream, 2)] == [
                "GetStatus",
                "Why",
            ]
    assert not path.exists()


async def test_a_refusal_is_an_answer_with_code_and_text(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with served(path), await trio.open_unix_socket(path) as stream:
        await stream.send_all(frame(pack(AddUser("alice"))))
        [refused] = await answers(stream, 1)
        assert (refused.code, refused.text, refused.answer) == (Code.USER_EXISTS.number, "alice", b"")


@pytest.mark.parametrize("body", [b"", b"\xff", b"garbage", pack((99,)), pack((2, "x" * 1000)), pack((10, 5))])
async def test_a_bad_request_is_answered_and_the_next_one_served(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "admin.sock"
    async with served(path), await trio.open_unix_socket(path) as stream:
        await stream.send_all(frame(body) + frame(pack(GetStatus())))
        refused, served_next = await answers(stream, 2)
        assert refused.code == Code.BAD_REQUEST.number
        assert served_next.code == 0


async def test_an_oversized_request_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with served(path), await trio.open_unix_socket(path) as stream:
        await stream.send_all((ADMIN_REQUEST_MAX_BYTES + 1).to_bytes(4, "big"))
        (refused,) = await answers(stream, 2)
        assert refused.code == Code.FRAME_TOO_LARGE.number
        async with await trio.open_unix_socket(path) as other:
            await other.send_all(frame(pack(GetStatus())))
            assert len(await answers(other, 1)) == 1


async def test_too_many_connections_are_told_so(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    async with served(path):
        streams = [await trio.open_unix_socket(path) for _ in range(ADMIN_CONNECTIONS_MAX)]
        for stream in streams:
            await stream.send_all(frame(pack(GetStatus())))
            await answers(stream, 1)
        async with await trio.open_unix_socket(path) as late:
            (refused,) = await answers(late, 1)
            assert refused.code == Code.BUSY.number
        await streams[0].aclose()
        with trio.fail_after(5):
            while True:
                async with await trio.open_unix_socket(path) as again:
                    await again.send_all(frame(pack(GetStatus())))
                    if (await answers(again, 1))[0].code == 0:
                        break
        for stream in streams:
            await stream.aclose()


async def test_a_socket_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.write_bytes(b"")
    async with served(path), await trio.open_unix_socket(path) as stream:
        await stream.send_all(frame(pack(GetStatus())))
        assert len(await answers(stream, 1)) == 1
