"""Requests and who answers them: each family has a table, the dispatcher checks what holds for all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, TypeVar

from waypost.errors import Code, LocalError, PeerFault, Refused
from waypost.ids import Address, Provider
from waypost.limits import QUERY_BURST, QUERY_RATE_PER_S
from waypost.protocol.directory.asks import Ask
from waypost.protocol.frames.codec import Positional, pack
from waypost.protocol.frames.session import Asked
from waypost.relay.accounts import Accounts, LocalUser
from waypost.relay.link import Link
from waypost.relay.tasks import Surroundings, contained
from waypost.routing.quota import Buckets

BUCKETS_MAX = 16_384

A = TypeVar("A")


class Asker(Enum):
    """Who asks."""

    NODE = "node"
    DEVICE = "device"  #: of a local account
    STRANGER = "stranger"  #: a device that no account lists


@dataclass(frozen=True, slots=True)
class Caller:
    """The asking side of a link. `user`: the device's account."""

    asker: Asker
    key: bytes
    source: str  #: a provider, or the address that the device says it is of
    user: LocalUser | None

    @property
    def provider(self) -> Provider:
        return Address.of(self.source).provider

    @property
    def account(self) -> LocalUser:
        """Of a device; for services that `Asker.DEVICE` alone may ask. Raises Refused(FORBIDDEN) for any other."""
        if self.user is None:
            raise Refused(Code.FORBIDDEN)
        return self.user


@dataclass(frozen=True, slots=True)
class Reply:
    body: bytes
    signature: bytes = b""


def reply(value: Positional) -> Reply:
    """An unsigned one."""
    return Reply(pack(value))


@dataclass(frozen=True)
class Rate(Generic[A]):
    """A limit beside the one on all requests. `key` says whose bucket a request is taken from; None: nobody's."""

    buckets: Buckets[tuple[str, str]]
    key: Callable[[Caller, A], tuple[str, str] | None]


@dataclass(frozen=True)
class Service(Generic[A]):
    """How one kind of request is answered. `answer` may raise Refused, LocalError, or PeerFault: the request is bad."""

    askers: frozenset[Asker]
    answer: Callable[[Caller, A], Awaitable[Reply]]
    rate: Rate[A] | None = None


#: Kind of request → its service.
Table = Mapping[type[Ask], Service[Any]]


class Services:
    """Answers requests. Each has a task of its own; a session bounds how many it may have open."""

    def __init__(self, around: Surroundings, accounts: Accounts, tables: Iterable[Table]) -> None:
        self._clock = around.clock
        self._log = around.log
        self._tasks = around.tasks
        self._accounts = accounts
        self.table = {kind: service for table in tables for kind, service in table.items()}
        # By key, since whoever has not joined may claim any name.
        self._queries: Buckets[bytes] = Buckets(QUERY_RATE_PER_S, QUERY_BURST, BUCKETS_MAX)

    def asked(self, link: Link, asked: Asked) -> None:
        """Answer when the answer is known."""
        self._tasks.start_soon(self._answer, link, asked)

    async def _answer(self, link: Link, asked: Asked) -> None:
        answered = False
        with contained(self._log, "request", peer=link.source):
            await self._try_to_answer(link, asked)
            answered = True
        if not answered:
            link.session.answer(asked.id, Code.INTERNAL.number)
        link.wake()

    async def _try_to_answer(self, link: Link, asked: Asked) -> None:
        try:
            found = await self._serve(self._caller(link), asked.ask)
            link.session.answer(asked.id, 0, "", found.body, found.signature)
        except PeerFault as fault:
            # The request is at fault, not the link.
            link.session.answer(asked.id, Code.BAD_REQUEST.number, fault.code.title)
        except (Refused, LocalError) as error:
            code = error.code if isinstance(error, Refused) else Code.INTERNAL
            if code is Code.INTERNAL:
                self._log.warning("request failed", reason=str(error))
            link.session.answer(asked.id, code.number)

    async def _serve(self, caller: Caller, ask: Ask) -> Reply:
        now = self._clock.instant()
        if not self._queries.take(caller.key, 1, now):
            raise Refused(Code.RATE_LIMITED)
        service = self.table[type(ask)]
        if caller.asker not in service.askers:
            raise Refused(Code.FORBIDDEN)
        whose = service.rate.key(caller, ask) if service.rate else None
        if service.rate and whose is not None and not service.rate.buckets.take(whose, 1, now):
            raise Refused(Code.RATE_LIMITED)
        return await service.answer(caller, ask)

    def _caller(self, link: Link) -> Caller:
        if not link.is_device:
            return Caller(Asker.NODE, link.peer.key, link.source, None)
        user = self._accounts.of_device(link.peer.key)
        return Caller(Asker.STRANGER if user is None else Asker.DEVICE, link.peer.key, link.source, user)
