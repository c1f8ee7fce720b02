"""The link of an admitted peer, whoever has dialled: attached, served until it ends, detached."""

from __future__ import annotations

import trio

from waypost.errors import Code, PeerFault
from waypost.links.stream import Stream
from waypost.protocol.custody.transfer import Offered, Refusal, Reported, Settled
from waypost.protocol.directory.asks import Records, RecordsReply
from waypost.protocol.frames.codec import read
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.protocol.frames.messages import Answer, Notice, NoticeKind
from waypost.protocol.frames.session import Answered, Asked, Closed, Event, Noticed, Session, Signalled
from waypost.relay.custody.couriers import Couriers
from waypost.relay.custody.intake import Intake
from waypost.relay.devices.signals import Signals
from waypost.relay.federation.peer_links import PeerLinks
from waypost.relay.federation.record_book import RecordBook
from waypost.relay.federation.requests import Requests
from waypost.relay.link import Link
from waypost.relay.peer import Peer
from waypost.relay.services.service import Services
from waypost.relay.tasks import Surroundings

_RECORDS = object()  #: the token of our own Records request


class PeerService:
    """See the module."""

    def __init__(
        self,
        around: Surroundings,
        links: PeerLinks,
        couriers: Couriers,
        intake: Intake,
        services: Services,
        requests: Requests,
        records: RecordBook,
        signals: Signals,
    ) -> None:
        self._clock = around.clock
        self._log = around.log
        self._links = links
        self._couriers = couriers
        self._intake = intake
        self._services = services
        self._requests = requests
        self._records = records
        self._signals = signals

    async def serve(
        self,
        peer: Peer,
        stream: Stream,
        session: Session,
        identity: PeerIdentity,
        *,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Until the link ends; it has started once it is attached. Raises Refused if that cannot be."""
        # Before anything arrives there must be a way to answer: outcomes go out by the peer's outbox.
        await peer.opened.wait()
        last = Closed(None, "stopped here", by_peer=False)

        def serve(link: Link, events: list[Event]) -> None:
            nonlocal last
            for event in events:
                if isinstance(event, Closed):
                    last = event
                self._take(peer, link, event)
            self._couriers.flush(peer.mailbox)

        link = Link(stream, session, identity, self._clock.instant(), self._log, peer.allowed.mail, serve)
        if not self._links.attach(peer, link):
            link.close(Code.DUPLICATE_LINK)
        elif identity.dialed:
            link.ask(Records(self._records.known()), _RECORDS, self._clock.instant())
        task_status.started()
        try:
            await link.run()
        finally:
            self._requests.link_ended(link)
            self._links.detach(peer, link, last)

    def _take(self, peer: Peer, link: Link, event: Event) -> None:
        match event:
            case Offered():
                self._intake.offered(link, event)
            case Reported():
                self._reported(peer, link, event)
            case Settled(token, _, refusals):
                self._couriers.settled(peer.mailbox, link, token, refusals)
            case Asked():
                self._services.asked(link, event)
            case Answered(token, answer):
                self._answered(peer, token, answer)
            case Noticed(notice):
                self._noticed(peer, notice)
            case Signalled(signal):
                self._signals.from_peer(peer, signal)
            case Closed():
                pass

    def _noticed(self, peer: Peer, notice: Notice) -> None:
        if notice.kind == NoticeKind.RECORD:
            self._records.merge((notice.data,), peer)

    def _reported(self, peer: Peer, link: Link, reported: Reported) -> None:
        count = len(reported.outcomes)
        if peer.allowed.reports.take(count, self._clock.instant()):
            self._intake.reported(link, reported)
            return
        refusals = [Refusal(index, Code.RATE_LIMITED.number, 1) for index in range(count)]
        link.session.receipt(reported.batch, refusals, self._clock.wall_ms())
        link.wake()

    def _answered(self, peer: Peer, token: object, answer: Answer) -> None:
        if token is not _RECORDS:
            self._requests.answered(token, answer)
            return
        if answer.code == 0:
            try:
                self._records.merge(read(answer.body, RecordsReply).records, peer)
            except PeerFault as fault:
                self._log.info("records make no sense", peer=peer.provider, reason=fault.detail)
