"""Messages between random users of a network, each accounted for."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from waypost.clock import NEVER
from waypost.daemon.ask import ask_node
from waypost.daemon.build import SystemClock
from waypost.errors import Code, WaypostError, describe
from waypost.links import tcp
from waypost.links.tls import TlsStream
from waypost.protocol.custody.fate import State
from waypost.protocol.operator import Why
from waypost_lab.app import App
from waypost_lab.book import Book
from waypost_lab.box.home import Home
from waypost_lab.driver import Account, percentile, tls_of
from waypost_lab.exchange import Pace
from waypost_lab.profile import Profile
from waypost_lab.timeline import AnyEvent, Flow, Latency

BODY_BYTES: Final = (64, 256, 1024)
#: Impatient, so that faults of seconds are seen to pass.
PACE: Final = Pace(reconnect_s=(0.2,), resend_s=(0.5,), batches_max=4)
_UNSENT_MAX: Final = 320  #: of one sender: four batches under way, and one to come
_BURST_MAX: Final = 64
_TICK_S: Final = 0.01
_FLOW_EVERY_S: Final = 1.0
#: Messages on their way that their nodes are asked about; beyond it they are taken to wait as these do.
_ASKED_MAX: Final = 2_000


class Direct:
    """The network of an app that has joined: one way, to its node."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._tls = tls_of(account.key, "device")

    async def dial(self, host: str, port: int) -> TlsStream:
        """Raises LinkBroken. Where an account is, its invite has told."""
        del host, port
        return await tcp.connect(self._account.host, self._account.port, self._tls)


def app_of(account: Account, book: Book, rng: random.Random) -> App:
    """An app for an account that has joined, which tells the book."""
    app = App(Profile(account.address, account.key, account.key), Direct(account), SystemClock(), rng, PACE)
    app.tell = book.told
    return app


@dataclass(frozen=True, slots=True)
class Draft:
    """A message to be written."""

    sender: App
    to: str
    body_bytes: int


@dataclass(frozen=True)
class Crowd:
    """Users of a network, all connected as far as it lets them be, but for those who are still `away`."""

    apps: Sequence[App]
    book: Book
    rng: random.Random
    nursery: trio.Nursery
    away: list[App] = field(default_factory=list)

    def wake(self) -> None:
        """All are there from now on."""
        while self.away:
            self.nursery.start_soon(self.away.pop().stay)

    def draft(self, rng: random.Random) -> Draft:
        """From anyone to anyone else."""
        sender, recipient = rng.sample(self.apps, 2)
        return Draft(sender, recipient.address, rng.choice(BODY_BYTES))

    async def write(self, rate: float, draft: Callable[[random.Random], Draft] | None = None) -> None:
        """So many messages a second, evenly, until cancelled. What a busy machine delays is caught up with."""
        draft = draft or self.draft
        begun, written = trio.current_time(), 0
        while True:
            due = int((trio.current_time() - begun) * rate)
            for _ in range(due - written):
                new = draft(self.rng)
                new.sender.write(new.to, self.rng.randbytes(new.body_bytes))
            written = max(written, due)
            await trio.sleep(_TICK_S)

    @property
    def progress(self) -> str:
        """For people."""
        return f"written {len(self.book.letters)}, accepted {len(self.book.accepted)}, shown {self.book.shown}"

    async def connected(self, within_s: float) -> int:
        """Wait for all to be; returns how many are, after that long."""
        with trio.move_on_after(within_s):
            while not all(app.connected for app in self.apps):  # noqa: ASYNC110 - many may change
                await trio.sleep(_TICK_S)
        return sum(app.connected for app in self.apps)

    async def settled(self, within_s: float) -> bool:
        """Wait until every message is accounted for, or that long; whether it came to that."""
        with trio.move_on_after(within_s):
            await self.until(lambda: self.book.complete, 0.1)
        return self.book.complete

    async def until(self, condition: Callable[[], bool], every_s: float = 0.001) -> None:
        """Looks when something has happened, but no more often than that: counting takes a while."""
        while not condition():
            await self.book.changed.wait()
            await trio.sleep(every_s)

    async def record(self, note: Callable[[AnyEvent], None], now: Callable[[], float]) -> None:
        """Note counts and latencies in the timeline, every second, until cancelled."""
        book, accepted, bounces, shown = self.book, 0, 0, 0
        while True:
            await trio.sleep(_FLOW_EVERY_S)
            late, bounced = book.latencies_ms[shown:], Counter(book.bounces[bounces:])
            expired, so_far = bounced.pop(Code.EXPIRED.number, 0), len(book.accepted)
            counts = {"delivered": len(late), "bounced": bounced.total(), "expired": expired}
            note(Flow(t=now(), every_s=_FLOW_EVERY_S, accepted=so_far - accepted, **counts))
            accepted, bounces, shown = so_far, len(book.bounces), shown + len(late)
            if late:
                p50, p90, p99 = (percentile(late, part) for part in (0.5, 0.9, 0.99))
                spread = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "max_ms": max(late)}
                note(Latency(t=now(), every_s=_FLOW_EVERY_S, count=len(late), **spread))


class Sender:
    """Makes an app write to one address as many messages as it may."""

    def __init__(self, app: App, to: str, rng: random.Random) -> None:
        self.app = app
        self.written = 0
        self._to = to
        self._rng = rng
        self._allowed = 0
        self._stirred = trio.Event()

    def allow(self, messages: int) -> None:
        """Write up to so many in all."""
        self._allowed = messages
        self._stirred.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            room = min(self._allowed - self.written, _UNSENT_MAX - len(self.app.profile.unsent))
            if room > 0:
                size, count = self._rng.choice(BODY_BYTES), self._rng.randint(1, min(room, _BURST_MAX))
                self.app.write_many(self._to, [self._rng.randbytes(size) for _ in range(count)])
                self.written += count
                # A pause now and then: bursts and single messages both meet the kills.
                await trio.sleep(self._rng.choice((0, 0, 0.001, 0.01)))
            elif self.written >= self._allowed:
                self._stirred = trio.Event()
                await self._stirred.wait()
            else:
                await self.app.until(lambda: len(self.app.profile.unsent) < _UNSENT_MAX, NEVER)


@asynccontextmanager
async def crowd(accounts: Sequence[Account], seed: int, away: Collection[str] = ()) -> AsyncIterator[Crowd]:
    """These users come online while the block runs; those `away`, named by their user part, when they are woken."""
    rng, book = random.Random(seed), Book()
    apps = [app_of(account, book, random.Random(rng.random())) for account in accounts]
    async with trio.open_nursery() as nursery:
        people = Crowd(apps, book, rng, nursery)
        for app in apps:
            if app.address.partition("@")[0] in away:
                people.away.append(app)
            else:
                nursery.start_soon(app.stay)
        yield people
        nursery.cancel_scope.cancel()


# ── the account ─────────────────────────────────────────────────────────────────────────────────────────────────────


def whereabouts(home: Home, book: Book) -> Counter[str]:
    """Where those messages are that were accepted and have neither arrived nor come back, as their nodes say.

    `"lost"` counts those that no node holds any more. A node that does not run keeps what it had.
    """
    outstanding = book.outstanding
    found: Counter[str] = Counter()
    for letter in outstanding[:_ASKED_MAX]:
        where = _whereabouts(home, letter.id, letter.sender, letter.recipient)
        # It may have arrived while its nodes were asked.
        found[where] += letter.is_outstanding
    if len(outstanding) > _ASKED_MAX:
        found["not asked about"] = len(outstanding) - _ASKED_MAX
    return +found


def _whereabouts(home: Home, id_: bytes, sender: str, recipient: str) -> str:
    near, far = sender.rpartition("@")[2], recipient.rpartition("@")[2]
    for node in dict.fromkeys((near, far)):
        try:
            with ask_node(home.state(node)) as asked:
                trace = asked.ask(Why(id_.hex()))
        except WaypostError as error:
            return "lost" if error.code is Code.UNKNOWN_MESSAGE else f"{node} does not run"
        match trace.state:
            case State.ACCEPTED | State.QUEUED | State.WAITING | State.DEFERRED:
                reason = f": {describe(trace.code)}" if trace.code else ""
                return f"waits at {node}{reason}"
            case State.BOUNCED | State.EXPIRED:
                return "bounced, its sender has not heard yet"
            case State.HELD:
                continue  # the other node has it
            case _:
                return "lost"
    return "lost"


def account(book: Book, waiting: Counter[str]) -> dict[str, Any]:
    """For people and for JSON. `good`: no promise was broken."""
    facts = book.facts()
    bounces = Counter(letter.fate for letter in book.accepted if letter.fate)
    refusals = Counter(letter.refused for letter in book.letters if letter.refused)
    lost = waiting.pop("lost", 0)
    late = [percentile(book.latencies_ms, part) for part in (0.5, 0.9, 0.99, 1.0)]
    broken = lost + facts["duplicates"] + facts["foreign"] + facts["wrongly_bounced"]
    return {
        "good": not broken,
        "written": len(book.letters),
        **facts,
        "lost": lost,
        "waiting": waiting.total(),
        "unsent": len(book.letters) - facts["accepted"] - facts["refused"],
        "waits": dict(waiting),
        "bounces": _by_name(bounces),
        "refusals": _by_name(refusals),
        "put_off_for": _by_name(book.put_off),
        **{f"{name}_ms": round(value, 1) for name, value in zip(("p50", "p90", "p99", "max"), late, strict=True)},
    }


def _by_name(codes: Counter[int]) -> dict[str, int]:
    return {describe(code): count for code, count in sorted(codes.items())}
