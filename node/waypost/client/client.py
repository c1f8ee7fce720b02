"""The client: what an app does with its account."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar

import anyio
from msgspec import Struct

from waypost.client.mail import history
from waypost.client.mail.carrier import Carrier
from waypost.client.mail.content import Content
from waypost.client.mail.history import Changed
from waypost.client.mail.incoming import Incoming
from waypost.client.mail.journal import Journal
from waypost.client.mail.link import LinkKeeper, OpenLink, reply
from waypost.client.mail.outgoing import Outgoing
from waypost.client.parts import Parts
from waypost.client.profile.at_rest import AtRest
from waypost.client.profile.database import Database
from waypost.client.profile.profile import Profile
from waypost.client.schemes import claimed, schemes_of
from waypost.client.talk import pins
from waypost.client.talk.claims import Claims
from waypost.client.talk.inbox import Inbox, UnreadMail
from waypost.client.talk.lookup import KeyLookup
from waypost.client.talk.publisher import Publisher
from waypost.client.talk.reading import MessageReader
from waypost.client.talk.sent import Sent
from waypost.client.talk.writing import MessageWriter
from waypost.clock import WallMs
from waypost.crypto.fingerprint import grouped, safety_number
from waypost.errors import Code, Refused, WaypostError
from waypost.ids import parse_address, parse_id, parse_provider
from waypost.limits import CLIENT_UPKEEP_S, EXPIRY_MAX_S, QUERY_TIMEOUT_S
from waypost.protocol.directory.asks import Ask, AskReach, ReachReply, Track, TrackReply, TrackRow
from waypost.protocol.frames.codec import ID_BYTES

T = TypeVar("T", bound=Struct)


class Client:
    """An open profile, kept in touch with its node. Made by `connect`; usable from one event loop."""

    def __init__(self, profile: Profile, database: Database, parts: Parts) -> None:
        at_rest = AtRest(profile.storage_seed, parts.random)
        schemes = schemes_of(profile, at_rest, parts.random)
        scheme = schemes[0]
        journal = Journal(database)
        outgoing = Outgoing(profile.address, at_rest, parts.spread)
        incoming = Incoming(profile.address, at_rest, MessageReader(schemes))
        carrier = Carrier(profile.address, database, journal, outgoing, incoming, parts)
        lookup = KeyLookup(profile, journal, outgoing, scheme, parts.wall_ms)
        claims = Claims(database, journal, outgoing, scheme, lookup, carrier.offers, parts)
        publisher = Publisher(database, scheme.packages, carrier.keys_low, parts)
        self._link = LinkKeeper(profile, parts, carrier, (carrier.offer, claims.run, publisher.run))
        self._profile = profile
        self._parts = parts
        self._database = database
        self._packages = scheme.packages
        self._journal = journal
        self._outgoing = outgoing
        self._incoming = incoming
        self._carrier = carrier
        self._lookup = lookup
        self._claims = claims
        self._publisher = publisher
        self._writer = MessageWriter(database, outgoing, scheme, parts)
        self._unread = UnreadMail(database, incoming, carrier.arrivals)

    @property
    def address(self) -> str:
        return str(self._profile.address)

    @property
    def is_connected(self) -> bool:
        return self._link.live is not None

    @property
    def trouble(self) -> WaypostError | None:
        """Why there is no link to the node now, in words fit for the user; None while there is one."""
        return self._link.trouble

    async def connected(self) -> None:
        """Wait for the link to the node; see `trouble` for why it does not come."""
        await self._link.up()

    async def published(self) -> None:
        """Wait until the node has this device's keys, so that others can write to it."""
        await self._publisher.published()

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(
        self, to: str, what: str | bytes | Content, *, accept_new_key: bool = False, expires_s: int = EXPIRY_MAX_S
    ) -> Sent:
        """Return once it is written durably to the profile; from then on it goes by itself, after a restart too.

        `accept_new_key`: write also if the recipient's identity key has changed. `expires_s`: give up after that.

        Raises LocalError: BAD_ADDRESS, IDENTITY_CHANGED. Raises Refused: TOO_LARGE, QUEUE_FULL, STORE_FULL. Raises
        ValueError for an expiry or a media type out of bounds.
        """
        record = await self._writer.write(parse_address(to), Content.of(what), expires_s, accepts_key=accept_new_key)
        sent = Sent(self._journal, record)
        if not sent.is_sealed:
            self._claims.wanted.call()
        self._carrier.offers.call()
        return sent

    async def sent(self, message: str) -> Sent:
        """A message sent earlier, by either of its ids. Raises Refused or LocalError(UNKNOWN_MESSAGE)."""
        record = await self._journal.find(parse_id(message))
        if record is None:
            raise Refused(Code.UNKNOWN_MESSAGE, message)
        return Sent(self._journal, record)

    def inbox(self, *, follow: bool = True) -> Inbox:
        """What has arrived and was not shown yet; then, unless `follow` is False, what arrives."""
        return Inbox(self._unread, follow=follow)

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def track(self, message: str) -> tuple[TrackRow, ...]:
        """Where the node knows a sent or received message to have been, oldest first; empty if it never got there.

        Raises Refused: UNREACHABLE without a link, UNKNOWN_MESSAGE, and whatever else the node answers.
        """
        id_ = parse_id(message)
        record = await self._journal.find(id_)
        if record is not None:
            sent = Sent(self._journal, record)
            if not sent.is_sealed:
                return ()
            id_ = parse_id(sent.id)
        return (await self._ask(Track(id_), TrackReply)).rows

    async def reach(self, mode: str = "show", providers: Sequence[str] = ()) -> ReachReply:
        """Say who of other providers may write to this account: `all`, `none`, `some` (the named); `show` just asks.

        Raises LocalError(BAD_ADDRESS) for what is no provider, Refused as `track` does.
        """
        return await self._ask(AskReach(mode, tuple(map(parse_provider, providers))), ReachReply)

    async def safety_number(self, address: str) -> str:
        """60 digits in groups of five to compare with that user, who sees the same if nobody is in between.

        Asks the address's node for its key if none is known. Raises LocalError(BAD_ADDRESS), Refused as `track` does.
        """
        theirs = parse_address(address)
        pin = await self._database.run(lambda conn: pins.pin_of(conn, theirs))
        if pin is None:
            request = self._parts.random(ID_BYTES)
            answer = await self._lookup.ask(await self._up(), theirs, request)
            await self._lookup.learn(theirs, request, answer)
            pin = await self._database.run(lambda conn: pins.pin_of(conn, theirs))
        if pin is None:
            raise Refused(Code.NO_KEYS, str(theirs))
        mine, identity = self._profile.identity.public, pin.changed or pin.identity
        me, them = str(self._profile.address).encode(), str(theirs).encode()
        return grouped(await self._parts.offload(lambda: safety_number(mine, me, identity, them)))

    # ── the inside ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """The tasks behind it, until cancelled or closed. `connect` runs it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._upkeep)
            await self._link.run()
            tasks.cancel_scope.cancel()

    async def finish(self) -> None:
        """The app is done in good order: what it holds counts as shown, and the node is told Goodbye."""
        await self._unread.finish()
        self._link.close()

    async def _upkeep(self) -> None:
        """What time brings, link or no link."""
        while True:
            now_ms = self._parts.wall_ms()
            # On a full disk this has to wait, as everything has.
            with suppress(Refused):
                await self._journal.change(partial(self._tidy, now_ms))
            await anyio.sleep(CLIENT_UPKEEP_S)

    def _tidy(self, now_ms: WallMs, conn: sqlite3.Connection) -> Changed:
        self._incoming.forget(conn, now_ms)
        self._packages.forget(conn, now_ms)
        history.forget(conn, now_ms)
        claimed.drop_old(conn, now_ms)
        return self._outgoing.expire(conn, now_ms)

    async def _ask(self, ask: Ask, kind: type[T]) -> T:
        """Raises Refused: UNREACHABLE, or what the node answers."""
        return reply(await (await self._up()).ask(ask), kind)

    async def _up(self) -> OpenLink:
        with anyio.move_on_after(QUERY_TIMEOUT_S):
            return await self._link.up()
        raise Refused(Code.UNREACHABLE, str(self.trouble or "the node has not answered"))
