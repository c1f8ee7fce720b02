"""The client: what an app does with its account."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import anyio

from waypost.client import journal, pins
from waypost.client.content import PURPOSE, Content, Payload, sign_payload
from waypost.client.core import Core
from waypost.client.courier import Courier
from waypost.client.inbox import Inbox, Shelf
from waypost.client.journal import Changed
from waypost.client.link import Link, Live
from waypost.client.outgoing import Draft
from waypost.client.publisher import PUBLISHED
from waypost.client.sent import Sent
from waypost.clock import WallMs
from waypost.crypto.fingerprint import grouped, safety_number
from waypost.crypto.seal import SUITE, sealed_length
from waypost.errors import Code, LocalError, PeerFault, Refused, WaypostError, code_of
from waypost.ids import Address, id_text, parse_address, parse_id, parse_provider
from waypost.limits import BODY_MAX_BYTES, EXPIRY_MAX_S, LINGER_S, MEDIA_TYPE_MAX_CHARS, QUERY_TIMEOUT_S
from waypost.protocol.directory.asks import Ask, AskReach, Claim, ReachReply, Track, TrackReply, TrackRow
from waypost.protocol.frames.codec import ID_BYTES, read
from waypost.protocol.frames.messages import Answer


class Client:
    """An open profile, kept in touch with its node. Made by `connect`; usable from one event loop."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._courier = Courier(core)
        self._link = Link(core.profile, core.parts, self._courier, self._courier.work)
        self._shelf = Shelf(core)

    @property
    def address(self) -> str:
        return str(self._core.profile.address)

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
        while True:
            event = self._core.sent.event(PUBLISHED)
            if self._courier.publisher.published:
                return
            await event.wait()

    # ── messages ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def send(
        self, to: str, what: str | bytes | Content, *, accept_new_key: bool = False, expires_s: int = EXPIRY_MAX_S
    ) -> Sent:
        """Return once it is written durably to the profile; from then on it goes by itself, after a restart too.

        `accept_new_key`: write also if the recipient's identity key has changed. `expires_s`: give up after that.

        Raises LocalError: BAD_ADDRESS, IDENTITY_CHANGED. Raises Refused: TOO_LARGE, QUEUE_FULL, STORE_FULL. Raises
        ValueError for an expiry or a media type out of bounds.
        """
        core, content = self._core, Content.of(what)
        recipient = parse_address(to)
        now_ms = core.parts.wall_ms()
        draft = self._draft(recipient, content, now_ms, expires_s)
        if accept_new_key:
            draft = Draft(
                draft.local, draft.recipient, draft.created_ms, draft.expires_s, draft.content, accepts_key=True
            )

        def write(conn: sqlite3.Connection) -> Changed:
            pin = pins.pin_of(conn, draft.recipient)
            if accept_new_key:
                # What is accepted is the key of now, so it is asked for.
                pins.drop_bundle(conn, draft.recipient)
            elif pin and pin.changed:
                raise LocalError(Code.IDENTITY_CHANGED, draft.recipient)
            core.outgoing.add(conn, draft)
            return self._seal_now(conn, draft.recipient, now_ms)

        core.sent.changed(await core.database.run(write))
        core.claims.ring()
        core.offers.ring()
        return await self.sent(id_text(draft.local))

    async def sent(self, message: str) -> Sent:
        """A message sent earlier, by either of its ids. Raises Refused or LocalError(UNKNOWN_MESSAGE)."""
        id_ = parse_id(message)
        record = await self._core.database.run(lambda conn: journal.find(conn, id_))
        if record is None:
            raise Refused(Code.UNKNOWN_MESSAGE, message)
        return Sent(self._core, record)

    def inbox(self, *, follow: bool = True) -> Inbox:
        """What has arrived and was not shown yet; then, unless `follow` is False, what arrives."""
        return Inbox(self._shelf, follow=follow)

    # ── questions ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def track(self, message: str) -> tuple[TrackRow, ...]:
        """Where the node knows a sent or received message to have been, oldest first; empty if it never got there.

        Raises Refused: UNREACHABLE without a link, UNKNOWN_MESSAGE, and whatever else the node answers.
        """
        id_ = parse_id(message)
        record = await self._core.database.run(lambda conn: journal.find(conn, id_))
        if record is not None and record.envelope_id is None:
            return ()
        answer = await self._ask(Track(record.envelope_id if record and record.envelope_id else id_))
        return read(answer.body, TrackReply).rows

    async def reach(self, mode: str = "show", providers: Sequence[str] = ()) -> ReachReply:
        """Say who of other providers may write to this account: `all`, `none`, `some` (the named); `show` just asks.

        Raises LocalError(BAD_ADDRESS) for what is no provider, Refused as `track` does.
        """
        answer = await self._ask(AskReach(mode, tuple(map(parse_provider, providers))))
        return read(answer.body, ReachReply)

    async def safety_number(self, address: str) -> str:
        """60 digits in groups of five to compare with that user, who sees the same if nobody is in between.

        Asks the address's node for its key if none is known. Raises LocalError(BAD_ADDRESS), Refused as `track` does.
        """
        core, theirs = self._core, str(parse_address(address))
        pin = await core.database.run(lambda conn: pins.pin_of(conn, theirs))
        if pin is None:
            request = core.parts.random(ID_BYTES)
            answer = await self._ask(Claim(request, theirs, (SUITE,)))
            await self._courier.claims.learn(theirs, request, answer)
            pin = await core.database.run(lambda conn: pins.pin_of(conn, theirs))
        if pin is None:
            raise Refused(Code.NO_KEYS, theirs)
        mine, identity = core.profile.identity.public, pin.changed or pin.identity
        digits = await core.parts.offload(lambda: safety_number(mine, self.address.encode(), identity, theirs.encode()))
        return grouped(digits)

    # ── the inside ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def run(self) -> None:
        """The tasks behind it, until cancelled or closed. `connect` runs it."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._courier.upkeep)
            await self._link.run()
            tasks.cancel_scope.cancel()

    async def finish(self) -> None:
        """The app is done in good order: what it holds counts as shown, and the node is told Goodbye."""
        await self._shelf.finish()
        self._link.close()

    async def _ask(self, ask: Ask) -> Answer:
        live: Live | None = None
        with anyio.move_on_after(QUERY_TIMEOUT_S):
            live = await self._link.up()
        if live is None:
            raise Refused(Code.UNREACHABLE, str(self.trouble or "the node has not answered"))
        answer = await live.ask(ask)
        if answer.code:
            raise Refused(code_of(answer.code) or Code.INTERNAL, answer.text)
        return answer

    def _draft(self, recipient: Address, content: Content, now_ms: WallMs, expires_s: int) -> Draft:
        core = self._core
        if not 1 <= expires_s <= EXPIRY_MAX_S:
            raise ValueError(f"a message lives 1 to {EXPIRY_MAX_S} seconds, not {expires_s}")
        if not 1 <= len(content.media_type) <= MEDIA_TYPE_MAX_CHARS:
            raise ValueError(f"a media type has 1 to {MEDIA_TYPE_MAX_CHARS} characters")
        payload = Payload(
            1,
            PURPOSE,
            self.address,
            str(recipient),
            core.parts.random(ID_BYTES),
            now_ms,
            content.media_type,
            content.body,
            parse_id(content.in_reply_to) if content.in_reply_to else b"",
            core.device_list,
        )
        signed = sign_payload(payload, core.profile.device)
        if sealed_length(len(signed), devices=1) > BODY_MAX_BYTES:
            raise Refused(Code.TOO_LARGE, f"{len(content.body)} bytes")
        return Draft(core.parts.random(ID_BYTES), str(recipient), now_ms, expires_s, signed, accepts_key=False)

    def _seal_now(self, conn: sqlite3.Connection, recipient: str, now_ms: WallMs) -> Changed:
        """With keys at hand the message gets its envelope at once, and so its final id."""
        packages = pins.packages_for(conn, recipient, now_ms)
        if packages is None:
            return []
        try:
            return self._core.outgoing.seal(conn, recipient, packages, now_ms)
        except PeerFault:
            pins.drop_bundle(conn, recipient)
            return []


#: How long a client that is left in good order may take to part from its node.
PARTING_S = LINGER_S
