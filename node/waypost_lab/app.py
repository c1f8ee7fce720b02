"""An app of the lab: a device's end of a link, honest and without encryption, so that thousands fit into one process.

It runs over whatever network it is given: that of the lab in virtual time, or real sockets to nodes in a box.
Bodies are whatever a test sends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final, Protocol

import trio

from waypost.clock import DAY_MS, NEVER, Clock, Instant
from waypost.errors import Code, Refused, WaypostError, code_of, is_for_good
from waypost.limits import DEFAULT_PORT
from waypost.links.pump import Pump, greet
from waypost.links.stream import Stream
from waypost.protocol.directory.asks import Ask, Claim, ClaimAnswer, Join, JoinReply, Publish, PublishReply
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Answer, Role
from waypost.protocol.frames.session import Answered, Closed, Event, Signalled
from waypost_lab.book import AppStep
from waypost_lab.exchange import Exchange, Pace
from waypost_lab.profile import SUITE, KeyAnswer, Profile, Unsent

_PACKAGES: Final = 4  #: one-time ones of each upload: few, so that they run out
_PACKAGE_DAYS: Final = 20

#: Told what became of a message at this app: the step, its id, the other side, and the error's number.
Tell = Callable[["App", AppStep, bytes, str, int], None]


class Dialler(Protocol):
    """The network that an app is in."""

    async def dial(self, host: str, port: int) -> Stream: ...


def _nobody(app: App, step: AppStep, ids: bytes, other: str, code: int) -> None:
    """Nobody is told."""


class App:
    """One device of one user. `stay` keeps it connected for a while; `write` may be called at any time."""

    def __init__(
        self, profile: Profile, network: Dialler, clock: Clock, rng: random.Random, pace: Pace | None = None
    ) -> None:
        self.profile = profile
        self.address = profile.address
        self.node = profile.address.rpartition("@")[2]
        self.tell: Tell = _nobody
        self.closed: Closed | None = None
        self.connects = 0
        self._network = network
        self._clock = clock
        self._rng = rng
        self._pace = pace or Pace()
        self.exchange = Exchange(profile, self._told, rng, self._pace)
        self._pump: Pump | None = None
        self._suites: dict[bytes, str] = {}  #: of requests for keys
        self._changed = trio.Event()

    def _told(self, step: AppStep, ids: bytes, other: str, code: int) -> None:
        self.tell(self, step, ids, other, code)

    @property
    def connected(self) -> bool:
        session = self.exchange.session
        return session is not None and not session.closed

    def write(self, recipient: str, body: bytes = b"", **options: int) -> Unsent:
        """Put a message into the profile; it goes at once if the app is connected."""
        [unsent] = self.write_many(recipient, [body], **options)
        return unsent

    def write_many(self, recipient: str, bodies: Sequence[bytes], **options: int) -> list[Unsent]:
        """The same for many at once."""
        written = [self.profile.write(recipient, self._clock.wall_ms(), body, **options) for body in bodies]
        for each in written:
            self._told(AppStep.SENT, each.id, recipient, 0)
        self._flush()
        return written

    def claim(self, address: str, suite: str = SUITE) -> bytes:
        """Ask for somebody's keys, now or once it is connected; returns the request's id."""
        request = self.profile.claim(address)
        self._suites[request] = suite
        self._ask_claim(request, address)
        return request

    def repeat_claim(self, request: bytes) -> None:
        """Ask once more what has been asked already."""
        address = self.profile.claims[request] = self.profile.asked[request]
        self._ask_claim(request, address)

    def publish(self) -> None:
        """Offer keys for others to write with, now or once it is connected. A lost answer is simply repeated."""
        self.profile.to_publish = True
        self._publish()

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something that an event brings. Raises trio.TooSlowError."""
        with trio.fail_after(seconds):
            while not condition():
                await self._changed.wait()

    # ── links ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def join(self, invite: str) -> None:
        """Become the account's device. Raises WaypostError."""
        token = parse_invite(invite).token
        answers: list[Answer] = []
        async with trio.open_nursery() as nursery:
            await self._open()
            nursery.start_soon(self._run)
            self._ask(Join(token, self.profile.device_list(), "lab"), answers.append)
            await self.until(lambda: bool(answers))
            self.leave()
        if answers[0].code:
            raise Refused(code_of(answers[0].code) or Code.INTERNAL, "join")
        self.profile.epoch = read(answers[0].body, JoinReply).epoch

    async def stay(self, until: Instant = NEVER) -> None:
        """Be connected until then, as far as the node and the network allow."""
        failures = 0
        while trio.current_time() < until:
            with trio.move_on_at(until), suppress(WaypostError):
                await self._open()
                failures = 0
            if self.connected:
                await self._live(until)
            steps = self._pace.reconnect_s
            step_s = steps[min(failures, len(steps) - 1)]
            failures += 1
            await trio.sleep_until(min(until, trio.current_time() + step_s * (1 - self._rng.random() / 2)))

    async def _live(self, until: Instant) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_at, until)
            nursery.start_soon(self._resend)
            await self._run()
            nursery.cancel_scope.cancel()

    def leave(self) -> None:
        """Say goodbye."""
        if self._pump is not None:
            self._pump.close(Code.CLOSING)

    async def _leave_at(self, until: Instant) -> None:
        await trio.sleep_until(until)
        self.leave()

    async def _open(self) -> None:
        stream = await self._network.dial(self.node, DEFAULT_PORT)
        own = Own(Role.DEVICE, self.profile.address, self.profile.key)
        handshake = Handshake(own, stream.channel, self._clock.wall_ms())
        identity = await greet(stream, handshake)
        if identity.name != self.node:
            raise Refused(Code.WRONG_PEER, identity.name)
        session = handshake.finish(trio.current_time())
        self.exchange.use(session)
        self.closed = None
        self.connects += 1
        self._pump = Pump(stream, session, self._handle)

    async def _run(self) -> None:
        if self._pump is None:
            raise RuntimeError("not connected")
        self._flush()
        if self.profile.to_publish:
            self._publish()
        for request, address in list(self.profile.claims.items()):
            self._ask_claim(request, address)
        try:
            await self._pump.run()
        finally:
            self._pump = None
            self.exchange.use(None)

    # ── what it says ────────────────────────────────────────────────────────────────────────────────────────────────

    def _flush(self) -> None:
        self.exchange.flush(trio.current_time())
        if self._pump is not None:
            self._pump.wake()

    async def _resend(self) -> None:
        """Offer again what was refused for now, when its time has come."""
        while True:
            with trio.CancelScope(deadline=self.exchange.due_at(trio.current_time())):
                await self._changed.wait()
            self._flush()

    def _ask(self, ask: Ask, then: Callable[[Answer], None]) -> None:
        session = self.exchange.session
        if session is not None and self._pump is not None and session.can_ask:
            session.ask(ask, then, trio.current_time())
            self._pump.wake()

    def _ask_claim(self, request: bytes, address: str) -> None:
        def then(answer: Answer) -> None:
            if answer.code == Code.TIMED_OUT.number or (answer.code and not is_for_good(answer.code)):
                return  # asked again over the next link
            self.profile.claims.pop(request, None)
            reply = read(answer.body, ClaimAnswer).reply if answer.code == 0 else b""
            self.profile.answers.setdefault(request, []).append(KeyAnswer(answer.code, reply))
            self._told(AppStep.CLAIMED, request, address, answer.code)

        self._ask(Claim(request, address, (self._suites.get(request, SUITE),)), then)

    def _publish(self) -> None:
        profile = self.profile
        expires_ms = self._clock.wall_ms() + _PACKAGE_DAYS * DAY_MS
        packages = tuple(profile.package(number, expires_ms) for number in range(_PACKAGES))
        last_resort = profile.package(_PACKAGES, expires_ms, last_resort=True)

        def then(answer: Answer) -> None:
            if answer.code:
                return
            reply = read(answer.body, PublishReply)
            if reply.epoch == profile.epoch:
                profile.published += 1
                profile.to_publish = False
            else:
                # The directory is that of a backup: what was believed to be there may be gone.
                profile.epoch = reply.epoch
                self._publish()

        self._ask(Publish(profile.upload(), profile.epoch, packages, last_resort), then)

    # ── what it hears ───────────────────────────────────────────────────────────────────────────────────────────────

    def _handle(self, events: list[Event]) -> None:
        now, wall_ms = trio.current_time(), self._clock.wall_ms()
        for event in events:
            match event:
                case Answered(token, answer):
                    token(answer)  # type: ignore[operator] # what `_ask` gave
                case Closed():
                    self.closed = event
                case Signalled():
                    pass
                case _:
                    if not self.exchange.handle(event, now, wall_ms):
                        raise AssertionError(event)
        if self._pump is not None:
            self._pump.wake()
        self._changed.set()
        self._changed = trio.Event()
