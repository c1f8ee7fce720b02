"""The links of local devices: at most one for each device, and what each account may send."""

from __future__ import annotations

from collections import OrderedDict

from waypost.errors import Code
from waypost.ids import Address
from waypost.limits import LINKS_MAX, PACKAGES_LOW
from waypost.protocol.frames.messages import Notice, NoticeKind
from waypost.relay.accounts import Accounts, LocalUser
from waypost.relay.custody.couriers import Couriers
from waypost.relay.link import Link
from waypost.relay.settings import Settings
from waypost.routing.quota import TokenBucket


class Devices:
    """See the module."""

    def __init__(self, settings: Settings, accounts: Accounts, couriers: Couriers) -> None:
        self._rates = settings.rates
        self._accounts = accounts
        self._couriers = couriers
        self._links: dict[bytes, Link] = {}
        self._buckets: OrderedDict[Address, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._links)

    def links(self) -> list[Link]:
        return list(self._links.values())

    def refusal(self, address: str, key: bytes) -> Code | None:
        """Why a device that has proved its key is not let in as that account's; None if it is."""
        user = self._accounts.of_device(key)
        if user is None or str(user.address) != address:
            return Code.UNKNOWN_DEVICE
        if len(self._links) >= LINKS_MAX and key not in self._links:
            return Code.TOO_MANY_LINKS
        return None

    def attach(self, user: LocalUser, link: Link) -> None:
        """From now on this is the device's link; one that it had before ends."""
        key = link.peer.key
        former = self._links.get(key)
        if former is not None:
            former.close(Code.REPLACED)
        self._links[key] = user.links[key] = link
        self._couriers.attach(user.devices[key].mailbox, link)

    def detach(self, user: LocalUser, mailbox: int, link: Link) -> None:
        """The link has ended; nothing if another has taken its place."""
        key = link.peer.key
        self._couriers.detach(mailbox, link)
        if self._links.get(key) is link:
            del self._links[key]
            user.links.pop(key, None)

    def allowance(self, address: Address) -> TokenBucket:
        """Envelopes that the account may send."""
        # Kept for a while after the last link has gone, so that connecting anew brings no fresh tokens.
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._rates.account_per_s, self._rates.account_burst)
            while len(self._buckets) > 2 * LINKS_MAX:
                self._buckets.popitem(last=False)
        self._buckets.move_to_end(address)
        return bucket

    def keys_low(self, device: bytes, left: int) -> None:
        """Tell a connected device that its one-time packages run out."""
        link = self._links.get(device)
        if link is not None and left <= PACKAGES_LOW:
            link.session.notice(Notice(NoticeKind.KEYS_LOW, left))
            link.wake()
