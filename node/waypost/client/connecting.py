"""Opening a profile, and making one."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from waypost.client.client import Client
from waypost.client.mail.link import Handler, OpenLink, meet, reply
from waypost.client.parts import Parts
from waypost.client.profile.database import Database, open_database
from waypost.client.profile.profile import Lock, Profile, new_profile, open_profile
from waypost.clock import WallMs
from waypost.crypto import kem
from waypost.errors import Code, PeerFault, Refused, WaypostError
from waypost.limits import CONNECT_TIMEOUT_S, HANDSHAKE_TIMEOUT_S, LINGER_S, QUERY_TIMEOUT_S
from waypost.links.errors import LinkBroken
from waypost.protocol.custody.transfer import Outcome, Refusal
from waypost.protocol.directory.asks import Join, JoinReply
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.reach import ReachMode
from waypost.protocol.frames.messages import Answer, Notice

#: For the first link, and for the node to have the keys.
_FIRST_LINK_S = CONNECT_TIMEOUT_S + HANDSHAKE_TIMEOUT_S + 2 * QUERY_TIMEOUT_S


@asynccontextmanager
async def connect(
    profile: str | os.PathLike[str], passphrase: str | None = None, *, parts: Parts | None = None
) -> AsyncIterator[Client]:
    """Open the profile in that directory and stay in touch with its node while the block runs.

    The link is made, and made again, in the background: the block starts at once, and messages can be sent without.
    Works under asyncio and trio. Raises LocalError: NO_PROFILE, PROFILE_IN_USE, WRONG_PASSPHRASE, STATE_DAMAGED,
    STATE_TOO_NEW, UNSUPPORTED; Refused(STORE_FULL) where a database has to be upgraded and there is no room.
    """
    surroundings = parts or Parts()
    await surroundings.offload(kem.self_test)
    opened = await surroundings.offload(lambda: open_profile(Path(profile), passphrase))
    async with _running(opened, surroundings) as client:
        yield client


async def join(
    invite: str,
    profile: str | os.PathLike[str],
    *,
    label: str = "",
    passphrase: str | None = None,
    reach: str | Sequence[str] | None = None,
    parts: Parts | None = None,
) -> str:
    """Make the profile directory and join the provider that the invite is from; returns the new address.

    `label` tells this device from the account's others; `reach` is as for `Client.reach`, or a list of providers. When
    it was cut short, call it again with the same invite. Raises LocalError: BAD_INVITE, PROFILE_EXISTS, PROFILE_IN_USE,
    WRONG_PASSPHRASE, UNSUPPORTED; Refused: INVITE_INVALID, UNREACHABLE and whatever else the node answers; LinkBroken
    or PeerFault if no endpoint is the node that the invite names.
    """
    surroundings = parts or Parts()
    await surroundings.offload(kem.self_test)
    parsed = parse_invite(invite)
    if parsed.expires_ms <= surroundings.wall_ms():
        raise Refused(Code.INVITE_INVALID, "it has expired")
    lock = Lock(passphrase, surroundings.random)
    opened = await surroundings.offload(lambda: new_profile(Path(profile), parsed, lock))
    try:
        await _enter(opened, surroundings, Join(parsed.token, opened.signed_device_list(), label))
        await surroundings.offload(opened.complete)
    except BaseException:
        opened.close()
        raise
    async with _running(opened, surroundings) as client:
        with anyio.move_on_after(_FIRST_LINK_S):
            await client.published()
        if reach is not None:
            mode, providers = (reach, ()) if isinstance(reach, str) else (ReachMode.SOME, tuple(reach))
            await client.reach(mode, providers)
        return client.address


async def _opened(path: Path, parts: Parts, now_ms: WallMs) -> Database:
    """The profile's database. Given up meanwhile, it is closed: its thread goes on, and may end later."""
    opened: list[Database] = []
    unwanted = threading.Event()

    def work() -> Database:
        database = open_database(path, parts.offload, now_ms)
        opened.append(database)
        if unwanted.is_set():
            database.close_now()
        return database

    try:
        return await parts.offload(work)
    except BaseException:
        unwanted.set()
        for database in opened:
            database.close_now()
        raise


@asynccontextmanager
async def _running(profile: Profile, parts: Parts) -> AsyncIterator[Client]:
    """The client over an opened profile, which is closed in the end."""
    try:
        path, now_ms = profile.state_path, parts.wall_ms()
        database = await _opened(path, parts, now_ms)
        try:
            client = Client(profile, database, parts)
            async with _alone(), anyio.create_task_group() as tasks:
                tasks.start_soon(client.run)
                yield client
                await client.finish()
                tasks.cancel_scope.deadline = anyio.current_time() + LINGER_S
        finally:
            await database.close()
    finally:
        profile.close()


@asynccontextmanager
async def _alone() -> AsyncIterator[None]:
    """An error comes out of the task group as it went in, if it is the only one: the app need not know of the group."""
    try:
        yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        if isinstance(error, BaseExceptionGroup):
            raise
        raise error from None


class _Joining(Handler):
    """A device that is not in yet gets nothing but its answer."""

    async def offered(self, ids: Sequence[bytes], envelopes: Sequence[bytes]) -> Sequence[Refusal]:
        return [Refusal(index, Code.BUSY.number) for index in range(len(ids))]

    async def settled(self, token: object, at_ms: int, refusals: Sequence[Refusal]) -> None:
        pass

    async def reported(self, outcomes: Sequence[Outcome]) -> None:
        raise Refused(Code.BUSY)

    async def noticed(self, notice: Notice) -> None:
        pass


async def _enter(profile: Profile, parts: Parts, request: Join) -> None:
    """Ask the node to let this device in. Raises Refused with its answer, or what kept us from asking."""
    dial = parts.dial(profile.device, parts.wall_ms())
    trouble: WaypostError = Refused(Code.UNREACHABLE)
    for endpoint in profile.account.endpoints:
        try:
            stream = await dial(endpoint.host, endpoint.port)
            session, peer = await meet(profile, stream, parts)
        except (LinkBroken, PeerFault) as error:
            trouble = error
            continue
        answers: list[Answer] = []

        async def ask(link: OpenLink) -> None:
            answers.append(await link.ask(request))  # noqa: B023 - used before the next round
            link.close(Code.CLOSING)

        await OpenLink(stream, session, peer.epoch, _Joining(), parts.wall_ms).run([ask])
        if answers and not (answers[0].code == Code.UNREACHABLE.number and answers[0].id == 0):
            _check(answers[0], profile)
            return
        trouble = Refused(Code.UNREACHABLE, "the node hung up instead of answering")
    raise trouble


def _check(answer: Answer, profile: Profile) -> None:
    address = reply(answer, JoinReply).address
    if address != str(profile.address):
        raise PeerFault(Code.BAD_FRAME, f"joined as {address} instead of {profile.address}")
