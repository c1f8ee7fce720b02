"""The link to the account's node: made, proved, used, and made again whenever it ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

import anyio
from msgspec import Struct

from waypost.client.parts import Parts
from waypost.client.profile.profile import Profile
from waypost.clock import WallMs
from waypost.errors import Code, Kind, PeerFault, Refused, WaypostError, code_of
from waypost.limits import DEVICE_WINDOW_BYTES, DEVICE_WINDOW_ENVELOPES, QUERY_TIMEOUT_S, RECONNECT_S
from waypost.links.errors import LinkBroken
from waypost.links.pump import Pump, greet, part
from waypost.links.stream import Stream
from waypost.protocol.custody.transfer import Offered, Outcome, Refusal, Reported, Settled
from waypost.protocol.directory.asks import Ask
from waypost.protocol.directory.record import RecordEndpoint, open_record
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.handshake import Handshake, Own, PeerIdentity
from waypost.protocol.frames.messages import Answer, Notice, Role
from waypost.protocol.frames.session import Answered, Closed, Event, Noticed, Session

T = TypeVar("T", bound=Struct)


class Handler(Protocol):
    """What is to be done with what the node says. Each returns after the commit; Refused(STORE_FULL) may come out."""

    async def offered(self, ids: Sequence[bytes], envelopes: Sequence[bytes]) -> Sequence[Refusal]: ...

    async def settled(self, token: object, at_ms: WallMs, refusals: Sequence[Refusal]) -> None: ...

    async def reported(self, outcomes: Sequence[Outcome]) -> None: ...

    async def noticed(self, notice: Notice) -> None: ...


class _Asked:
    """A request under way."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.answer: Answer | None = None


class OpenLink:
    """A link that is up. `epoch`: that of the node's key directory."""

    def __init__(
        self, stream: Stream, session: Session, epoch: int, handler: Handler, wall_ms: Callable[[], WallMs]
    ) -> None:
        self.session = session
        self.epoch = epoch
        self.ended: Closed | None = None
        self._handler = handler
        self._wall_ms = wall_ms
        self._pump = Pump(stream, session, self._handle)
        self._asked: set[_Asked] = set()

    async def run(self, work: Sequence[Callable[[OpenLink], Awaitable[None]]]) -> Closed | None:
        """Drive the link until it ends, each `work` beside it as a task of its own; how it ended."""
        async with anyio.create_task_group() as tasks:
            for each in work:
                tasks.start_soon(self._unless_full, each)
            await self._pump.run()
            tasks.cancel_scope.cancel()
        return self.ended

    async def _unless_full(self, work: Callable[[OpenLink], Awaitable[None]]) -> None:
        """A full disk ends the link: nothing more can be written down. It is made again later."""
        try:
            await work(self)
        except Refused as refused:
            self.close(refused.code)

    def wake(self) -> None:
        """The session may have something to send."""
        self._pump.wake()

    def close(self, code: Code) -> None:
        """Say Goodbye; `run` returns soon after."""
        self._pump.close(code)

    async def ask(self, ask: Ask, timeout_s: float = QUERY_TIMEOUT_S) -> Answer:
        """The answer, whatever its code; TIMED_OUT or UNREACHABLE are made here. Raises Refused(BUSY)."""
        if self.session.closed:
            return Answer(0, Code.UNREACHABLE.number)
        if not self.session.can_ask:
            raise Refused(Code.BUSY, "too many requests at once")
        asked = _Asked()
        self._asked.add(asked)
        try:
            self.session.ask(ask, asked, anyio.current_time(), timeout_s)
            self.wake()
            await asked.done.wait()
        finally:
            self._asked.discard(asked)
        return asked.answer or Answer(0, Code.UNREACHABLE.number)

    async def _handle(self, events: list[Event]) -> None:
        for event in events:
            try:
                await self._handle_one(event)
            except Refused as refused:
                # The disk is full. What was not written down has not been acknowledged, so the node still has it.
                self._pump.close(refused.code)
                return

    async def _handle_one(self, event: Event) -> None:
        match event:
            case Offered():
                refusals = await self._handler.offered(event.ids, event.envelopes)
                self.session.receipt(event.batch, refusals, self._wall_ms())
            case Reported():
                await self._handler.reported(event.outcomes)
                self.session.receipt(event.batch, (), self._wall_ms())
            case Settled():
                await self._handler.settled(event.token, event.at_ms, event.refusals)
            case Answered():
                if isinstance(event.token, _Asked):
                    event.token.answer = event.answer
                    event.token.done.set()
            case Noticed():
                await self._handler.noticed(event.notice)
            case Closed():
                self.ended = event
                for asked in self._asked:
                    asked.done.set()
            case _:
                # Nodes ask nothing of devices, and signals are for apps of later versions.
                pass


def reply(answer: Answer, kind: type[T]) -> T:
    """What an answer brings. Raises Refused if it says no, PeerFault if it brings anything else."""
    if answer.code:
        raise Refused(code_of(answer.code) or Code.INTERNAL, answer.text)
    return read(answer.body, kind)


async def meet(profile: Profile, stream: Stream, parts: Parts) -> tuple[Session, PeerIdentity]:
    """Prove who we are, and see that the other side is our node. Raises PeerFault or LinkBroken, the stream closed.

    A node with another key than the known one is ours if its record says so with the known key's signature.
    """
    now_ms = parts.wall_ms()
    own = Own(
        Role.DEVICE,
        str(profile.address),
        profile.device,
        window_envelopes=DEVICE_WINDOW_ENVELOPES,
        window_bytes=DEVICE_WINDOW_BYTES,
    )
    handshake = Handshake(own, stream.channel, now_ms)
    peer = await greet(stream, handshake)
    try:
        endpoints = _recognise(profile, peer, now_ms)
    except PeerFault as fault:
        await part(stream, handshake.refuse(fault.code))
        raise
    if endpoints is not None:
        await parts.offload(lambda: profile.save_node(peer.key, endpoints))
    return handshake.finish(anyio.current_time()), peer


def _recognise(profile: Profile, peer: PeerIdentity, now_ms: WallMs) -> tuple[RecordEndpoint, ...] | None:
    """The endpoints in the node's record; None if it shows none. Raises PeerFault(WRONG_PEER)."""
    known = profile.account.node_key
    if peer.role is not Role.NODE or peer.name != profile.address.provider:
        raise PeerFault(Code.WRONG_PEER, f"{peer.name} answered in place of {profile.address.provider}")
    record = None
    if peer.record:
        record = open_record(peer.record, now_ms).record
        if record.key != peer.key or record.name != peer.name:
            raise PeerFault(Code.WRONG_PEER, f"{peer.name} shows the record of another node")
    if peer.key != known and (record is None or record.old_key != known):
        raise PeerFault(Code.WRONG_PEER, f"{peer.name} answered with another key than expected")
    return record.endpoints if record else None


class LinkKeeper:
    """Keeps the link up; `work` is done beside it, anew on each.

    `trouble`: why there is none, in words fit for the user; None while there is one, or none was tried yet.
    """

    def __init__(
        self,
        profile: Profile,
        parts: Parts,
        handler: Handler,
        work: Sequence[Callable[[OpenLink], Awaitable[None]]],
    ) -> None:
        self._profile = profile
        self._parts = parts
        self._dial = parts.dial(profile.device, parts.wall_ms())
        self._handler = handler
        self._work = work
        self._up = anyio.Event()
        self._trying = anyio.CancelScope()
        self._closing = False
        self.live: OpenLink | None = None
        self.trouble: WaypostError | None = None

    async def run(self) -> None:
        """Until `close`, or for ever."""
        with self._trying:
            failures = 0
            while True:
                well = await self._once()
                if self._closing:
                    return
                failures = 0 if well else min(failures + 1, len(RECONNECT_S) - 1)
                await anyio.sleep(RECONNECT_S[failures] * (1 - self._parts.spread() / 2))

    async def up(self) -> OpenLink:
        """The link, as soon as there is one."""
        while self.live is None:
            await self._up.wait()
        return self.live

    def close(self) -> None:
        """Part from the node in good order; `run` returns when that is done."""
        self._closing = True
        if self.live is not None:
            self.live.close(Code.CLOSING)
        else:
            self._trying.cancel()

    async def _once(self) -> bool:
        """Try each endpoint until one is our node, and stay with it. Whether that went well."""
        for endpoint in self._profile.account.endpoints:
            try:
                stream = await self._dial(endpoint.host, endpoint.port)
                session, peer = await meet(self._profile, stream, self._parts)
            except (LinkBroken, PeerFault) as error:
                self.trouble = error
                continue
            return await self._stay(OpenLink(stream, session, peer.epoch, self._handler, self._parts.wall_ms))
        return False

    async def _stay(self, live: OpenLink) -> bool:
        self.trouble = None
        self.live = live
        self._up.set()
        try:
            ended = await live.run(self._work)
        finally:
            self.live = None
            self._up = anyio.Event()
        code = code_of(ended.code) if ended and ended.code is not None else None
        self.trouble = PeerFault(code or Code.UNREACHABLE, ended.text if ended else "")
        return code is None or code.kind is not Kind.NEVER
