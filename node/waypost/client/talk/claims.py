"""Fetches the keys of those to whom messages wait, and seals the messages."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import anyio

from waypost.client.mail import history
from waypost.client.mail.history import Changed
from waypost.client.mail.journal import Journal
from waypost.client.mail.link import OpenLink
from waypost.client.mail.outgoing import Outgoing, SealedBody
from waypost.client.mail.status import Status
from waypost.client.mail.waking import Wakeup
from waypost.client.parts import Parts
from waypost.client.profile.database import Database
from waypost.client.schemes.scheme import Scheme
from waypost.client.talk.lookup import KeyLookup
from waypost.clock import NEVER, SECOND_MS, Instant, WallMs
from waypost.errors import Code, PeerFault, Refused
from waypost.ids import Address
from waypost.limits import CLAIMS_AT_ONCE, CLIENT_UPKEEP_S
from waypost.protocol.custody.app import resend_after_ms
from waypost.protocol.custody.fate import State
from waypost.protocol.frames.codec import ID_BYTES


@dataclass(slots=True)
class _Attempt:
    """The state of the attempts for one address; it is forgotten when nothing waits for its keys."""

    request: bytes  #: kept until it is answered, so that a lost answer costs the recipient no further package
    tries: int = 0
    due: Instant = 0.0
    busy: bool = False


class Claims:
    """See the module. `wanted`: for whoever has written a message without an envelope."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        outgoing: Outgoing,
        scheme: Scheme,
        lookup: KeyLookup,
        offers: Wakeup,
        parts: Parts,
    ) -> None:
        self._database = database
        self._journal = journal
        self._outgoing = outgoing
        self._scheme = scheme
        self._lookup = lookup
        self._offers = offers
        self._parts = parts
        self._attempts: dict[Address, _Attempt] = {}
        self.wanted = Wakeup()

    async def run(self, link: OpenLink) -> None:
        """For ever, beside a link."""
        for attempt in self._attempts.values():
            attempt.busy = False
        async with anyio.create_task_group() as tasks:
            while True:
                waiting = await self._database.run(self._outgoing.waiting_for_keys)
                self._forget(set(waiting))
                now, due = anyio.current_time(), []
                free = CLAIMS_AT_ONCE - sum(attempt.busy for attempt in self._attempts.values())
                for address in waiting:
                    attempt = self._attempts.setdefault(address, _Attempt(self._parts.random(ID_BYTES)))
                    if attempt.busy:
                        continue
                    if attempt.due > now or free <= 0:
                        due.append(attempt.due if attempt.due > now else NEVER)
                        continue
                    attempt.busy, free = True, free - 1
                    tasks.start_soon(self._serve, link, address, attempt)
                # Whoever gets free calls, so what is due already need not be waited for.
                await self.wanted.wait(min(CLIENT_UPKEEP_S, min(due, default=NEVER) - now))

    async def _serve(self, link: OpenLink, address: Address, attempt: _Attempt) -> None:
        try:
            now_ms = self._parts.wall_ms()
            sealing = await self._database.run(lambda conn: self._scheme.sealing(conn, address, now_ms))
            if sealing or await self._claim(link, address, attempt):
                await self._seal(address)
            attempt.tries, attempt.due = 0, 0.0
        except (PeerFault, Refused) as error:
            await self._failed(address, attempt, error.code.number)
        finally:
            attempt.busy = False
            self.wanted.call()

    async def _claim(self, link: OpenLink, address: Address, attempt: _Attempt) -> bool:
        """Whether there are keys now; if not, what waited has been bounced. Raises PeerFault or Refused."""
        answer = await self._lookup.ask(link, address, attempt.request)
        if answer.code == Code.TIMED_OUT.number or (answer.code and not answer.id):
            # Not answered, or not yet: the link has ended (see `OpenLink.ask`) or time was up.
            raise Refused(Code.TIMED_OUT)
        request, attempt.request = attempt.request, self._parts.random(ID_BYTES)
        return await self._lookup.learn(address, request, answer)

    async def _seal(self, address: Address) -> None:
        now_ms = self._parts.wall_ms()
        try:
            while await self._journal.change(lambda conn: self._seal_oldest(conn, address, now_ms)):
                self._offers.call()
        except PeerFault:
            # One of its packages is no key. The next claim brings others.
            await self._database.run(lambda conn: self._scheme.drop_keys(conn, address))
            raise Refused(Code.NO_KEYS) from None

    def _seal_oldest(self, conn: sqlite3.Connection, address: Address, now_ms: WallMs) -> Changed:
        """Raises PeerFault(BAD_PACKAGE)."""
        changed: Changed = []
        sealing = self._scheme.sealing(conn, address, now_ms)
        if sealing is None:
            return changed
        for recipient, content in self._outgoing.unsealed(conn, address):
            try:
                sealed = SealedBody(self._scheme.suite, sealing(content))
            except Refused as refused:
                changed += history.note(conn, recipient, Status(State.BOUNCED, now_ms, refused.code.number))
            else:
                changed += self._outgoing.enclose(conn, [recipient], sealed)
        return changed

    async def _failed(self, address: Address, attempt: _Attempt, code: int) -> None:
        now_ms = self._parts.wall_ms()
        wait_ms = resend_after_ms(attempt.tries, self._parts.spread())
        attempt.tries += 1
        attempt.due = anyio.current_time() + wait_ms / SECOND_MS
        times = now_ms, now_ms + wait_ms
        await self._journal.change(lambda conn: self._outgoing.no_keys(conn, address, code, times))

    def _forget(self, waiting: set[Address]) -> None:
        for address in [address for address, attempt in self._attempts.items() if not attempt.busy]:
            if address not in waiting:
                del self._attempts[address]
