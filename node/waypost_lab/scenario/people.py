"""The people of a scenario, each with an app: what they wrote, what they were told of it, and what they saw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import trio

from waypost.client import Client, Message, Sent, SentState
from waypost.errors import Code, LocalError, WaypostError
from waypost.ids import parse_id
from waypost.limits import EXPIRY_MAX_S
from waypost_lab.app import App
from waypost_lab.book import AppStep, Book, Letter
from waypost_lab.testnet import Network


@dataclass(eq=False)
class Person(ABC):
    """One user with one app, which is online unless it is said otherwise."""

    name: str
    address: str
    net: Network
    book: Book
    nursery: trio.Nursery
    seen: dict[Letter, int] = field(default_factory=dict)  #: how often it was shown
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

    def _sees(self, written: Letter) -> None:
        self.seen[written] = self.seen.get(written, 0) + 1


@dataclass(eq=False)
class SdkPerson(Person):
    """With the SDK: everything is encrypted, and keys matter."""

    accepts_new_key: bool = False  #: of whoever the next messages are for
    _client: Client | None = None
    _session: trio.CancelScope | None = None
    _watching: trio.Nursery = field(init=False)
    _sent: dict[Letter, str] = field(default_factory=dict)

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
            written = self.book.write(Letter(self.address, recipient, trio.current_time(), text=text))
            try:
                sent = await client.send(recipient, text, expires_s=expires_s, accept_new_key=self.accepts_new_key)
            except WaypostError as error:
                self._hears(written, AppStep.BOUNCED, error.code.number)
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
                    self._sees(written)
                    self.book.show(written, trio.current_time())

    async def _follow(self, written: Letter, sent: Sent) -> None:
        async for status in sent.states():
            if sent.is_sealed and not written.id:
                self.book.identify(written, parse_id(sent.id))
            if status.state is not SentState.QUEUED:
                self._hears(written, AppStep(status.state.value), status.code)

    def _hears(self, written: Letter, step: AppStep, code: int) -> None:
        self.book.step(written, step, code, trio.current_time())

    def _which(self, message: Message) -> Letter:
        """It may be here before its sender has been told its id."""
        id_ = parse_id(message.id)
        written = self.book.by_id.get(id_)
        if written is None and not message.error:
            what = (message.text, message.sender, self.address)
            alike = (each for each in self.book.letters if (each.text, each.sender, each.recipient) == what)
            written = next((each for each in alike if not each.id), None)
            if written is not None:
                self.book.identify(written, id_)
        return written or Letter(message.sender, self.address, trio.current_time(), text="a message that nobody wrote")


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
            self._app.exchange.verdict = self._verdict

    async def offline(self) -> None:
        self._app = None
        await super().offline()

    async def crash(self) -> None:
        self._app = None
        await super().crash()

    async def write(self, recipient: str, texts: list[str], expires_s: int = EXPIRY_MAX_S) -> None:
        made = self.app.write_many(recipient, [text.encode() for text in texts], expires_s=expires_s)
        for text, each in zip(texts, made, strict=True):
            self.book.write(Letter(self.address, recipient, trio.current_time(), each.id, text))

    def choke(self, text: str, code: Code) -> None:
        """From now on the app answers that to messages of that text."""
        self._chokes |= {(text, code.number)}

    def _verdict(self, id_: bytes) -> int:
        written = self.book.by_id.get(id_)
        return next((code for text, code in self._chokes if written and written.text == text), 0)

    def _heard(self, app: App, step: AppStep, ids: bytes, other: str, code: int) -> None:
        if step is not AppStep.SENT:  # `write` knows its text
            self.book.told(app, step, ids, other, code)
        written = self.book.by_id.get(ids)
        if written is not None and step is AppStep.SHOWN:
            self._sees(written)
        elif written is not None and step is AppStep.AGAIN:
            self.brought_again.add(written.text)
