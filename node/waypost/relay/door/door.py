"""Connections that somebody makes to us."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from waypost.errors import Code, PeerFault, Refused
from waypost.links.pump import part
from waypost.links.stream import Stream
from waypost.protocol.frames.handshake import Handshake
from waypost.protocol.frames.messages import Role
from waypost.relay.door.admit import Admission
from waypost.relay.door.handshake import Greeting
from waypost.relay.door.serve_device import DeviceService
from waypost.relay.door.serve_peer import PeerService


class Door:
    """See the module."""

    def __init__(
        self, greeting: Greeting, admission: Admission, peers: PeerService, devices: DeviceService, log: Any
    ) -> None:
        self._greeting = greeting
        self._admission = admission
        self._peers = peers
        self._devices = devices
        self._log = log
        self._closed = False

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    async def accept(self, stream: Stream, proven: Callable[[], None]) -> None:
        """Serve a connection until it ends; `proven`: they have proved who they are. Raises WaypostError."""
        session, identity = await self._greeting.exchange(stream)
        proven()
        try:
            if self._closed:
                raise Refused(Code.CLOSING)
            if identity.role is Role.DEVICE:
                await self._devices.serve(stream, session, identity)
            else:
                peer = await self._admission.admit(identity, None)
                await self._peers.serve(peer, stream, session, identity)
        except (Refused, PeerFault) as refused:
            self._log.warning(
                "link refused",
                peer=identity.name,
                reason=refused.code.title,
                advice=refused.detail or refused.code.remedy,
            )
            await part(stream, Handshake.refuse(refused.code))
