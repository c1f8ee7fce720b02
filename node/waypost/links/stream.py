"""What the pump needs of a transport."""

from __future__ import annotations

from typing import Protocol

from waypost.protocol.frames.handshake import Channel


class Stream(Protocol):
    """Bytes in order, both ways, for one reader and one writer at a time.

    A stream ends in one of two ways: `send_eof` says that all was sent, `aclose` alone does not. So whoever reads can
    tell an orderly end (`b""`) from a lost connection (LinkBroken).
    """

    @property
    def channel(self) -> Channel:
        """What the transport says of this connection."""

    async def receive(self) -> bytes:
        """Whatever has arrived, at least one byte; `b""` once the peer has sent all. Raises LinkBroken.

        Cancelled, it has taken nothing.
        """

    async def send(self, data: bytes | memoryview) -> None:
        """Return once the transport has taken all of it. Raises LinkBroken.

        Cancelled, it may have sent a part; the stream then refuses to send any more.
        """

    async def send_eof(self) -> None:
        """Tell the peer that nothing more follows; receiving goes on. Raises LinkBroken."""

    async def aclose(self) -> None:
        """Give the connection up at once. Whoever waits in `receive` or `send` gets LinkBroken. Never raises."""
