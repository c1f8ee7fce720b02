"""zeroconf, which speaks multicast DNS, asked from trio.

It runs an asyncio loop in a thread of its own, on the clock of the machine. What is asked of it is a coroutine there;
what it has heard is left in `InstanceChanges`, and trio is woken.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import structlog
import trio
from zeroconf import DNSQuestionType, InterfaceChoice, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser

from waypost.limits import MDNS_CLOSE_TIMEOUT_S, MDNS_RESOLVE_TIMEOUT_S, MDNS_SEEN_MAX

SERVICE_TYPE: Final = "_waypost._tcp.local."

_log = structlog.get_logger(__name__)
_GROUP = "224.0.0.251"  # RFC 6762 §3
_T = TypeVar("_T")


class InstanceChanges:
    """The latest change of each instance since they were last taken. Any thread may add, any may take."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: OrderedDict[str, ServiceStateChange] = OrderedDict()

    def add(self, name: str, change: ServiceStateChange) -> None:
        with self._lock:
            put(self._latest, name, change)

    def take(self) -> OrderedDict[str, ServiceStateChange]:
        with self._lock:
            taken, self._latest = self._latest, OrderedDict()
        return taken


class Responder:
    """Announces one service, asks for others, and hears of them. Made by `open_responder`."""

    def __init__(self, zeroconf: Zeroconf, changed: Callable[[], object]) -> None:
        self.changes = InstanceChanges()
        self._zeroconf = zeroconf
        self._changed = changed
        self._trio = trio.lowlevel.current_trio_token()
        self._broadcast: asyncio.Future[None] | None = None  #: touched in zeroconf's thread alone
        self._browser: AsyncServiceBrowser | None = None  #: likewise

    @property
    def addresses(self) -> frozenset[str]:
        """The addresses of this machine that it speaks from."""
        return frozenset(str(sender.sock_name[0]) for sender in self._zeroconf.engine.senders)

    async def browse(self) -> None:
        """Look from now on: `changes` fills, and `changed` is called in trio."""
        await self._there(self._browse())

    async def register(self, info: ServiceInfo) -> None:
        """Announce it, which goes on for half a second. Raises zeroconf.Error."""
        await self._there(self._register(info))

    async def update(self, info: ServiceInfo) -> None:
        """Announce this in place of what was registered."""
        await self._there(self._update(info))

    async def resolve(self, info: ServiceInfo, *, afresh: bool) -> bool:
        """Fill it in, asking for what is not known; `afresh`: for all. False if nobody answers in time."""
        return await self._there(self._resolve(info, afresh=afresh))

    def load(self, info: ServiceInfo) -> bool:
        """Fill it in from what is known. False if that is not all."""
        return info.load_from_cache(self._zeroconf)

    async def close(self) -> None:
        """Say goodbye and end the thread; bounded in time, and done even when cancelled."""
        with trio.move_on_after(MDNS_CLOSE_TIMEOUT_S, shield=True):
            await self._there(self._fall_silent())
            await trio.to_thread.run_sync(self._zeroconf.close, abandon_on_cancel=True)

    async def _there(self, work: Coroutine[Any, Any, _T]) -> _T:
        """The result of a coroutine in zeroconf's thread; it is cancelled there if we are here."""
        loop = self._zeroconf.loop
        if loop is None:
            raise RuntimeError("zeroconf has no loop")
        over = trio.Event()
        future = asyncio.run_coroutine_threadsafe(work, loop)
        future.add_done_callback(lambda _: self._soon(over.set))
        try:
            await over.wait()
        finally:
            future.cancel()
        return future.result()

    # ── these run in zeroconf's thread ──────────────────────────────────────────────────────────────────────────────

    async def _browse(self) -> None:
        # The questions ask for multicast answers: of several processes that share port 5353 on one machine, a unicast
        # answer reaches only one.
        self._browser = AsyncServiceBrowser(
            self._zeroconf, SERVICE_TYPE, handlers=[self._on_change], question_type=DNSQuestionType.QM
        )

    async def _register(self, info: ServiceInfo) -> None:
        # No probing, which would take 1.6 s: the names contain our key, so they are known to be unique by other means,
        # and RFC 6762 §8.1 says to skip it then. Someone who copies them on purpose would not be stopped by it.
        registered = await self._zeroconf.async_register_service(info, cooperating_responders=True)
        self._broadcast = asyncio.ensure_future(registered)

    async def _update(self, info: ServiceInfo) -> None:
        if self._broadcast is not None:
            await self._broadcast
        self._broadcast = asyncio.ensure_future(await self._zeroconf.async_update_service(info))

    async def _resolve(self, info: ServiceInfo, *, afresh: bool) -> bool:
        if afresh:
            self._forget(info.name)
        return await info.async_request(self._zeroconf, MDNS_RESOLVE_TIMEOUT_S * 1_000, DNSQuestionType.QM)

    def _forget(self, name: str) -> None:
        """Drop the SRV, TXT and address records of an instance, so that only an answer brings them back."""
        cache = self._zeroconf.cache
        info = ServiceInfo(SERVICE_TYPE, name)
        info.load_from_cache(self._zeroconf)
        for owner in {name, info.server or name}:
            cache.async_remove_records(list(cache.async_entries_with_name(owner)))

    async def _fall_silent(self) -> None:
        if self._broadcast is not None:
            self._broadcast.cancel()
            await asyncio.wait([self._broadcast])
        if self._browser is not None:
            await self._browser.async_cancel()

    def _on_change(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        try:
            self.changes.add(name, state_change)
            self._soon(self._changed)
        except Exception:  # noqa: BLE001
            # reason: whatever escapes from a callback takes the other records of that packet with it
            _log.exception("mdns-callback-failed")

    def _soon(self, what: Callable[[], object]) -> None:
        # Nobody waits any more once trio has ended.
        with suppress(trio.RunFinishedError):
            self._trio.run_sync_soon(what, idempotent=True)


async def open_responder(interfaces: Sequence[str] | None, changed: Callable[[], object]) -> Responder:
    """Open the sockets at IP addresses of this machine, None: at all of IPv4. `changed` must not raise.

    Raises OSError, RuntimeError or zeroconf.Error if multicast cannot be had there; nothing is left open then.
    """
    _join_once(interfaces or ())
    choice = InterfaceChoice.All if interfaces is None else list(interfaces)
    # Not left behind when cancelled: nobody would close it.
    return Responder(await trio.to_thread.run_sync(Zeroconf, choice), changed)


def put(table: OrderedDict[str, _T], name: str, value: _T) -> None:
    """Bounded by MDNS_SEEN_MAX: the oldest entry goes. What it stood for has been reported, or is announced again."""
    table[name] = value
    if len(table) > MDNS_SEEN_MAX:
        table.popitem(last=False)


def _join_once(interfaces: Iterable[str]) -> None:
    """Raise OSError if multicast cannot be joined there: zeroconf would raise it too, but leave its socket open."""
    for address in interfaces:
        if ipaddress.ip_address(address).version == 4:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                membership = socket.inet_aton(_GROUP) + socket.inet_aton(address)
                probe.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
