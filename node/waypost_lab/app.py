"""An app of the lab: a device's end of a link, honest and without encryption, so that thousands fit into one process.

What the SDK does about retries, receipts and duplicates is done here too; bodies are whatever a test sends.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import trio

from waypost.clock import DAY_MS, NEVER, Clock, Instant
from waypost.errors import Code, Refused, WaypostError, code_of, is_for_good
from waypost.limits import DEFAULT_PORT, RECONNECT_S, RESEND_S
from waypost.links.pump import Pump, greet
from waypost.protocol.custody.transfer import Offered, Outcome, Refusal, Reported, Settled
from waypost.protocol.directory.asks import Ask, Claim, ClaimAnswer, Join, JoinReply, Publish, PublishReply
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Answer as Answered_
from waypost.protocol.frames.messages import Role
from waypost.protocol.frames.session import Answered, Closed, Event, Noticed, Session, Signalled
from waypost_lab.fabric import HostNetwork
from waypost_lab.profile import SUITE, Answer, Letter, Profile

_PACKAGES: Final = 4  #: one-time ones of each upload: few, so that they run out
_PACKAGE_DAYS: Final = 20

#: Told what became of a message at this app: sent, accepted, refused, delivered, bounced, shown or again (brought once
#: more); its id, the other side, and the error's number.
Tell = Callable[["App", str, bytes, str, int], None]


def _nobody(app: App, step: str, id_: bytes, other: str, code: int) -> None:
    """Nobody is told."""


class App:
    """One device of one user. `stay` keeps it connected for a while; `write` may be called at any time."""

    def __init__(self, profile: Profile, network: HostNetwork, clock: Clock, rng: random.Random) -> None:
        self.profile = profile
        self.node = profile.address.rpartition("@")[2]
        self.tell: Tell = _nobody
        self.closed: Closed | None = None
        self.verdict: Callable[[bytes], int] = lambda _id: 0  #: what it answers to an envelope; 0: taken
        self._network = network
        self._clock = clock
        self._rng = rng
        self._session: Session | None = None
        self._pump: Pump | None = None
        self._offered: dict[bytes, None] = {}  #: in flight over this link
        self._suites: dict[bytes, str] = {}  #: of requests for keys
        self._changed = trio.Event()

    @property
    def connected(self) -> bool:
        return self._session is not None and not self._session.closed

    def write(self, recipient: str, body: bytes = b"", **options: int) -> Letter:
        """Put a message into the profile; it goes at once if the app is connected."""
        [letter] = self.write_many(recipient, [body], **options)
        return letter

    def write_many(self, recipient: str, bodies: Sequence[bytes], **options: int) -> list[Letter]:
        """The same for many at once."""
        letters = [self.profile.write(recipient, self._clock.wall_ms(), body, **options) for body in bodies]
        for letter in letters:
            self.tell(self, "sent", letter.id, recipient, 0)
        self._flush()
        return letters

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
        answers: list[Answered_] = []
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
            step_s = RECONNECT_S[min(failures, len(RECONNECT_S) - 1)]
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
        self._session = handshake.finish(trio.current_time())
        self._offered.clear()
        self.closed = None
        self._pump = Pump(stream, self._session, self._handle)

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
            self._session = self._pump = None
            self._offered.clear()

    # ── what it says ────────────────────────────────────────────────────────────────────────────────────────────────

    def _flush(self) -> None:
        """Offer what is due and not under way, in the order in which it was written."""
        session, pump = self._session, self._pump
        if session is None or pump is None or session.closed:
            return
        now = trio.current_time()
        due = [
            letter for letter in self.profile.unsent.values() if letter.due <= now and letter.id not in self._offered
        ]
        while due:
            room = session.room
            batch = due[: min(room.envelopes, room.bytes // 2048, 64)]
            if not batch:
                break
            due = due[len(batch) :]
            ids = [letter.id for letter in batch]
            self._offered.update(dict.fromkeys(ids))
            session.offer([letter.envelope for letter in batch], ids, ids)
            pump.wake()

    async def _resend(self) -> None:
        """Offer again what was refused for now, when its time has come."""
        while True:
            # What is due already waits for room, and that comes with an event.
            now = trio.current_time()
            dues = [letter.due for letter in self.profile.unsent.values() if letter.due > now]
            with trio.CancelScope(deadline=min(dues, default=NEVER)):
                await self._changed.wait()
            self._flush()

    def _ask(self, ask: Ask, then: Callable[[Answered_], None]) -> None:
        if self._session is not None and self._pump is not None and self._session.can_ask:
            self._session.ask(ask, then, trio.current_time())
            self._pump.wake()

    def _ask_claim(self, request: bytes, address: str) -> None:
        def then(answer: Answered_) -> None:
            if answer.code == Code.TIMED_OUT.number or (answer.code and not is_for_good(answer.code)):
                return  # asked again over the next link
            self.profile.claims.pop(request, None)
            reply = read(answer.body, ClaimAnswer).reply if answer.code == 0 else b""
            self.profile.answers.setdefault(request, []).append(Answer(answer.code, reply))
            self.tell(self, "claimed", request, address, answer.code)

        self._ask(Claim(request, address, (self._suites.get(request, SUITE),)), then)

    def _publish(self) -> None:
        profile = self.profile
        expires_ms = self._clock.wall_ms() + _PACKAGE_DAYS * DAY_MS
        packages = tuple(profile.package(number, expires_ms) for number in range(_PACKAGES))
        last_resort = profile.package(_PACKAGES, expires_ms, last_resort=True)

        def then(answer: Answered_) -> None:
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
        for event in events:
            match event:
                case Offered():
                    self._take(event)
                case Reported(batch, outcomes):
                    self._learn(batch, outcomes)
                case Settled(token, _, refusals):
                    self._settled(token, refusals)  # type: ignore[arg-type] # what `_flush` gave
                case Answered(token, answer):
                    token(answer)  # type: ignore[operator] # what `_ask` gave
                case Closed():
                    self.closed = event
                case Noticed(notice):
                    self.tell(self, f"notice {notice.kind}", notice.ids, "", notice.code)
                case Signalled():
                    pass
                case _:
                    raise AssertionError(event)
        self._changed.set()
        self._changed = trio.Event()

    def _take(self, offered: Offered) -> None:
        refusals = []
        for index, id_ in enumerate(offered.ids):
            if code := self.verdict(id_):
                refusals.append(Refusal(index, code))
                continue
            times = self.profile.shown[id_] = self.profile.shown.get(id_, 0) + 1
            self.tell(self, "shown" if times == 1 else "again", id_, "", 0)
        self._receipt(offered.batch, refusals)

    def _learn(self, batch: int, outcomes: tuple[Outcome, ...]) -> None:
        for outcome in outcomes:
            for start in range(0, len(outcome.ids), 16):
                self._end(outcome.ids[start : start + 16], outcome)
        self._receipt(batch, [])

    def _end(self, id_: bytes, outcome: Outcome) -> None:
        """As in the SDK: what was delivered stays so, and is not sent again though its own node has no receipt yet."""
        if self.profile.fates.get(id_) in (0, outcome.code):
            return
        self.profile.fates[id_] = outcome.code
        self.profile.unsent.pop(id_, None)
        self.tell(self, "bounced" if outcome.code else "delivered", id_, outcome.recipient, outcome.code)

    def _receipt(self, batch: int, refusals: list[Refusal]) -> None:
        if self._session is not None and self._pump is not None:
            self._session.receipt(batch, refusals, self._clock.wall_ms())
            self._pump.wake()

    def _settled(self, ids: list[bytes], refusals: tuple[Refusal, ...]) -> None:
        refused = {refusal.index: refusal for refusal in refusals}
        for index, id_ in enumerate(ids):
            self._offered.pop(id_, None)
            letter = self.profile.unsent.get(id_)
            if letter is None:
                continue
            refusal = refused.get(index)
            if refusal is None or is_for_good(refusal.code):
                del self.profile.unsent[id_]
                step = "accepted" if refusal is None else "refused"
                if refusal is None:
                    self.profile.accepted.add(id_)
                self.tell(self, step, id_, letter.recipient, refusal.code if refusal else 0)
            else:
                letter.due = trio.current_time() + (refusal.retry_s or self._pause_s(letter))
                letter.tries += 1

    def _pause_s(self, letter: Letter) -> float:
        return RESEND_S[min(letter.tries, len(RESEND_S) - 1)] * (1 + self._rng.random() / 10)
