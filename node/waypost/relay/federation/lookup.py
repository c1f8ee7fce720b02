"""Finds providers that nobody here has heard of, by the DNS."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from waypost.clock import Instant
from waypost.discovery.source import Sighting
from waypost.errors import Code, Refused, WaypostError
from waypost.ids import Provider, is_canonical_provider, is_lan
from waypost.limits import DNS_LOOKUPS_AT_ONCE, DNS_MISS_S, DNS_MISSES_MAX
from waypost.relay.settings import Parts
from waypost.relay.tasks import Tasks

#: After a start, discovery may not have found everyone yet.
SETTLING_S = 10.0


class Finder:
    """What is found is told to `sighted`; names that do not exist are remembered for a while."""

    def __init__(self, parts: Parts, tasks: Tasks, sighted: Callable[[Sighting], None]) -> None:
        self._parts = parts
        self._tasks = tasks
        self._sighted = sighted
        self._started = parts.clock.instant()
        self._looking: set[Provider] = set()
        self._missing: OrderedDict[Provider, Instant] = OrderedDict()

    def status(self, name: str) -> Code:
        """PROVIDER_UNKNOWN, or UNREACHABLE while that is not certain: the question is being asked then."""
        if not is_canonical_provider(name):
            return Code.PROVIDER_UNKNOWN
        provider = Provider(name)
        if is_lan(provider) or self._parts.dns is None:
            settled = self._parts.clock.instant() > self._started + SETTLING_S
            return Code.PROVIDER_UNKNOWN if settled else Code.UNREACHABLE
        if self._parts.clock.instant() < self._missing.get(provider, 0.0):
            return Code.PROVIDER_UNKNOWN
        if provider not in self._looking and len(self._looking) < DNS_LOOKUPS_AT_ONCE:
            self._looking.add(provider)
            self._tasks.start_soon(self._look, provider)
        return Code.UNREACHABLE

    async def find(self, name: str) -> None:
        """Look it up now. Raises Refused: there is no such provider, or it cannot be told."""
        code = self.status(name)
        if code is Code.PROVIDER_UNKNOWN or self._parts.dns is None or is_lan(Provider(name)):
            raise Refused(code)
        found = await self._parts.dns.look_up(Provider(name))
        if found is None:
            self._miss(Provider(name))
            raise Refused(Code.PROVIDER_UNKNOWN)
        self._sighted(found)

    async def _look(self, provider: Provider) -> None:
        try:
            found = await self._parts.dns.look_up(provider) if self._parts.dns else None
        except WaypostError as error:
            self._parts.log.info("provider cannot be looked up", provider=provider, reason=str(error))
        else:
            if found is None:
                self._miss(provider)
            else:
                self._sighted(found)
        finally:
            self._looking.discard(provider)

    def _miss(self, provider: Provider) -> None:
        self._missing[provider] = self._parts.clock.instant() + DNS_MISS_S
        self._missing.move_to_end(provider)
        if len(self._missing) > DNS_MISSES_MAX:
            self._missing.popitem(last=False)
