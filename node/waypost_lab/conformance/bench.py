"""What a check is given: peers, devices, providers of its own, and the node to judge."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import trio

from waypost.clock import DAY_MS, MINUTE_MS, WallMs
from waypost.crypto.keys import SigningKey, envelope_id
from waypost.errors import Code, describe, is_for_good
from waypost.limits import HANDSHAKE_TIMEOUT_S
from waypost.links.stream import Stream
from waypost.protocol.directory.asks import Claim, JoinReply, Records
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, RecordState, sign_record
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.messages import Hello, Role
from waypost_lab.conformance.check import Failed, Need, fail
from waypost_lab.conformance.meeting import Ground
from waypost_lab.conformance.peer import Identity, Party
from waypost_lab.conformance.residents import Guests, Resident, fresh_key, join, open_to_all
from waypost_lab.conformance.sender_watch import Witness

_CLOSE_S = 5.0
ARRIVAL_S = 30.0  #: for the node to dial where it was told to
_RETRY_S = 1.0
_TRIES = 30


@dataclass
class Site:
    """What all checks share. `node` is the node's Hello to the first link."""

    ground: Ground
    needs_met: frozenset[Need]
    witness: Witness = field(default_factory=Witness)
    people: tuple[Resident, Resident] | None = None
    joined: JoinReply | None = None  #: the node's answer to alice
    guests: Guests | None = None
    node: Hello | None = None
    people_lock: trio.Lock = field(default_factory=trio.Lock)

    async def meet(self, guests: Guests | None) -> None:
        """Look whether a stranger is let in, and let the users join. Raises Failed, LocalError, LinkBroken."""
        async with opened_bench(self, CheckTime(trio.CancelScope())) as bench:
            first = await bench.peer()
            self.node, _ = await first.their_hello()
            if guests is not None:
                self.guests = guests
                alice, self.joined = await self._join(bench, guests.alice)
                bob, _ = await self._join(bench, guests.bob)
                self.people = (alice, bob)
                for person in self.people:
                    await open_to_all(await bench.device(person.as_device))

    @staticmethod
    async def _join(bench: Bench, invite: Any) -> tuple[Resident, JoinReply]:
        key = fresh_key()
        link = await bench.party(Identity(Role.DEVICE, invite.address, key))
        await link.greet()
        return await join(link, invite, key)


@dataclass
class CheckTime:
    """How long a check may take. Waiting for the users, whom another check has, does not count."""

    scope: trio.CancelScope
    waited_s: float = 0.0

    def waited(self, seconds: float) -> None:
        self.waited_s += seconds
        self.scope.deadline += seconds


class Bench:
    """See the module. Made by `opened_bench`."""

    def __init__(self, site: Site, time: CheckTime, nursery: trio.Nursery) -> None:
        self.site = site
        self.time = time
        self.nursery = nursery
        self._streams: list[Stream] = []

    async def give_up(self) -> None:
        """Part with all connections that it has made."""
        with trio.CancelScope(shield=True), trio.move_on_after(_CLOSE_S):
            for stream in self._streams:
                await stream.aclose()

    @property
    def ground(self) -> Ground:
        return self.site.ground

    def wall_ms(self) -> WallMs:
        return self.ground.wall_ms()

    @property
    def node(self) -> Hello:
        """What the node said of itself at first."""
        if self.site.node is None:
            raise ValueError("the node has not been met yet")
        return self.site.node

    # ── links that the checker dials ────────────────────────────────────────────────────────────────────────────────

    def keep(self, stream: Stream) -> None:
        """It is given up with the bench."""
        self._streams.append(stream)

    def adopt(self, stream: Stream, own: Identity) -> Party:
        """A party on a connection that is there, listening already."""
        self.keep(stream)
        party = Party(stream, own, self.site.witness, self.wall_ms)
        self.nursery.start_soon(party.run)
        return party

    def stranger(self, **fields: Any) -> Identity:
        """A node that nobody has ever heard of."""
        name = f"c{secrets.token_hex(6)}.local"
        return Identity(Role.NODE, fields.pop("name", name), fields.pop("key", fresh_key()), **fields)

    async def party(self, own: Identity | None = None) -> Party:
        """A connection to the node on which nothing has been said yet."""
        return self.adopt(await self.ground.dial(), own or self.stranger())

    async def peer(self, own: Identity | None = None, *, takes: bool = True) -> Party:
        """A link as a peer node that has been let in; `takes`: whether it acknowledges what it is offered."""
        party = await self.party(own)
        party.manners.takes = takes
        await party.greet()
        await party.lives()
        return party

    async def turned_away(self, own: Identity, code: Code) -> None:
        """Whoever greets the node like that must be left with that code."""
        party = await self.party(own)
        await party.greet()
        await party.end(code)

    async def device(self, own: Identity, *, takes: bool = True) -> Party:
        """A link as a device that has been let in."""
        return await self.peer(own, takes=takes)

    @asynccontextmanager
    async def people(self) -> AsyncIterator[tuple[Party, Party]]:
        """Alice's and bob's devices, connected, for this check alone."""
        alice, bob = await self._have_people()
        try:
            yield await self.device(alice.as_device), await self.device(bob.as_device)
        finally:
            self.site.people_lock.release()

    @asynccontextmanager
    async def persons(self) -> AsyncIterator[tuple[Resident, Resident]]:
        """The same users, none of them connected yet."""
        try:
            yield await self._have_people()
        finally:
            self.site.people_lock.release()

    async def _have_people(self) -> tuple[Resident, Resident]:
        if self.site.people is None:
            raise ValueError("a check that needs users must say so")
        before = trio.current_time()
        await self.site.people_lock.acquire()
        self.time.waited(trio.current_time() - before)
        return self.site.people

    # ── what peers and devices send ─────────────────────────────────────────────────────────────────────────────────

    def envelope(self, sender: str, *recipients: str, **fields: Any) -> bytes:
        """One unlike any other. `fields`: created_ms, expires_s, class_, suite, body, provider, and `more` elements."""
        users = [recipient.rpartition("@")[0] for recipient in recipients]
        provider = fields.get("provider", recipients[0].rpartition("@")[2])
        body = fields.get("body", secrets.token_bytes(24))
        created_ms, expires_s = fields.get("created_ms", self.wall_ms()), fields.get("expires_s", 3_600)
        head = (1, provider, users, sender, created_ms, expires_s, fields.get("class_", 0))
        return pack((*head, fields.get("suite", "x-check"), body, *fields.get("more", ())))

    def record(self, own: Identity, sequence: int = 0, signer: SigningKey | None = None, **fields: Any) -> bytes:
        """A signed node record; `sequence` counts from now, in minutes, so that no time that passes matters."""
        now_ms = self.wall_ms()
        values: dict[str, Any] = {
            "version": 1,
            "name": own.name,
            "key": own.key.public,
            "sequence": now_ms + sequence * MINUTE_MS,
            "issued_ms": now_ms,
            "expires_ms": now_ms + DAY_MS,
            "endpoints": (),
            "features": (),
            "state": RecordState.ACTIVE,
            **fields,
        }
        return sign_record(NodeRecord(**values), signer or own.key)

    async def send(self, link: Party, envelope: bytes) -> bytes:
        """Offer it until it is taken; its id. A refusal for now is waited out, one for good raises Failed."""
        for _ in range(_TRIES):
            refused = await link.offer(envelope)
            if not refused:
                return envelope_id(envelope)
            if is_for_good(refused[0]):
                fail(f"an envelope that should have been taken is refused: {describe(refused[0])}")
            await trio.sleep(_RETRY_S)
        return fail("an envelope that should have been taken is refused for now, again and again")

    async def mail(self, link: Party, *recipients: str, **fields: Any) -> bytes:
        """Send an envelope of that device's user; its id."""
        return await self.send(link, self.envelope(link.own.name, *recipients, **fields))

    # ── links that the node dials ───────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def provider(self, own: Identity | None = None, *, announce: bool = True) -> AsyncIterator[Door]:
        """A provider of the checker's own at which the node can knock; its record is told to the node."""
        own = own or self.stranger()
        send, receive = trio.open_memory_channel[Party](16)

        async def arrived(stream: Stream) -> None:
            party = self.adopt(stream, own)
            await send.send(party)
            while party.ended is None:  # noqa: ASYNC110 - the stream is closed when this returns
                await trio.sleep(0.05)

        async with self.ground.listen(arrived) as endpoint:
            door = Door(self, own, endpoint, receive)
            if announce:
                await door.announce()
            yield door


@dataclass
class Door:
    """A provider of the checker's own, and who has come to it."""

    bench: Bench
    own: Identity
    endpoint: RecordEndpoint
    arrivals: trio.MemoryReceiveChannel[Party]

    @property
    def name(self) -> str:
        return self.own.name

    def record(self, **fields: Any) -> bytes:
        return self.bench.record(self.own, endpoints=(self.endpoint,), **fields)

    async def announce(self) -> None:
        """Some peer tells the node where this one is."""
        herald = await self.bench.peer()
        await herald.answered(Records((self.record(),)))
        await herald.close()

    def want(self, device: Party) -> None:
        """Make the node dial: somebody asks for the keys of a user here."""
        ask = Claim(secrets.token_bytes(16), f"someone@{self.name}", ("x-check",))
        self.bench.nursery.start_soon(self._want, device, ask)

    @staticmethod
    async def _want(device: Party, ask: Claim) -> None:
        # Whether there is an answer is no matter here.
        with suppress(Failed):
            await device.ask(ask, within_s=3 * HANDSHAKE_TIMEOUT_S)

    async def arrival(self) -> Party:
        """The node's next connection, on which nothing has been said yet. Raises Failed."""
        with trio.move_on_after(ARRIVAL_S):
            return await self.arrivals.receive()
        return fail(f"the node did not dial {self.name}, whose record it was told, within {ARRIVAL_S:.0f} s")

    async def welcomed(self) -> Party:
        """The same, with the handshake done."""
        party = await self.arrival()
        await party.greet()
        return party


def refused_with(refused: dict[int, int], *codes: Code | None) -> None:
    """The verdicts of a batch must be these, in order; None: taken."""
    expected = {index: code.number for index, code in enumerate(codes) if code is not None}
    if refused != expected:
        told = {index: describe(code) for index, code in refused.items()}
        fail(f"expected {[str(code) if code else 'taken' for code in codes]}, got {told or 'all taken'}")


@asynccontextmanager
async def opened_bench(site: Site, time: CheckTime) -> AsyncIterator[Bench]:
    """At its end the connections are given up, and whatever still runs on them."""
    async with trio.open_nursery() as nursery:
        bench = Bench(site, time, nursery)
        try:
            yield bench
        finally:
            await bench.give_up()
            nursery.cancel_scope.cancel()
