"""Lets links in: the handshake, who may come, and what each kind of link is served with."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import trio

from waypost.crypto.keys import SigningKey
from waypost.discovery.source import Endpoint
from waypost.errors import Code, PeerFault, Refused, WaypostError
from waypost.ids import Provider, is_lan
from waypost.limits import (
    LINKS_MAX,
    QUERY_BURST,
    QUERY_RATE_PER_S,
    QUERY_TIMEOUT_S,
    STRANGERS_MAX,
    WINDOW_BYTES,
    WINDOW_ENVELOPES,
)
from waypost.links.pump import greet, part
from waypost.links.stream import Stream
from waypost.protocol.custody.messages import Refusal
from waypost.protocol.directory.asks import Join, RecordsReply
from waypost.protocol.directory.asks import Records as AskRecords
from waypost.protocol.directory.record import NodeRecord, open_record
from waypost.protocol.directory.trust import Trust
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.handshake import Handshake, Own, PeerIdentity
from waypost.protocol.frames.messages import Answer, Notice, NoticeKind, Role, Signal
from waypost.protocol.frames.session import (
    Answered,
    Asked,
    Closed,
    Event,
    Noticed,
    Offered,
    Reported,
    Session,
    Settled,
    Signalled,
)
from waypost.relay.custody.intake import Intake
from waypost.relay.devices.devices import Devices
from waypost.relay.federation.dialer import Dialer
from waypost.relay.federation.peer import Peer
from waypost.relay.federation.peers import Peers
from waypost.relay.federation.record_book import Records
from waypost.relay.federation.requests import Requests
from waypost.relay.link import Link
from waypost.relay.services.directory import Directory
from waypost.relay.settings import Parts, Settings
from waypost.relay.tasks import Tasks
from waypost.routing import policy
from waypost.routing.quota import Buckets
from waypost.routing.router import FromPeer

FEATURES = ("seal.1",)
_RECORDS = object()  #: the token of our own Records request


@dataclass(frozen=True)
class Halls:
    """Where the links of admitted peers and devices lead to."""

    peers: Peers
    records: Records
    dialer: Dialer
    requests: Requests
    devices: Devices
    intake: Intake
    directory: Directory


class Greeter:
    """See the module."""

    def __init__(self, settings: Settings, parts: Parts, key: SigningKey, tasks: Tasks) -> None:
        self._settings = settings
        self._parts = parts
        self._key = key
        self._tasks = tasks
        self._halls: Halls
        self._strangers = 0
        self._signals: Buckets[str] = Buckets(QUERY_RATE_PER_S, QUERY_BURST, LINKS_MAX)
        self.epoch = 0
        self.record = b""
        self.closing = False

    def wire(self, halls: Halls) -> None:
        """Who the links are handed to."""
        self._halls = halls

    # ── incoming ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def accept(self, stream: Stream, proven: Callable[[], None]) -> None:
        """Serve a connection that somebody made to us, until it ends; `proven`: they have proved who they are."""
        session, identity = await self._greet(stream)
        proven()
        try:
            if self.closing:
                raise Refused(Code.CLOSING)
            if identity.role is Role.DEVICE:
                await self._serve_device(stream, session, identity)
            else:
                await self._serve_peer(stream, session, identity, None)
        except (Refused, PeerFault) as refused:
            self._parts.log.warning(
                "link refused",
                peer=identity.name,
                reason=refused.code.title,
                advice=refused.detail or refused.code.remedy,
            )
            await part(stream, Handshake.refuse(refused.code))

    async def _greet(self, stream: Stream) -> tuple[Session, PeerIdentity]:
        own = Own(
            Role.NODE,
            self._settings.provider,
            self._key,
            FEATURES,
            WINDOW_ENVELOPES,
            WINDOW_BYTES,
            self.record,
            self.epoch,
        )
        handshake = Handshake(own, stream.channel, self._parts.clock.wall_ms())
        identity = await greet(stream, handshake)
        return handshake.finish(self._parts.clock.instant()), identity

    # ── outgoing ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def dial(self, peer: Peer, endpoints: list[Endpoint]) -> None:
        """Open a link to the peer at the first endpoint that works; it is served in the background.

        Raises WaypostError.
        """
        trouble: WaypostError = Refused(Code.UNREACHABLE)
        for endpoint in endpoints:
            try:
                await self._dial_one(peer, endpoint)
            except WaypostError as error:
                trouble = error
            else:
                return
        raise trouble

    async def _dial_one(self, peer: Peer, endpoint: Endpoint) -> None:
        stream = await self._parts.network.dial(endpoint.host, endpoint.port)
        session, identity = await self._greet(stream)
        try:
            if identity.role is not Role.NODE or identity.name != peer.provider:
                raise Refused(Code.WRONG_PEER, f"{identity.name} answers at {endpoint.host} port {endpoint.port}")
            await self._tasks.start(self._serve_dialed, stream, session, identity, peer)
        except (Refused, PeerFault) as refused:
            await part(stream, Handshake.refuse(refused.code))
            raise
        except BaseException:
            await stream.aclose()
            raise

    async def _serve_dialed(
        self,
        stream: Stream,
        session: Session,
        identity: PeerIdentity,
        peer: Peer,
        *,
        task_status: trio.TaskStatus[None],
    ) -> None:
        await self._serve_peer(stream, session, identity, peer, task_status)

    # ── devices ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve_device(self, stream: Stream, session: Session, identity: PeerIdentity) -> None:
        link = Link(stream, session, identity, self._parts.clock.instant(), self._parts.log)
        devices = self._halls.devices
        refusal = devices.refusal(identity.name, identity.key)
        if refusal is Code.UNKNOWN_DEVICE:
            if self._strangers >= STRANGERS_MAX:
                raise Refused(Code.TOO_MANY_LINKS)
            self._strangers += 1
            try:
                await self._serve_stranger(link)
            finally:
                self._strangers -= 1
        elif refusal is not None:
            raise Refused(refusal)
        else:
            await devices.serve(link)

    async def _serve_stranger(self, link: Link) -> None:
        """A device that no account lists may only ask to join, and soon."""

        def handle(events: list[Event]) -> None:
            for event in events:
                if isinstance(event, Asked) and isinstance(event.ask, Join):
                    self._halls.directory.asked(link, event)
                elif not isinstance(event, Closed):
                    link.close(Code.UNKNOWN_DEVICE)

        link.handle_with(handle)
        with trio.move_on_after(QUERY_TIMEOUT_S) as scope:
            await link.run()
        if scope.cancelled_caught:
            self._parts.log.info("stranger took too long", device=link.source)

    # ── peers ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _serve_peer(
        self,
        stream: Stream,
        session: Session,
        identity: PeerIdentity,
        dialed: Peer | None,
        task_status: Any = trio.TASK_STATUS_IGNORED,
    ) -> None:
        peer = await self._admit(identity, dialed)
        # Before anything arrives there must be a way to answer: outcomes go out by the peer's outbox.
        await peer.opened.wait()
        link = Link(stream, session, identity, self._parts.clock.instant(), self._parts.log)
        ended: list[Closed] = []
        link.handle_with(self._peer_handler(peer, link, ended))
        halls = self._halls
        if not halls.dialer.attach(peer, link):
            link.close(Code.DUPLICATE_LINK)
        elif identity.dialed:
            link.ask(AskRecords(halls.records.known()), _RECORDS, self._parts.clock.instant())
        task_status.started()
        try:
            await link.run()
        finally:
            last = ended[0] if ended else Closed(None, "stopped here", by_peer=False)
            halls.requests.link_ended(link)
            halls.dialer.detach(peer, link, last.code, last.text)

    async def _admit(self, identity: PeerIdentity, dialed: Peer | None) -> Peer:
        """The peer, if the policy lets it in. Raises Refused, with advice for our operator as the detail."""
        name = Provider(identity.name)
        record = self._record_of(identity)
        peers = self._halls.peers
        known = peers.get(name) if name != self._settings.provider else None
        dns = policy.DnsEvidence.NONE
        if known is None or not known.row.key:
            dns = await self._ask_dns(name, identity.key)
        claim = policy.Claim(
            name,
            identity.key,
            record,
            known.row if known else None,
            dns,
            known.configured_key if known else None,
            dialed_configured=dialed is not None and "static" in dialed.endpoints,
        )
        verdict = policy.admit(claim, self._settings.provider, self._settings.mode)
        if isinstance(verdict, policy.Refuse) and verdict.code is Code.KEY_CHANGED:
            # It stays refused; what the DNS says helps the operator to judge.
            with suppress(Refused):  # the DNS could not be asked
                dns = await self._ask_dns(name, identity.key)
                verdict = policy.admit(replace(claim, dns=dns), self._settings.provider, self._settings.mode)
        if isinstance(verdict, policy.Refuse):
            peers.note_refused(name, identity.key)
            raise Refused(verdict.code, verdict.advice)
        peer = peers.get(name) or peers.add(name)
        if peer is None:
            raise Refused(Code.TOO_MANY_LINKS)
        peers.admitted(peer, identity, verdict.pin or Trust.NONE)
        if identity.record:
            self._halls.records.take(peer, identity.record, self._parts.clock.wall_ms())
        peers.save(peer)
        peer.needed = True
        peers.wake(peer)
        return peer

    async def _ask_dns(self, name: Provider, key: bytes) -> policy.DnsEvidence:
        """Raises Refused if the DNS could not be asked."""
        found = None if is_lan(name) or self._parts.dns is None else await self._parts.dns.look_up(name)
        if found is None or found.key is None:
            return policy.DnsEvidence.NONE
        return policy.DnsEvidence.MATCHES if found.key == key else policy.DnsEvidence.DIFFERS

    def _record_of(self, identity: PeerIdentity) -> NodeRecord | None:
        """The record in its Hello. Raises PeerFault for one that does not fit the proven name and key."""
        if not identity.record:
            return None
        record = open_record(identity.record, self._parts.clock.wall_ms()).record
        if record.name != identity.name or record.key != identity.key:
            raise PeerFault(Code.BAD_SIGNATURE, f"the record of {identity.name} is another node's")
        return record

    def _peer_handler(self, peer: Peer, link: Link, ended: list[Closed]) -> Callable[[list[Event]], None]:
        origin, courier, halls = FromPeer(peer.provider), peer.courier, self._halls
        if courier is None:
            raise ValueError(f"no outbox for {peer.provider}")

        def handle(events: list[Event]) -> None:
            for event in events:
                match event:
                    case Offered():
                        halls.intake.offered(link, event, origin, peer.allowed.mail)
                    case Reported():
                        self._reported(peer, link, event)
                    case Settled(token, _, refusals):
                        link.receipts += 1
                        courier.settled(link, token, refusals)
                    case Asked():
                        halls.directory.asked(link, event)
                    case Answered(token, answer):
                        self._answered(peer, token, answer)
                    case Noticed(notice):
                        self._noticed(peer, notice)
                    case Signalled(signal):
                        self._signalled_by_peer(peer, signal)
                    case Closed():
                        ended.append(event)
            courier.flush()

        return handle

    def _noticed(self, peer: Peer, notice: Notice) -> None:
        if notice.kind == NoticeKind.RECORD:
            self._halls.records.merge((notice.data,), peer)

    def _reported(self, peer: Peer, link: Link, reported: Reported) -> None:
        count = len(reported.outcomes)
        if peer.allowed.reports.take(count, self._parts.clock.instant()):
            self._halls.intake.reported(link, reported)
            return
        refusals = [Refusal(index, Code.RATE_LIMITED.number, 1) for index in range(count)]
        link.session.receipt(reported.batch, refusals, self._parts.clock.wall_ms())
        link.wake()

    def _answered(self, peer: Peer, token: object, answer: Answer) -> None:
        if token is not _RECORDS:
            self._halls.requests.answered(token, answer)
            return
        if answer.code == 0:
            try:
                self._halls.records.merge(read(answer.body, RecordsReply).records, peer)
            except PeerFault as fault:
                self._parts.log.info("records make no sense", peer=peer.provider, reason=fault.detail)

    # ── what devices bring about ────────────────────────────────────────────────────────────────────────────────────

    def asked(self, link: Link, asked: Asked) -> None:
        """A device's request."""
        self._halls.directory.asked(link, asked)

    def signalled(self, link: Link, signal: Signal) -> None:
        """A device's signal: passed on if the way is open now."""
        if signal.sender != link.source or not self._signals.take(link.source, 1, self._parts.clock.instant()):
            return
        provider = signal.recipient.rpartition("@")[2]
        if provider == self._settings.provider:
            self._halls.devices.signal(signal)
            return
        peer = self._halls.peers.get(provider)
        if peer is not None and peer.link is not None:
            peer.link.session.signal(signal)
            peer.link.wake()

    def _signalled_by_peer(self, peer: Peer, signal: Signal) -> None:
        if signal.sender.rpartition("@")[2] != peer.provider:
            return
        devices = self._halls.devices
        if peer.allowed.talk.take(1, self._parts.clock.instant()) and devices.may_signal(signal):
            devices.signal(signal)
