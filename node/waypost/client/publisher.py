"""Keeps this device's key packages published."""

from __future__ import annotations

from waypost.client.core import Core
from waypost.client.link import Live
from waypost.client.own_keys import UploadState
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
    """`published`: whether the node has confirmed, on this link, that others can get keys of this device."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self.published = False

    async def run(self, live: Live) -> None:
        """For ever, beside a link."""
        self.published = False
        fill_up_below = _FILL_UP_BELOW
        while True:
            try:
                await self._publish(live, fill_up_below)
                self.published = True
                self._core.sent.changed([PUBLISHED])
            except (Refused, PeerFault):
                # The node says no, or talks nonsense: asked again later, mail goes on meanwhile.
                pass
            await self._core.keys_low.wait(60 * CLIENT_UPKEEP_S if self.published else CLIENT_UPKEEP_S)
            fill_up_below = PACKAGES_PER_DEVICE_MAX

    async def _publish(self, live: Live, fill_up_below: int) -> None:
        core, epoch = self._core, live.epoch
        now_ms = core.parts.wall_ms()
        for _ in range(_ROUNDS_MAX):
            upload = await core.database.run(core.keys.pending)
            if upload is not None:
                epoch = await self._upload(live, upload)
                continue
            reply = _reply(await live.ask(Publish(core.parts.random(ID_BYTES), epoch, ())))
            if reply.epoch != epoch:
                epoch = reply.epoch
                continue
            left = reply.left if reply.left < fill_up_below else PACKAGES_PER_DEVICE_MAX
            if not await core.database.run(lambda conn: core.keys.prepare(conn, epoch, left, now_ms)):  # noqa: B023
                return
        raise Refused(Code.CONFLICT, "the node's key directory does not settle")

    async def _upload(self, live: Live, upload: Publish) -> int:
        """The epoch that the node has answered with. An upload for another one, set back since, is void."""
        answer = await live.ask(upload)
        if answer.code and is_for_good(answer.code):
            await self._finish(upload.upload, UploadState.DROPPED)
        reply = _reply(answer)
        taken = reply.epoch == upload.epoch
        await self._finish(upload.upload, UploadState.DONE if taken else UploadState.DROPPED)
        return reply.epoch

    async def _finish(self, upload: bytes, state: UploadState) -> None:
        await self._core.database.run(lambda conn: self._core.keys.finish(conn, upload, state))


#: In `Core.sent`: changes when keys are published.
PUBLISHED = b"published"


def _reply(answer: Answer) -> PublishReply:
    if answer.code:
        raise Refused(code_of(answer.code) or Code.INTERNAL, answer.text)
    return read(answer.body, PublishReply)
