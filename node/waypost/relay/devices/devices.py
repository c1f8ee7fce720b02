"""The links of local devices: a courier for each mailbox, at most one link for each device."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any

from waypost.clock import Clock
from waypost.errors import Code
from waypost.limits import LINKS_MAX, PACKAGES_LOW
from waypost.protocol.custody.outbox import Verdict
from waypost.protocol.frames.messages import Notice, NoticeKind, Signal
from waypost.protocol.frames.session import (
    Answered,
    Asked,
    Closed,
    Event,
    Noticed,
    Offered,
    Reported,
    Settled,
    Signalled,
)
from waypost.relay.accounts import Accounts, LocalUser
from waypost.relay.custody.courier import Courier, Tools
from waypost.relay.custody.intake import Intake
from waypost.relay.custody.outcomes import Consequences
from waypost.relay.link import Link
from waypost.relay.settings import Settings
from waypost.routing.quota import TokenBucket
from waypost.routing.router import FromDevice
from waypost.storage.store import Device, Parcel


class Devices:
    """See the module. `intake`, `ask` and `signal` are what events lead to."""

    def __init__(self, settings: Settings, accounts: Accounts, tools: Tools) -> None:
        self._settings = settings
        self._accounts = accounts
        self._tools = tools
        self._clock: Clock = tools.clock
        self._links: dict[bytes, Link] = {}
        self._by_address: dict[str, dict[bytes, Link]] = {}
        self._couriers: dict[bytes, Courier] = {}
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        self._consequences: Consequences
        self._intake: Intake
        self._handler: Any

    def wire(self, consequences: Consequences, intake: Intake, handler: Any) -> None:
        """The parts that need this one to be there first. `handler` has `asked` and `signalled`, of a link."""
        self._consequences = consequences
        self._intake = intake
        self._handler = handler

    def __len__(self) -> int:
        return len(self._links)

    def links(self) -> list[Link]:
        return list(self._links.values())

    def links_of(self, address: str) -> Iterable[Link]:
        """Of the account's connected devices."""
        return tuple(self._by_address.get(address, {}).values())

    def refusal(self, address: str, key: bytes) -> Code | None:
        """Why a device that has proved its key is not let in as that account's; None if it is."""
        user = self._accounts.of_device(key)
        if user is None or user.address != address:
            return Code.UNKNOWN_DEVICE
        if len(self._links) >= LINKS_MAX and key not in self._links:
            return Code.TOO_MANY_LINKS
        return None

    async def serve(self, link: Link) -> None:
        """Until the link of an admitted device ends."""
        key, user = link.peer.key, self._accounts.of_device(link.peer.key)
        if user is None:
            return
        device = user.devices[key]
        former = self._links.get(key)
        if former is not None:
            former.close(Code.REPLACED)
        self._links[key] = link
        self._by_address.setdefault(user.address, {})[key] = link
        courier = self._courier(user, device)
        bucket = self._bucket(user.address)
        origin = FromDevice(user.address)

        def handle(events: list[Event]) -> None:
            for event in events:
                match event:
                    case Offered():
                        self._intake.offered(link, event, origin, bucket)
                    case Settled(token, _, refusals):
                        link.receipts += 1
                        courier.settled(link, token, refusals)
                    case Asked():
                        self._handler.asked(link, event)
                    case Signalled(signal):
                        self._handler.signalled(link, signal)
                    case Reported():
                        link.close(Code.OUT_OF_ORDER, "devices do not report")
                    case Noticed() | Answered() | Closed():
                        pass
            courier.flush()

        link.handle_with(handle)
        courier.attach(link)
        try:
            await link.run()
        finally:
            courier.detach(link)
            self._forget(key, user.address, link)

    def _forget(self, key: bytes, address: str, link: Link) -> None:
        if self._links.get(key) is not link:
            return
        del self._links[key]
        of_account = self._by_address[address]
        del of_account[key]
        if not of_account:
            del self._by_address[address]
        self._couriers.pop(key).retire()

    def _courier(self, user: LocalUser, device: Device) -> Courier:
        courier = self._couriers.get(device.key)
        if courier is None:

            def conclude(verdict: Verdict[Parcel], link: Link) -> None:
                link.given += sum(len(indexes) for _, indexes in verdict.taken)
                self._consequences.of_device(device.mailbox, user.address, verdict)

            courier = self._couriers[device.key] = Courier(device.mailbox, self._tools, conclude)
        return courier

    def _bucket(self, address: str) -> TokenBucket:
        # Kept for a while after the last link has gone, so that connecting anew brings no fresh tokens.
        bucket = self._buckets.get(address)
        if bucket is None:
            rates = self._settings.rates
            bucket = self._buckets[address] = TokenBucket(rates.account_per_s, rates.account_burst)
            while len(self._buckets) > 2 * LINKS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket

    def disconnect(self, keys: Iterable[bytes], code: Code) -> None:
        """Their account has been removed."""
        for key in keys:
            link = self._links.get(key)
            if link is not None:
                link.close(code)

    def keys_low(self, device: bytes, left: int) -> None:
        """Tell a connected device that its one-time packages run out."""
        link = self._links.get(device)
        if link is not None and left <= PACKAGES_LOW:
            link.session.notice(Notice(NoticeKind.KEYS_LOW, left))
            link.wake()

    def may_signal(self, signal: Signal) -> bool:
        """Whether the recipient takes anything from the sender's provider."""
        user = self._accounts.get(signal.recipient.rpartition("@")[0])
        return user is not None and self._accounts.may_reach(user, signal.sender.rpartition("@")[2])

    def signal(self, signal: Signal) -> None:
        """Pass it to the recipient's connected devices; nobody there: it is gone."""
        for link in self.links_of(signal.recipient):
            link.session.signal(signal)
            link.wake()
