"""A small node for the client to talk to, in memory: it keeps what it is given and does as the test says."""

import itertools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup
from tests.client.people import Person

from waypost.client import Parts
from waypost.clock import DAY_MS
from waypost.crypto.keys import SigningKey, envelope_id
from waypost.errors import Code
from waypost.links.errors import LinkBroken, Trouble
from waypost.links.memory import MemoryStream, memory_link
from waypost.links.pump import Pump, greet
from waypost.links.stream import Stream
from waypost.protocol.custody.transfer import Offered, Outcome, Refusal, Settled
from waypost.protocol.directory.asks import (
    Ask,
    AskReach,
    Claim,
    ClaimReply,
    DeviceKeys,
    Join,
    JoinReply,
    Publish,
    PublishReply,
    ReachReply,
    Track,
    TrackReply,
    TrackRow,
)
from waypost.protocol.directory.bundle import open_device_list, sign_claim
from waypost.protocol.directory.invite import Invite, invite_text
from waypost.protocol.directory.record import NodeRecord, RecordEndpoint, sign_record
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.handshake import Handshake, Own
from waypost.protocol.frames.messages import Answer, Notice, Role
from waypost.protocol.frames.session import Asked, Closed, Event, Session

T = TypeVar("T")

START_MS = 1_800_000_000_000
PROVIDER = "birdy.example"
ENDPOINT = RecordEndpoint("node.birdy.example", 7711)


async def inline(work: Callable[[], T]) -> T:
    """In virtual time a worker thread would let the clock run."""
    await anyio.lowlevel.checkpoint()
    return work()


def record_of(provider: str, key: SigningKey, now_ms: int) -> bytes:
    return sign_record(NodeRecord(1, provider, key.public, 1, now_ms, now_ms + DAY_MS, (ENDPOINT,), ()), key)


@dataclass
class Account:
    """What the node knows of one of its users."""

    address: str
    device: bytes = b""
    device_list: bytes = b""
    packages: list[bytes] = field(default_factory=list)
    last_resort: bytes = b""
    label: str = ""


class Served:
    """One link, from the node's side."""

    def __init__(self, node: "Node", address: str, stream: Stream, session: Session) -> None:
        self.address = address
        self.session = session
        self.pump = Pump(stream, session, self._handle)
        self._node = node
        self._settled: dict[object, tuple[anyio.Event, list[Refusal]]] = {}

    async def hand_over(self, envelopes: list[bytes]) -> dict[int, int]:
        """Offer mail; the codes of what was refused, by index. Raises LinkBroken without a receipt."""
        ids = [envelope_id(data) for data in envelopes]
        return await self._until_settled(lambda token: self.session.offer(envelopes, ids, token))

    async def report(self, *outcomes: Outcome) -> None:
        await self._until_settled(lambda token: self.session.report(outcomes, token))

    def notice(self, notice: Notice) -> None:
        self.session.notice(notice)
        self.pump.wake()

    async def _until_settled(self, say: Callable[[object], None]) -> dict[int, int]:
        token, done, refusals = object(), anyio.Event(), list[Refusal]()
        self._settled[token] = (done, refusals)
        say(token)
        self.pump.wake()
        await done.wait()
        if self._settled.pop(token, None) is None:
            raise LinkBroken(Trouble.LOST)
        return {refusal.index: refusal.code for refusal in refusals}

    def _handle(self, events: list[Event]) -> Awaitable[None] | None:
        for event in events:
            match event:
                case Offered():
                    self._node.take(self, event)
                case Settled():
                    done, refusals = self._settled[event.token]
                    refusals += event.refusals
                    done.set()
                case Asked():
                    answer = self._node.answer(self, event.ask)
                    if answer is not None:
                        self.session.answer(event.id, answer.code, answer.text, answer.body, answer.signature)
                case Closed():
                    waiting = list(self._settled.values())
                    self._settled.clear()
                    for done, _ in waiting:
                        done.set()
                case _:
                    pass
        return None


class Node:
    """See the module. `verdict`, `claim_code` and `mute` are for tests to set."""

    def __init__(self, tasks: TaskGroup, *, virtual: bool) -> None:
        self.virtual = virtual
        self.key = SigningKey(b"n" * 32)
        self.tasks = tasks
        self.start_ms = START_MS
        self.epoch = 7
        self.up = True
        self.accounts: dict[str, Account] = {}
        self.people: dict[str, Person] = {}
        self.tokens: dict[bytes, str] = {}
        self.served: dict[str, Served] = {}
        self.streams: list[MemoryStream] = []
        self.taken: list[bytes] = []  #: envelopes, in the order of their acceptance
        self.asks: list[Ask] = []
        self.dials = 0
        self.verdict: Callable[[bytes], Refusal | int] = lambda _: 0
        self.claim_code: dict[str, int] = {}
        self.altered: Callable[[ClaimReply], ClaimReply] = lambda reply: reply
        self.has_a_double = False  #: another node answers claims for this provider
        self.mute: tuple[type, ...] = ()  #: requests left without an answer
        self.receipts = True
        self.change = anyio.Event()
        self._exporters = itertools.count()
        self._random = itertools.count()

    # ── for the client ──────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def now_ms(self) -> int:
        return self.start_ms + (int(anyio.current_time() * 1000) if self.virtual else 0)

    def parts(self) -> Parts:
        async def dial(host: str, port: int) -> Stream:
            self.dials += 1
            if not self.up:
                raise LinkBroken(Trouble.REFUSED, f"{host} port {port}")
            ours, theirs = memory_link(next(self._exporters).to_bytes(32, "big"))
            self.streams.append(theirs)
            self.tasks.start_soon(self._serve, theirs)
            return ours

        parts = Parts(lambda *_: dial, lambda: self.now_ms)
        return replace(parts, offload=inline) if self.virtual else parts

    def invite(self, user: str) -> str:
        token, address = bytes([len(self.tokens) + 1]) * 16, f"{user}@{PROVIDER}"
        self.tokens[token] = address
        return invite_text(Invite(1, address, token, self.key.public, (ENDPOINT,), self.now_ms + DAY_MS))

    # ── for the test ────────────────────────────────────────────────────────────────────────────────────────────────

    async def until(self, what: Callable[[], object]) -> None:
        """Wait for something that the client makes happen here."""
        while not what():
            await self.change.wait()

    async def link_of(self, address: str) -> Served:
        await self.until(lambda: address in self.served)
        return self.served[address]

    def cut(self) -> None:
        """All links break off."""
        for stream in self.streams:
            stream.cut()
        self.streams.clear()

    async def deliver(self, address: str, *envelopes: bytes) -> dict[int, int]:
        return await (await self.link_of(address)).hand_over(list(envelopes))

    def package_of(self, address: str) -> bytes:
        """What a claim of that address would get."""
        account = self.accounts[address]
        return account.packages.pop(0) if account.packages else account.last_resort

    # ── the node itself ─────────────────────────────────────────────────────────────────────────────────────────────

    def _tell(self) -> None:
        self.change.set()
        self.change = anyio.Event()

    async def _serve(self, stream: MemoryStream) -> None:
        own = Own(Role.NODE, PROVIDER, self.key, record=record_of(PROVIDER, self.key, self.now_ms), epoch=self.epoch)
        handshake = Handshake(own, stream.channel, self.now_ms)
        try:
            peer = await greet(stream, handshake)
        except Exception:  # noqa: BLE001  # reason: the client looks at what is wrong with this node
            return
        served = Served(self, peer.name, stream, handshake.finish(anyio.current_time()))
        account = self.accounts.get(peer.name)
        if account is not None and account.device == peer.key:
            self.served[peer.name] = served
            self._tell()
        await served.pump.run()
        if self.served.get(peer.name) is served:
            del self.served[peer.name]

    def take(self, served: Served, offered: Offered) -> None:
        refusals = []
        for index, data in enumerate(offered.envelopes):
            verdict = self.verdict(data)
            if isinstance(verdict, Refusal):
                refusals.append(Refusal(index, verdict.code, verdict.retry_s))
            elif verdict:
                refusals.append(Refusal(index, verdict))
            elif data not in self.taken:
                self.taken.append(data)
        if self.receipts:
            served.session.receipt(offered.batch, refusals, self.now_ms)
        self._tell()

    def answer(self, served: Served, ask: Ask) -> Answer | None:
        self.asks.append(ask)
        self._tell()
        if isinstance(ask, self.mute):
            return None
        match ask:
            case Join():
                return self._join(served, ask)
            case Publish():
                return self._publish(served, ask)
            case Claim():
                return self._claim(ask)
            case Track():
                rows = (TrackRow(self.now_ms, "accepted", served.address),)
                return Answer(0, 0, "", pack(TrackReply(rows, "held")))
            case AskReach():
                return Answer(0, 0, "", pack(ReachReply("all" if ask.mode == "show" else ask.mode, ask.providers)))
            case _:
                return Answer(0, Code.BAD_REQUEST.number)

    def _join(self, served: Served, ask: Join) -> Answer:
        address = self.tokens.get(ask.token)
        if address is None or address != served.address:
            return Answer(0, Code.INVITE_INVALID.number)
        devices = open_device_list(ask.device_list, address)
        known = self.accounts.get(address)
        if known is not None and known.device not in devices.devices:
            return Answer(0, Code.INVITE_INVALID.number)
        self.accounts[address] = Account(address, devices.devices[0], ask.device_list, label=ask.label)
        reply = JoinReply(address, record_of(PROVIDER, self.key, self.now_ms), self.epoch)
        return Answer(0, 0, "", pack(reply))

    def _publish(self, served: Served, ask: Publish) -> Answer:
        account = self.accounts[served.address]
        if ask.epoch == self.epoch:
            account.packages += ask.packages
            account.last_resort = ask.last_resort or account.last_resort
        return Answer(0, 0, "", pack(PublishReply(len(account.packages), self.epoch)))

    def _claim(self, ask: Claim) -> Answer:
        if code := self.claim_code.get(ask.address):
            return Answer(0, code)
        account, person = self.accounts.get(ask.address), self.people.get(ask.address)
        key, provider = self.key, ask.address.rpartition("@")[2]
        if account is not None:
            devices, keys = account.device_list, (DeviceKeys(account.device, "one-time", self.package_of(ask.address)),)
        elif person is not None:
            devices = person.device_list()
            keys = (DeviceKeys(person.device.public, "one-time", person.package()),)
        else:
            return Answer(0, Code.NOT_FOUND.number)
        if provider != PROVIDER or self.has_a_double:
            key = SigningKey(b"p" * 32)
        reply = self.altered(ClaimReply(ask.request, ask.address, self.now_ms, devices, keys))
        return Answer(0, 0, "", pack(sign_claim(reply, key, record_of(provider, key, self.now_ms))))
