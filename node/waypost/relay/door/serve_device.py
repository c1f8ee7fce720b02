"""The link of a local device, or of one that wants to become one: served until it ends."""

from __future__ import annotations

import trio

from waypost.errors import Code, Refused
from waypost.limits import QUERY_TIMEOUT_S, STRANGERS_MAX
from waypost.links.stream import Stream
from waypost.protocol.custody.transfer import Offered, Reported, Settled
from waypost.protocol.directory.asks import Join
from waypost.protocol.frames.handshake import PeerIdentity
from waypost.protocol.frames.session import Answered, Asked, Closed, Event, Noticed, Session, Signalled
from waypost.relay.accounts import Accounts
from waypost.relay.custody.couriers import Couriers
from waypost.relay.custody.intake import Intake
from waypost.relay.devices.devices import Devices
from waypost.relay.devices.signals import Signals
from waypost.relay.link import Link
from waypost.relay.services.service import Services
from waypost.relay.tasks import Surroundings
from waypost.routing.quota import TokenBucket


class DeviceService:
    """See the module."""

    def __init__(
        self,
        around: Surroundings,
        accounts: Accounts,
        devices: Devices,
        couriers: Couriers,
        intake: Intake,
        services: Services,
        signals: Signals,
    ) -> None:
        self._clock = around.clock
        self._log = around.log
        self._accounts = accounts
        self._devices = devices
        self._couriers = couriers
        self._intake = intake
        self._services = services
        self._signals = signals
        self._strangers = 0

    async def serve(self, stream: Stream, session: Session, identity: PeerIdentity) -> None:
        """Until the link ends. Raises Refused for a device that is not let in."""
        refusal = self._devices.refusal(identity.name, identity.key)
        if refusal is Code.UNKNOWN_DEVICE:
            await self._serve_stranger(stream, session, identity)
        elif refusal is not None:
            raise Refused(refusal)
        else:
            await self._serve_known(stream, session, identity)

    async def _serve_known(self, stream: Stream, session: Session, identity: PeerIdentity) -> None:
        user = self._accounts.of_device(identity.key)
        if user is None:
            return
        mailbox = user.devices[identity.key].mailbox

        def serve(link: Link, events: list[Event]) -> None:
            for event in events:
                match event:
                    case Offered():
                        self._intake.offered(link, event)
                    case Settled(token, _, refusals):
                        self._couriers.settled(mailbox, link, token, refusals)
                    case Asked():
                        self._services.asked(link, event)
                    case Signalled(signal):
                        self._signals.from_device(link, signal)
                    case Reported():
                        link.close(Code.OUT_OF_ORDER, "devices do not report")
                    case Noticed() | Answered() | Closed():
                        pass
            self._couriers.flush(mailbox)

        mail = self._devices.allowance(user.address)
        link = Link(stream, session, identity, self._clock.instant(), self._log, mail, serve)
        self._devices.attach(user, link)
        try:
            await link.run()
        finally:
            self._devices.detach(user, mailbox, link)

    async def _serve_stranger(self, stream: Stream, session: Session, identity: PeerIdentity) -> None:
        """A device that no account lists may only ask to join, and soon."""
        if self._strangers >= STRANGERS_MAX:
            raise Refused(Code.TOO_MANY_LINKS)

        def serve(link: Link, events: list[Event]) -> None:
            for event in events:
                if isinstance(event, Asked) and isinstance(event.ask, Join):
                    self._services.asked(link, event)
                elif not isinstance(event, Closed):
                    link.close(Code.UNKNOWN_DEVICE)

        link = Link(stream, session, identity, self._clock.instant(), self._log, TokenBucket(0, 1), serve)
        self._strangers += 1
        try:
            with trio.move_on_after(QUERY_TIMEOUT_S) as scope:
                await link.run()
        finally:
            self._strangers -= 1
        if scope.cancelled_caught:
            self._log.info("stranger took too long", device=link.source)
