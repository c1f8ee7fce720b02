"""Fetches the keys of those to whom messages wait, and seals the messages."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

import anyio

from waypost.client import pins
from waypost.client.core import Core
from waypost.client.journal import Changed
from waypost.client.link import Live
from waypost.client.outgoing import resend_after_ms
from waypost.client.pins import Meeting, Packages
from waypost.clock import NEVER, SECOND_MS, Instant
from waypost.crypto.seal import SUITE
from waypost.errors import Code, PeerFault, Refused, code_of
from waypost.ids import parse_address
from waypost.limits import CLAIMS_AT_ONCE, CLIENT_UPKEEP_S
from waypost.protocol.directory.asks import Claim, ClaimAnswer, ClaimReply
from waypost.protocol.directory.bundle import Bundle, open_claim, open_device_list
from waypost.protocol.frames.codec import ID_BYTES, read
from waypost.protocol.frames.messages import Answer


@dataclass(slots=True)
class _Attempt:
    """The state of the attempts for one address; it is forgotten when nothing waits for its keys."""

    request: bytes  #: kept until it is answered, so that a lost answer costs the recipient no further package
    tries: int = 0
    due: Instant = 0.0
    busy: bool = False


class Claims:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._attempts: dict[str, _Attempt] = {}

    async def run(self, live: Live) -> None:
        """For ever, beside a link."""
        for attempt in self._attempts.values():
            attempt.busy = False
        async with anyio.create_task_group() as tasks:
            while True:
                waiting = await self._core.database.run(self._core.outgoing.unsealed)
                self._forget(set(waiting))
                now, due = anyio.current_time(), []
                free = CLAIMS_AT_ONCE - sum(attempt.busy for attempt in self._attempts.values())
                for address in waiting:
                    attempt = self._attempts.setdefault(address, _Attempt(self._new_request()))
                    if attempt.busy:
                        continue
                    if attempt.due > now or free <= 0:
                        due.append(attempt.due if attempt.due > now else NEVER)
                        continue
                    attempt.busy, free = True, free - 1
                    tasks.start_soon(self._serve, live, address, attempt)
                # Whoever gets free rings, so what is due already need not be waited for.
                await self._core.claims.wait(min(CLIENT_UPKEEP_S, min(due, default=NEVER) - now))

    async def _serve(self, live: Live, address: str, attempt: _Attempt) -> None:
        core = self._core
        try:
            now_ms = core.parts.wall_ms()
            packages = await core.database.run(lambda conn: pins.packages_for(conn, address, now_ms))
            if packages is None:
                packages = await self._claim(live, address, attempt)
            if packages:
                await self._seal(address, packages)
            attempt.tries, attempt.due = 0, 0.0
        except (PeerFault, Refused) as error:
            await self._failed(address, attempt, error.code.number)
        finally:
            attempt.busy = False
            core.claims.ring()

    async def _claim(self, live: Live, address: str, attempt: _Attempt) -> Packages:
        """The packages to write with; none if what waited has been bounced. Raises PeerFault or Refused."""
        answer = await live.ask(Claim(attempt.request, address, (SUITE,)))
        if answer.code == Code.TIMED_OUT.number or (answer.code and not answer.id):
            # Not answered, or not yet: the link has ended (see `Live.ask`) or time was up.
            raise Refused(Code.TIMED_OUT)
        request, attempt.request = attempt.request, self._new_request()
        return await self.learn(address, request, answer)

    async def learn(self, address: str, request: bytes, answer: Answer) -> Packages:
        """Check an answer, pin or compare the identity in it, and keep the packages. Raises PeerFault or Refused."""
        core, now_ms = self._core, self._core.parts.wall_ms()
        if answer.code:
            raise Refused(code_of(answer.code) or Code.INTERNAL, answer.text)
        claimed = read(answer.body, ClaimAnswer)
        bundle = open_claim(claimed, address, request, now_ms)
        own = core.profile.account
        if parse_address(address).provider == core.profile.address.provider and bundle.node_key != own.node_key:
            raise PeerFault(Code.BAD_SIGNATURE, "another node answers for our own provider")
        data = read(claimed.reply, ClaimReply).device_list

        def meet(conn: sqlite3.Connection) -> tuple[Packages, Changed]:
            devices = open_device_list(data, address)
            meeting = pins.heard(conn, devices, data, None, now_ms)
            if meeting is Meeting.CHANGED and not core.outgoing.accepts_key(conn, address):
                pins.mark_changed(conn, address, devices.key)
                return (), core.outgoing.key_changed(conn, address, now_ms)
            pins.accept(conn, devices, data, now_ms)
            return pins.save_bundle(conn, bundle, now_ms), []

        packages, changed = await core.database.run(meet)
        core.sent.changed(changed)
        if not packages and not changed:
            raise Refused(_why_none(bundle))
        return packages

    async def _seal(self, address: str, packages: Packages) -> None:
        core, now_ms = self._core, self._core.parts.wall_ms()
        try:
            while changed := await core.database.run(lambda conn: core.outgoing.seal(conn, address, packages, now_ms)):
                core.sent.changed(changed)
                core.offers.ring()
        except PeerFault:
            # One of its packages is no key. The next claim brings others.
            await core.database.run(lambda conn: pins.drop_bundle(conn, address))
            raise Refused(Code.NO_KEYS) from None

    async def _failed(self, address: str, attempt: _Attempt, code: int) -> None:
        core, now_ms = self._core, self._core.parts.wall_ms()
        wait_ms = resend_after_ms(attempt.tries, core.parts.random)
        attempt.tries += 1
        attempt.due = anyio.current_time() + wait_ms / SECOND_MS
        core.sent.changed(
            await core.database.run(lambda conn: core.outgoing.no_keys(conn, address, code, now_ms, now_ms + wait_ms))
        )

    def _forget(self, waiting: set[str]) -> None:
        for address in [address for address, attempt in self._attempts.items() if not attempt.busy]:
            if address not in waiting:
                del self._attempts[address]

    def _new_request(self) -> bytes:
        return self._core.parts.random(ID_BYTES)


def _why_none(bundle: Bundle) -> Code:
    states = {state for _, state in bundle.states}
    return Code.INCOMPATIBLE if states == {"incompatible"} else Code.NO_KEYS
