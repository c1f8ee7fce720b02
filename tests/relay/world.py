"""A small world for tests of the relay: nodes and devices in one process, on memory links, in virtual time."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import AsyncIterator, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
import trio

from waypost.crypto.keys import SigningKey, envelope_id
from waypost.discovery.source import Sighting
from waypost.errors import WaypostError
from waypost.ids import Provider
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.memory import MemoryStream, memory_link
from waypost.links.pump import Pump, greet
from waypost.protocol.custody.envelope import Envelope, EnvelopeClass, encode_envelope
from waypost.protocol.custody.transfer import Offered, Outcome, Refusal, Reported, Settled
from waypost.protocol.directory.asks import Ask, Join, JoinReply
from waypost.protocol.directory.bundle import DeviceList, sign_device_list
from waypost.protocol.directory.invite import parse_invite
from waypost.protocol.directory.reach import EVERYONE, Reach
from waypost.protocol.directory.record import RecordEndpoint
from waypost.protocol.directory.trust import Mode
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Answer, Notice, Role, Signal
from waypost.protocol.frames.session import Answered, Closed, Event, Noticed, Session, Signalled
from waypost.relay.node import Relay
from waypost.relay.peer import Peer
from waypost.relay.settings import Dns, Platform, Quotas, Rates, Settings
from waypost.storage.memory.engine import MemoryStore
from waypost.storage.store import Store
from waypost_lab.clock import LabClock

VirtualClock = LabClock


class FixedRandom:
    """As much of random.Random as the relay uses."""

    def random(self) -> float:
        return 0.5


def key_of(name: str) -> SigningKey:
    return SigningKey(hashlib.sha256(name.encode()).digest())


@dataclass
class Net:
    """A network of memory links: who listens where, and which ways are cut."""

    nursery: trio.Nursery
    listeners: dict[str, Relay] = field(default_factory=dict)
    streams: dict[str, list[MemoryStream]] = field(default_factory=dict)
    down: set[str] = field(default_factory=set)
    _numbers: Any = field(default_factory=itertools.count)

    async def dial(self, host: str, port: int) -> MemoryStream:
        await trio.lowlevel.checkpoint()
        relay = self.listeners.get(host)
        if relay is None or host in self.down:
            raise LinkBroken(Trouble.REFUSED, f"{host} port {port}")
        exporter = hashlib.sha256(str(next(self._numbers)).encode()).digest()
        near, far = memory_link(exporter)
        self.streams.setdefault(host, []).append(near)
        self.nursery.start_soon(self._serve, relay, far)
        return near

    async def _serve(self, relay: Relay, stream: MemoryStream) -> None:
        try:
            await relay.accept(stream)
        except WaypostError:
            await stream.aclose()

    def cut(self, host: str) -> None:
        """Lose every connection to a host."""
        for stream in self.streams.pop(host, []):
            stream.cut()


@dataclass
class Node:
    relay: Relay
    store: Store
    scope: trio.CancelScope
    clock: VirtualClock
    logs: list[dict[str, Any]]

    @property
    def name(self) -> str:
        return self.relay.settings.provider


class World:
    """Nodes that know each other's address by name: host `finch.local`, any port."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.net = Net(nursery)
        self.nursery = nursery
        self.nodes: dict[str, Node] = {}

    async def node(
        self,
        name: str,
        *,
        store: Store | None = None,
        mode: Mode = Mode.OPEN,
        reach: Reach = EVERYONE,
        rates: Rates | None = None,
        quotas: Quotas | None = None,
        key: SigningKey | None = None,
        skew_ms: int = 0,
        dns: Dns | None = None,
        **more: Any,
    ) -> Node:
        """Start one; a node of the same name that was stopped may be started again with its store."""
        settings = Settings(
            Provider(name),
            mode,
            reach,
            endpoints=(RecordEndpoint(name, 7711),),
            rates=rates or Rates(0, 1, 0, 1),
            quotas=quotas or Quotas(),
            **more,
        )
        logs: list[dict[str, Any]] = []

        def keep(logger: Any, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
            logs.append({**event, "level": method})
            raise structlog.DropEvent

        log = structlog.wrap_logger(None, processors=[keep])
        clock = VirtualClock(skew_ms)
        platform = Platform(clock, self.net, log, dns=dns, random=FixedRandom())  # type: ignore[arg-type]
        store = store if store is not None else MemoryStore()
        relay = Relay(settings, key or key_of(name), store, platform)
        scope = trio.CancelScope()

        async def live(task_status: trio.TaskStatus[None]) -> None:
            with scope:
                await relay.run(task_status=task_status)

        await self.nursery.start(live)
        self.net.listeners[name] = relay
        self.net.down.discard(name)
        node = self.nodes[name] = Node(relay, store, scope, clock, logs)
        return node

    def kill(self, name: str) -> Store:
        """Stop a node without a word; its store stays."""
        node = self.nodes.pop(name)
        self.net.down.add(name)
        del self.net.listeners[name]
        node.scope.cancel()
        self.net.cut(name)
        return node.store

    def introduce(self, one: str, other: str) -> None:
        """As discovery would: one hears where the other is."""
        from waypost.discovery.source import Endpoint

        sighting = Sighting(Provider(other), (Endpoint(other, 7711),), None, None, "static")
        self.nodes[one].relay.peers.sighted(sighting)

    async def linked(self, node: str, peer: str) -> None:
        """Wait until the node has a link to the peer."""
        await self._when(node, lambda: (known := self.peer(node, peer)) is not None and known.link is not None)

    async def unlinked(self, node: str, peer: str) -> None:
        """Wait until it has none."""
        await self._when(node, lambda: (known := self.peer(node, peer)) is None or known.link is None)

    def peer(self, node: str, peer: str) -> Peer | None:
        return self.nodes[node].relay.peers.get(peer)

    async def _when(self, node: str, condition: Callable[[], bool]) -> None:
        with trio.fail_after(60):
            while not condition():  # noqa: ASYNC110 - a relay has no event for every change
                await trio.sleep(0.01)

    async def device(self, node: str, user: str) -> Device:
        """A device that has joined and is connected."""
        invite = parse_invite(await self.nodes[node].relay.add_user(user, again=True))
        device = Device(self, node, invite.address, key_of(f"device of {invite.address}"))
        await device.join(invite.token)
        await device.connect()
        return device


class Device:
    """An app's end of a link, without encryption: bodies are whatever a test sends."""

    def __init__(self, world: World, node: str, address: str, key: SigningKey) -> None:
        self._world = world
        self._node = node
        self.address = address
        self.key = key
        self.inbox: list[Envelope] = []
        self.ids: list[bytes] = []
        self.outcomes: list[Outcome] = []
        self.refused: dict[bytes, int] = {}
        self.accepted: list[bytes] = []
        self.notices: list[Notice] = []
        self.signals: list[Signal] = []
        self.closed: Closed | None = None
        self.verdict: Callable[[bytes], int] = lambda _id: 0
        self.session: Session
        self._pump: Pump
        self._seen: set[bytes] = set()
        self._news = trio.Event()
        self._sent = itertools.count()

    async def _open(self) -> None:
        stream = await self._world.net.dial(self._node, 7711)
        own = Own(Role.DEVICE, self.address, self.key)
        handshake = Handshake(own, stream.channel, VirtualClock().wall_ms())
        await greet(stream, handshake)
        self.session = handshake.finish(trio.current_time())
        self.closed = None
        self._pump = Pump(stream, self.session, self._handle)
        self._world.nursery.start_soon(self._pump.run)

    async def connect(self) -> None:
        await self._open()

    def disconnect(self) -> None:
        from waypost.errors import Code

        self._pump.close(Code.CLOSING)

    async def join(self, token: bytes) -> JoinReply:
        await self._open()
        identity = key_of(f"identity of {self.address}")
        devices = DeviceList(1, self.address, identity.public, 1, (self.key.public,))
        answer = await self.ask(Join(token, sign_device_list(devices, identity), "test"))
        self.disconnect()
        await self.until(lambda: self.closed is not None)
        assert answer.code == 0, answer
        return read(answer.body, JoinReply)

    async def ask(self, ask: Ask) -> Answer:
        answers: list[Answer] = []
        self.session.ask(ask, answers, trio.current_time())
        self._pump.wake()
        await self.until(lambda: bool(answers))
        return answers[0]

    def send(self, to: str, body: bytes = b"hello", **fields: Any) -> bytes:
        """Offer one envelope; returns its id."""
        [id_] = self.send_many(to, [body], **fields)
        return id_

    def send_many(self, to: str, bodies: list[bytes], **fields: Any) -> list[bytes]:
        envelopes = [self.envelope(to, body, **fields) for body in bodies]
        return self.offer(envelopes)

    def offer(self, envelopes: list[bytes]) -> list[bytes]:
        ids: list[bytes] = [envelope_id(envelope) for envelope in envelopes]
        self.session.offer(envelopes, ids, ids)
        self._pump.wake()
        return ids

    def envelope(self, to: str, body: bytes, **fields: Any) -> bytes:
        users, _, provider = to.rpartition("@")
        created_ms = fields.pop("created_ms", VirtualClock().wall_ms())
        # No two alike, as encryption would have it.
        unlike = next(self._sent).to_bytes(4, "big")
        values: dict[str, Any] = {"sender": self.address, "expires_s": 432_000, "suite": "x-test"} | fields
        return encode_envelope(
            Envelope(
                1,
                provider,
                tuple(users.split(",")),
                values["sender"],
                created_ms,
                values["expires_s"],
                EnvelopeClass.TEXT,
                values["suite"],
                unlike + body,
            )
        )

    async def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait for something that an event brings."""
        with trio.fail_after(seconds):
            while not condition():
                await self._news.wait()

    def bodies(self) -> list[bytes]:
        return [envelope.body[4:] for envelope in self.inbox]

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Offered():
                    self._take(event)
                case Reported(batch, outcomes):
                    self.outcomes += outcomes
                    self.session.receipt(batch, (), VirtualClock().wall_ms())
                case Settled(token, _, refusals):
                    refused = {refusal.index: refusal.code for refusal in refusals}
                    ids: list[bytes] = token  # type: ignore[assignment] # what `offer` gave
                    for index, id_ in enumerate(ids):
                        if index in refused:
                            self.refused[id_] = refused[index]
                        else:
                            self.accepted.append(id_)
                case Answered(token, answer):
                    token.append(answer)  # type: ignore[attr-defined]
                case Noticed(notice):
                    self.notices.append(notice)
                case Signalled(signal):
                    self.signals.append(signal)
                case Closed():
                    self.closed = event
                case _:
                    raise AssertionError(event)
        self._news.set()
        self._news = trio.Event()

    def _take(self, offered: Offered) -> None:
        refusals = []
        for index, (id_, data) in enumerate(zip(offered.ids, offered.envelopes, strict=True)):
            code = self.verdict(id_)
            if code:
                refusals.append(Refusal(index, code))
            elif id_ not in self._seen:
                self._seen.add(id_)
                self.ids.append(id_)
                self.inbox.append(read(data, Envelope))
        self.session.receipt(offered.batch, refusals, VirtualClock().wall_ms())


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    async with trio.open_nursery() as nursery:
        made = World(nursery)
        yield made
        nursery.cancel_scope.cancel()
