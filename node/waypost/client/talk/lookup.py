"""Asks for the keys of others, checks what is answered, and pins or compares the identity in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from waypost.client.mail.history import Changed
from waypost.client.mail.journal import Journal
from waypost.client.mail.link import OpenLink, reply
from waypost.client.mail.outgoing import Outgoing
from waypost.client.mail.status import Status
from waypost.client.profile.profile import Profile
from waypost.client.schemes.scheme import Scheme
from waypost.client.talk import pins
from waypost.client.talk.pins import KeyMatch
from waypost.clock import WallMs
from waypost.errors import Code, PeerFault, Refused
from waypost.ids import Address
from waypost.protocol.custody.fate import State
from waypost.protocol.directory.asks import Claim, ClaimAnswer, ClaimReply
from waypost.protocol.directory.bundle import Bundle, open_claim, open_device_list
from waypost.protocol.directory.package import PackageState
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.messages import Answer


class KeyLookup:
    """See the module."""

    def __init__(
        self,
        profile: Profile,
        journal: Journal,
        outgoing: Outgoing,
        scheme: Scheme,
        wall_ms: Callable[[], WallMs],
    ) -> None:
        self._profile = profile
        self._journal = journal
        self._outgoing = outgoing
        self._scheme = scheme
        self._wall_ms = wall_ms

    async def ask(self, link: OpenLink, address: Address, request: bytes) -> Answer:
        """The answer, whatever its code (see `OpenLink.ask`). `request`: 16 random bytes, the same on a repetition."""
        return await link.ask(Claim(request, str(address), (self._scheme.suite,)))

    async def learn(self, address: Address, request: bytes, answer: Answer) -> bool:
        """Check an answer, pin or compare the identity in it, and keep the keys.

        False if the identity has changed and nobody has accepted it; then what waited for the keys has been bounced.
        Raises PeerFault or Refused, NO_KEYS or INCOMPATIBLE among them.
        """
        now_ms = self._wall_ms()
        claimed = reply(answer, ClaimAnswer)
        bundle = open_claim(claimed, address, request, now_ms)
        if address.provider == self._profile.address.provider and bundle.node_key != self._profile.account.node_key:
            raise PeerFault(Code.BAD_SIGNATURE, "another node answers for our own provider")
        data = read(claimed.reply, ClaimReply).device_list
        serves = False

        def meet(conn: sqlite3.Connection) -> Changed:
            nonlocal serves
            devices = open_device_list(data, str(address))
            match = pins.heard(conn, devices, data, None, now_ms)
            if match is KeyMatch.CHANGED and not self._outgoing.accepts_key(conn, address):
                pins.mark_changed(conn, address, devices.key)
                # What was written to the old key must not go to the new one.
                bounced = Status(State.BOUNCED, now_ms, Code.IDENTITY_CHANGED.number)
                return self._outgoing.note_unsealed(conn, address, bounced)
            pins.accept(conn, devices, data, now_ms)
            pins.mark_written(conn, address)
            serves = self._scheme.keep_keys(conn, bundle, now_ms)
            return []

        changed = await self._journal.change(meet)
        if not serves and not changed:
            raise Refused(_why_none(bundle))
        return serves


def _why_none(bundle: Bundle) -> Code:
    states = {state for _, state in bundle.states}
    return Code.INCOMPATIBLE if states == {PackageState.INCOMPATIBLE} else Code.NO_KEYS
