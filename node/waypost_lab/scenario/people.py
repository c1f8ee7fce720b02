"""The people of a scenario, each with an app: what they wrote, what they were told of it, and what they saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from waypost.client import Client, Message, Sent, SentState
from waypost.errors import Code, LocalError, WaypostError
from waypost.ids import id_text
from waypost.limits import EXPIRY_MAX_S
from waypost.protocol.frames.codec import ID_BYTES
from waypost.protocol.frames.messages import NoticeKind
from waypost_lab.app import App
from waypost_lab.testnet import Network


@dataclass(eq=False)
class Written:
    """A message. `told`: what its sender was told of it, in that order, with the error's number."""

    text: str
    sender: str
    recipient: str
    at: float
    told: list[tuple[str, int]] = field(default_factory=list)
    id: str = ""  #: the envelope's, once there is one
    number: int = 0  #: the first is 1

    @property
    def is_over(self) -> bool:
        return any(state in ("delivered", "bounced", "expired") for state, _ in self.told)


@dataclass
class Log:
    """All messages of a scenario, and whoever wants to hear of their steps: message, step, code."""

    written: list[Written] = field(default_factory=list)
    by_id: dict[str, Written] = field(default_factory=dict)
    on_step: Callable[[Written, str, int], None] = lambda _written, _step, _code: None

    def named(self, text: str) -> Written:
        """The last with that text."""
        return next(each for each in reversed(self.written) if each.text == text)

    def add(self, written: Written) -> None:
        self.written.append(written)
        written.number = len(self.written)
        self.on_step(written, "sent", 0)

    def identify(self, written: Written, id_: str) -> None:
        written.id = id_
        self.by_id[id_] = written

    def tell(self, written: Written, step: str, code: int) -> None:
        if (step, code) not in written.told[-1:]:
            written.told.append((step, code))
            self.on_step(written, step, code)


@dataclass(eq=False)
class Person(ABC):
    """One user with one app, which is online unless it is said otherwise."""

    name: str
    address: str
    net: Network
    log: Log
    nursery: trio.Nursery
    seen: dict[Written, int] = field(default_factory=dict)  #: how often it was shown
    unreadable: set[str] = field(default_factory=set)  #: texts
    brought_again: set[str] = field(default_factory=set)  #: texts of what the node brought more than once

    @property
    @abstractmethod
    def is_online(self) -> bool: ...

    @abstractmethod
    async def online(self) -> None:
        """Start the app, the first time as a new device. Raises WaypostError."""

    @abstractmethod
    async def write(self, recipient: str, texts: list[str], expires_s: int = EXPIRY_MAX_S) -> None:
        """Raises LocalError(BAD_CONFIG) while offline."""

    async def offline(self) -> None:
        await self.net.close(self.address)

    async def crash(self) -> None:
        await self.net.kill(self.address)

    def _see(self, written: Written) -> None:
        self.seen[written] = self.seen.get(written, 0) + 1
        self.log.on_step(written, "shown", 0)


@dataclass(eq=False)
class SdkPerson(Person):
    """With the SDK: everything is encrypted, and keys matter."""

    accepts_new_key: bool = False  #: of whoever the next messages are for
    _client: Client | None = None
    _session: trio.CancelScope | None = None
    _watching: trio.Nursery = field(init=False)
    _sent: dict[Written, str] = field(default_factory=dict)

    @property
    def is_online(self) -> bool:
        return self._client is not None

    @property
    def client(self) -> Client:
        if self._client is None:
            raise LocalError(Code.BAD_CONFIG, f"{self.name} is offline")
        return self._client

    async def online(self) -> None:
        if self._client is None:
            self._client = await self.net.client(self.address)
            await self.nursery.start(self._live, self._client)

    async def offline(self) -> None:
        self._end()
        await super().offline()

    async def crash(self) -> None:
        self._end()
        await super().crash()

    def _end(self) -> None:
        if self._session is not None:
            self._session.cancel()
        self._client = None

    async def write(self, recipient: str, texts: list[str], expires_s: int = EXPIRY_MAX_S) -> None:
        client = self.client
        for text in texts:
            written = Written(text, self.address, recipient, trio.current_time())
            self.log.add(written)
            try:
                sent = await client.send(recipient, text, expires_s=expires_s, accept_new_key=self.accepts_new_key)
            except WaypostError as error:
                self.log.tell(written, "bounced", error.code.number)
                continue
            self._sent[written] = sent.id
            self._watching.start_soon(self._follow, written, sent)

    async def _live(self, client: Client, task_status: trio.TaskStatus[None]) -> None:
        with trio.CancelScope() as self._session:
            async with trio.open_nursery() as self._watching:
                for written, local in self._sent.items():
                    if not written.is_over:
                        self._watching.start_soon(self._follow, written, await client.sent(local))
                task_status.started()
                async for message in client.inbox():
                    written = self._which(message)
                    if message.error:
                        self.unreadable.add(written.text)
                    self._see(written)

    async def _follow(self, written: Written, sent: Sent) -> None:
        async for status in sent.states():
            if sent.is_sealed and not written.id:
                self.log.identify(written, sent.id)
            if status.state is not SentState.QUEUED:
                self.log.tell(written, status.state.value, status.code)

    def _which(self, message: Message) -> Written:
        """It may be here before its sender has been told its id."""
        written = self.log.by_id.get(message.id)
        if written is None and not message.error:
            what = (message.text, message.sender, self.address)
            alike = (each for each in self.log.written if (each.text, each.sender, each.recipient) == what)
            written = next((each for each in alike if not each.id), None)
            if written is not None:
                self.log.identify(written, message.id)
        return written or Written("a message that nobody wrote", message.sender, self.address, trio.current_time())


@dataclass(eq=False)
class LightPerson(Person):
    """With a light app: nothing is encrypted, so thousands of messages are cheap."""

    _app: App | None = None
    _chokes: frozenset[tuple[str, int]] = frozenset()

    @property
    def is_online(self) -> bool:
        return self._app is not None

    @property
    def app(self) -> App:
        if self._app is None:
            raise LocalError(Code.BAD_CONFIG, f"{self.name} is offline")
        return self._app

    async def online(self) -> None:
        if self._app is None:
            self._app = await self.net.app(self.address)
            self._app.tell = self._heard
            self._app.verdict = self._verdict

    async def offline(self) -> None:
        self._app = None
        await super().offline()

    async def crash(self) -> None:
        self._app = None
        await super().crash()

    async def write(self, recipient: str, texts: list[str], expires_s: int = EXPIRY_MAX_S) -> None:
        letters = self.app.write_many(recipient, [text.encode() for text in texts], expires_s=expires_s)
        for text, letter in zip(texts, letters, strict=True):
            written = Written(text, self.address, recipient, trio.current_time())
            self.log.identify(written, id_text(letter.id))
            self.log.add(written)

    def choke(self, text: str, code: Code) -> None:
        """From now on the app answers that to messages of that text."""
        self._chokes |= {(text, code.number)}

    def _verdict(self, id_: bytes) -> int:
        written = self.log.by_id.get(id_text(id_))
        return next((code for text, code in self._chokes if written and written.text == text), 0)

    def _heard(self, _app: App, step: str, ids: bytes, _other: str, code: int) -> None:
        kinds = {f"notice {NoticeKind.HELD}": "held", f"notice {NoticeKind.WAITING}": "waiting"}
        step = kinds.get(step, step)
        if step == "bounced" and code == Code.EXPIRED.number:
            step = "expired"
        for start in range(0, len(ids), ID_BYTES):
            written = self.log.by_id.get(id_text(ids[start : start + ID_BYTES]))
            if written is None:
                continue
            if step == "shown":
                self._see(written)
            elif step == "again":
                self.brought_again.add(written.text)
            elif step in ("accepted", "held", "waiting", "delivered", "bounced", "expired", "refused"):
                self.log.tell(written, "bounced" if step == "refused" else step, code)
