"""Keeps this device's key packages published."""

from __future__ import annotations

from collections.abc import Callable

import anyio

from waypost.client.mail.link import OpenLink
from waypost.client.mail.waking import Wakeup
from waypost.client.profile.database import Database
from waypost.client.schemes.own_packages import OwnPackages, UploadState
from waypost.clock import WallMs
from waypost.errors import Code, PeerFault, Refused, code_of, is_for_good
from waypost.limits import CLIENT_UPKEEP_S, PACKAGES_PER_DEVICE_MAX
from waypost.protocol.directory.asks import Publish, PublishReply
from waypost.protocol.frames.codec import ID_BYTES, read
from waypost.protocol.frames.messages import Answer

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
        wall_ms: Callable[[], WallMs],
        random: Callable[[int], bytes],
    ) -> None:
        self._database = database
        self._packages = packages
        self._keys_low = keys_low
        self._wall_ms = wall_ms
        self._random = random
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
        epoch, now_ms = link.epoch, self._wall_ms()
        for _ in range(_ROUNDS_MAX):
            upload = await self._database.run(self._packages.pending)
            if upload is not None:
                epoch = await self._upload(link, upload)
                continue
            reply = _reply(await link.ask(Publish(self._random(ID_BYTES), epoch, ())))
            if reply.epoch != epoch:
                epoch = reply.epoch
                continue
            left = reply.left if reply.left < fill_up_below else PACKAGES_PER_DEVICE_MAX
            if not await self._database.run(lambda conn: self._packages.prepare(conn, epoch, left, now_ms)):  # noqa: B023
                return
        raise Refused(Code.CONFLICT, "the node's key directory does not settle")

    async def _upload(self, link: OpenLink, upload: Publish) -> int:
        """The epoch that the node has answered with. An upload for another one, set back since, is void."""
        answer = await link.ask(upload)
        if answer.code and is_for_good(answer.code):
            await self._finish(upload.upload, UploadState.DROPPED)
        reply = _reply(answer)
        taken = reply.epoch == upload.epoch
        await self._finish(upload.upload, UploadState.DONE if taken else UploadState.DROPPED)
        return reply.epoch

    async def _finish(self, upload: bytes, state: UploadState) -> None:
        await self._database.run(lambda conn: self._packages.finish(conn, upload, state))


def _reply(answer: Answer) -> PublishReply:
    if answer.code:
        raise Refused(code_of(answer.code) or Code.INTERNAL, answer.text)
    return read(answer.body, PublishReply)
