"""Keeps this device's key packages published."""

from __future__ import annotations

import anyio

from waypost.client.mail.link import OpenLink, reply
from waypost.client.mail.waking import Wakeup
from waypost.client.parts import Parts
from waypost.client.profile.database import Database
from waypost.client.schemes.own_packages import OwnPackages, UploadState
from waypost.errors import Code, PeerFault, Refused, is_for_good
from waypost.limits import CLIENT_UPKEEP_S, PACKAGES_PER_DEVICE_MAX
from waypost.protocol.directory.asks import Publish, PublishReply
from waypost.protocol.frames.codec import ID_BYTES

#: What is left at the node is filled up when the link comes up and less than that is there; KEYS_LOW does the rest.
_FILL_UP_BELOW = PACKAGES_PER_DEVICE_MAX // 2
#: A node that answers with ever new epochs gets no further uploads on this link.
_ROUNDS_MAX = 4


class Publisher:
    """See the module."""

    def __init__(
        self,
        database: Database,
        packages: OwnPackages,
        keys_low: Wakeup,
        parts: Parts,
    ) -> None:
        self._database = database
        self._packages = packages
        self._keys_low = keys_low
        self._parts = parts
        self._published = anyio.Event()

    async def published(self) -> None:
        """Wait until the node has confirmed, on the present link, that others can get keys of this device."""
        await self._published.wait()

    async def run(self, link: OpenLink) -> None:
        """For ever, beside a link."""
        if self._published.is_set():
            self._published = anyio.Event()
        fill_up_below = _FILL_UP_BELOW
        while True:
            try:
                await self._publish(link, fill_up_below)
                self._published.set()
            except (Refused, PeerFault):
                # The node says no, or talks nonsense: asked again later, mail goes on meanwhile.
                pass
            await self._keys_low.wait(60 * CLIENT_UPKEEP_S if self._published.is_set() else CLIENT_UPKEEP_S)
            fill_up_below = PACKAGES_PER_DEVICE_MAX

    async def _publish(self, link: OpenLink, fill_up_below: int) -> None:
        epoch, now_ms = link.epoch, self._parts.wall_ms()
        for _ in range(_ROUNDS_MAX):
            upload = await self._database.run(self._packages.pending)
            if upload is not None:
                epoch = await self._upload(link, upload)
                continue
            state = reply(await link.ask(Publish(self._parts.random(ID_BYTES), epoch, ())), PublishReply)
            if state.epoch != epoch:
                epoch = state.epoch
                continue
            left = state.left if state.left < fill_up_below else PACKAGES_PER_DEVICE_MAX
            if not await self._database.run(lambda conn: self._packages.prepare(conn, epoch, left, now_ms)):  # noqa: B023
                return
        raise Refused(Code.CONFLICT, "the node's key directory does not settle")

    async def _upload(self, link: OpenLink, upload: Publish) -> int:
        """The epoch that the node has answered with. An upload for another one, set back since, is void."""
        answer = await link.ask(upload)
        if answer.code and is_for_good(answer.code):
            await self._finish(upload.upload, UploadState.DROPPED)
        state = reply(answer, PublishReply)
        taken = state.epoch == upload.epoch
        await self._finish(upload.upload, UploadState.DONE if taken else UploadState.DROPPED)
        return state.epoch

    async def _finish(self, upload: bytes, state: UploadState) -> None:
        await self._database.run(lambda conn: self._packages.finish(conn, upload, state))
