"""Asks the DNS: for providers that nobody here has heard of, and what it says of those that are known."""

from __future__ import annotations

from collections import OrderedDict

from waypost.clock import Instant
from waypost.discovery.source import Endpoint
from waypost.errors import Code, Refused, WaypostError
from waypost.ids import Provider, is_canonical_provider, is_lan
from waypost.limits import DNS_LOOKUPS_AT_ONCE, DNS_MISS_S, DNS_MISSES_MAX
from waypost.relay.peers import Peers
from waypost.relay.settings import Dns
from waypost.relay.tasks import Surroundings
from waypost.routing.policy import DnsEvidence

#: After a start, discovery may not have found everyone yet.
SETTLING_S = 10.0


class Lookup:
    """What is found is told to the peers; names that do not exist are remembered for a while."""

    def __init__(self, around: Surroundings, dns: Dns | None, peers: Peers) -> None:
        self._clock = around.clock
        self._log = around.log
        self._tasks = around.tasks
        self._dns = dns
        self._peers = peers
        self._started = around.clock.instant()
        self._looking: set[Provider] = set()
        self._missing: OrderedDict[Provider, Instant] = OrderedDict()

    def status(self, name: str) -> Code:
        """PROVIDER_UNKNOWN, or UNREACHABLE while that is not certain: the question is being asked then."""
        if not is_canonical_provider(name):
            return Code.PROVIDER_UNKNOWN
        provider = Provider(name)
        if is_lan(provider) or self._dns is None:
            settled = self._clock.instant() > self._started + SETTLING_S
            return Code.PROVIDER_UNKNOWN if settled else Code.UNREACHABLE
        if self._clock.instant() < self._missing.get(provider, 0.0):
            return Code.PROVIDER_UNKNOWN
        if provider not in self._looking and len(self._looking) < DNS_LOOKUPS_AT_ONCE:
            self._looking.add(provider)
            self._tasks.start_soon(self._look, provider)
        return Code.UNREACHABLE

    async def find(self, name: str) -> None:
        """Look it up now. Raises Refused: there is no such provider, or it cannot be told."""
        code = self.status(name)
        if code is Code.PROVIDER_UNKNOWN or self._dns is None or is_lan(Provider(name)):
            raise Refused(code)
        found = await self._dns.look_up(Provider(name))
        if found is None:
            self._miss(Provider(name))
            raise Refused(Code.PROVIDER_UNKNOWN)
        self._peers.sighted(found)

    async def endpoints(self, provider: Provider) -> list[Endpoint]:
        """Where it is to be dialled. Raises Refused: it cannot be told."""
        if self._dns is None or is_lan(provider):
            return []
        found = await self._dns.look_up(provider)
        return list(found.endpoints) if found else []

    async def evidence(self, provider: Provider, key: bytes) -> DnsEvidence:
        """What the DNS says of a key. Raises Refused: it could not be asked."""
        found = None if is_lan(provider) or self._dns is None else await self._dns.look_up(provider)
        if found is None or found.key is None:
            return DnsEvidence.NONE
        return DnsEvidence.MATCHES if found.key == key else DnsEvidence.DIFFERS

    async def _look(self, provider: Provider) -> None:
        try:
            found = await self._dns.look_up(provider) if self._dns else None
        except WaypostError as error:
            self._log.info("provider cannot be looked up", provider=provider, reason=str(error))
        else:
            if found is None:
                self._miss(provider)
            else:
                self._peers.sighted(found)
        finally:
            self._looking.discard(provider)

    def _miss(self, provider: Provider) -> None:
        self._missing[provider] = self._clock.instant() + DNS_MISS_S
        self._missing.move_to_end(provider)
        if len(self._missing) > DNS_MISSES_MAX:
            self._missing.popitem(last=False)
