"""Answers requests: joining, key packages, claims, traces, records, consent (DESIGN: key directory)."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any, Protocol, assert_never

import trio

from waypost.clock import MINUTE_MS, Clock, WallMs
from waypost.crypto.keys import Purpose, SigningKey
from waypost.errors import Code, LocalError, PeerFault, Refused, WaypostError, code_of
from waypost.ids import Provider, is_canonical_provider
from waypost.limits import BUNDLE_MAX_BYTES, CLAIM_BURST, CLAIM_RATE_PER_S, QUERY_BURST, QUERY_RATE_PER_S
from waypost.protocol.directory.asks import (
    AskReach,
    Claim,
    ClaimAnswer,
    ClaimReply,
    DeviceKeys,
    Join,
    JoinReply,
    Publish,
    PublishReply,
    ReachReply,
    Records,
    RecordsReply,
    Track,
)
from waypost.protocol.directory.bundle import DeviceList, open_device_list, open_package
from waypost.protocol.directory.invite import token_hash
from waypost.protocol.directory.reach import reach_of
from waypost.protocol.frames.codec import pack
from waypost.protocol.frames.fields import SIGNATURE_BYTES
from waypost.protocol.frames.messages import Answer, Role
from waypost.protocol.frames.session import Asked
from waypost.relay.accounts import Accounts, LocalUser
from waypost.relay.custody.tracks import Tracks
from waypost.relay.devices.devices import Devices
from waypost.relay.link import Link
from waypost.relay.tasks import Tasks, contained
from waypost.routing.quota import Buckets
from waypost.storage.store import Device, Store, StoredPackage

_REACHES = ("all", "none", "some")
_BUCKETS_MAX = 16_384


@dataclass(frozen=True)
class _Reply:
    body: bytes
    signature: bytes = b""


class Federation(Protocol):
    """What the directory needs of the peers."""

    async def ask_peer(self, provider: str, ask: Claim) -> tuple[Answer, bytes]:
        """The peer's answer and its record. Raises Refused."""

    def merge_records(self, records: tuple[bytes, ...], source: str) -> None: ...

    def known_records(self) -> tuple[bytes, ...]: ...


@dataclass(frozen=True)
class Office:
    """What the directory works with."""

    provider: str
    key: SigningKey
    store: Store
    clock: Clock
    accounts: Accounts
    devices: Devices
    federation: Federation
    tracks: Tracks
    nursery: Tasks
    log: Any


class Directory:
    """See the module. Each request has a task of its own; a session bounds how many it may have open."""

    def __init__(self, office: Office) -> None:
        self._office = office
        # By key, since whoever has not joined may claim any name.
        self._queries: Buckets[bytes] = Buckets(QUERY_RATE_PER_S, QUERY_BURST, _BUCKETS_MAX)
        self._claims: Buckets[tuple[str, str]] = Buckets(CLAIM_RATE_PER_S, CLAIM_BURST, _BUCKETS_MAX)
        self._joining = trio.Lock()
        self._issuing: dict[bytes, trio.Event] = {}  #: claims being answered, by request
        self.record = b""  #: our own, as others check our answers against it

    def asked(self, link: Link, asked: Asked) -> None:
        """Answer when the answer is known."""
        self._office.nursery.start_soon(self._answer, link, asked)

    async def _answer(self, link: Link, asked: Asked) -> None:
        answered = False
        with contained(self._office.log, "request", peer=link.source):
            await self._try_to_answer(link, asked)
            answered = True
        if not answered:
            link.session.answer(asked.id, Code.INTERNAL.number)
            link.wake()

    async def _try_to_answer(self, link: Link, asked: Asked) -> None:
        try:
            if not self._queries.take(link.peer.key, 1, self._office.clock.instant()):
                raise Refused(Code.RATE_LIMITED)
            reply = await self._reply(link, asked)
            link.session.answer(asked.id, 0, "", reply.body, reply.signature)
        except PeerFault as fault:
            # The request is at fault, not the link.
            link.session.answer(asked.id, Code.BAD_REQUEST.number, fault.code.title)
        except (Refused, LocalError) as error:
            code = error.code if isinstance(error, Refused) else Code.INTERNAL
            if code is Code.INTERNAL:
                self._office.log.warning("request failed", reason=str(error))
            link.session.answer(asked.id, code.number)
        link.wake()

    def _reply(self, link: Link, asked: Asked) -> Awaitable[_Reply]:
        match asked.ask:
            case Join():
                return self._join(link, asked.ask)
            case Publish():
                return self._publish(link, asked.ask)
            case Claim():
                return self._claim(link, asked.ask)
            case Track():
                return self._track(link, asked.ask)
            case Records():
                return self._records(link, asked.ask)
            case AskReach():
                return self._reach(link, asked.ask)
            case _:
                assert_never(asked.ask)

    # ── accounts ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _join(self, link: Link, ask: Join) -> _Reply:
        if link.peer.role is not Role.DEVICE:
            raise Refused(Code.FORBIDDEN)
        devices = open_device_list(ask.device_list, link.source)
        # One after the other: two lists that follow the same one must not both be taken.
        async with self._joining:
            return await self._admit(link, ask, devices)

    async def _admit(self, link: Link, ask: Join, devices: DeviceList) -> _Reply:
        office = self._office
        now_ms = office.clock.wall_ms()
        hashed = token_hash(ask.token)
        user = await office.store.invited(hashed, now_ms)
        local = office.accounts.of_device(link.peer.key)
        if user is None and local is None:
            raise Refused(Code.INVITE_INVALID)
        name = user if user is not None else local.account.user if local else None
        account = office.accounts.get(name) if name else None
        if account is None or account.address != link.source or link.peer.key not in devices.devices:
            raise Refused(Code.INVITE_INVALID)
        if account.account.device_list:
            before = open_device_list(account.account.device_list, account.address)
            if before.key != devices.key:
                raise Refused(Code.OTHER_IDENTITY)
            if devices != before and devices.sequence <= before.sequence:
                raise Refused(Code.CONFLICT)
            if not set(before.devices) <= set(devices.devices):
                raise Refused(Code.CONFLICT)
        device = await office.store.join(
            hashed, Device(link.peer.key, account.account.user, ask.label, now_ms, 0), ask.device_list
        )
        office.accounts.put_device(device)
        office.accounts.put_device_list(account.account.user, ask.device_list)
        return _Reply(pack(JoinReply(account.address, self.record, office.store.epoch)))

    async def _reach(self, link: Link, ask: AskReach) -> _Reply:
        user = self._local(link)
        if ask.mode != "show":
            if ask.mode not in _REACHES:
                raise Refused(Code.BAD_REQUEST)
            if (ask.mode == "some") is not bool(ask.providers) or not all(map(is_canonical_provider, ask.providers)):
                raise Refused(Code.BAD_REQUEST)
            providers = tuple(Provider(name) for name in ask.providers)
            await self.set_reach(user, ask.mode, providers)
        reach = user.account.reach
        return _Reply(pack(ReachReply(reach.mode.value, reach.providers)))

    async def set_reach(self, user: LocalUser, reach: str, providers: tuple[Any, ...]) -> None:
        """Who may write to the account from other providers."""
        await self._office.store.set_reach(user.account.user, reach, providers)
        self._office.accounts.put(replace(user.account, reach=reach_of(reach, providers)))

    def _local(self, link: Link) -> LocalUser:
        user = self._office.accounts.of_device(link.peer.key) if link.peer.role is Role.DEVICE else None
        if user is None:
            raise Refused(Code.FORBIDDEN)
        return user

    # ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _publish(self, link: Link, ask: Publish) -> _Reply:
        self._local(link)
        store, now_ms = self._office.store, self._office.clock.wall_ms()
        if ask.epoch != store.epoch:
            # What the device believes to be here may be gone: it is told the epoch and starts anew.
            left = await store.packages_left(link.peer.key, now_ms)
            return _Reply(pack(PublishReply(left, store.epoch)))
        packages = [self._package(data, link.peer.key, now_ms, last_resort=False) for data in ask.packages]
        last = self._package(ask.last_resort, link.peer.key, now_ms, last_resort=True) if ask.last_resort else None
        left = await store.publish(link.peer.key, ask.upload, now_ms, packages, last)
        return _Reply(pack(PublishReply(left, store.epoch)))

    @staticmethod
    def _package(data: bytes, device: bytes, now_ms: WallMs, *, last_resort: bool) -> StoredPackage:
        package = open_package(data, device).package
        if package.last_resort is not last_resort or package.expires_ms <= now_ms + MINUTE_MS:
            raise Refused(Code.BAD_REQUEST)
        return StoredPackage(package.suite, package.expires_ms, data)

    async def _claim(self, link: Link, ask: Claim) -> _Reply:
        office = self._office
        user, _, provider = ask.address.rpartition("@")
        if link.peer.role is Role.DEVICE:
            self._local(link)
            if provider != office.provider:
                answer, record = await office.federation.ask_peer(provider, ask)
                if answer.code:
                    raise _refusal(answer.code)
                if len(answer.signature) != SIGNATURE_BYTES or len(answer.body) > BUNDLE_MAX_BYTES or not record:
                    office.log.warning("a claim's answer makes no sense", peer=provider)
                    raise Refused(Code.INTERNAL)
                return _Reply(pack(ClaimAnswer(answer.body, answer.signature, record)))
        elif provider != office.provider:
            raise Refused(Code.NOT_FOUND)
        body, signature = await self._serve_claim(link, user, ask)
        if link.peer.role is Role.DEVICE:
            return _Reply(pack(ClaimAnswer(body, signature, self.record)))
        return _Reply(body, signature)

    async def _serve_claim(self, link: Link, user: str, ask: Claim) -> tuple[bytes, bytes]:
        office = self._office
        now_ms = office.clock.wall_ms()
        request = blake2b(ask.request + link.source.encode(), digest_size=32).digest()
        digest = blake2b(pack((ask.address, *ask.suites)), digest_size=32).digest()
        # The same request, sent again while it is being answered, must not use up a second package.
        while request in self._issuing:
            await self._issuing[request].wait()
        issuing = self._issuing[request] = trio.Event()
        try:
            given = await office.store.answered(request, digest)
            if given is None:
                given = await self._issue(link, user, ask, now_ms)
                await office.store.remember_answer(request, digest, given, now_ms)
        finally:
            del self._issuing[request]
            issuing.set()
        signature = office.key.sign(Purpose.ANSWER, given)
        if not given:
            raise Refused(Code.NOT_FOUND)
        return given, signature

    async def _issue(self, link: Link, user: str, ask: Claim, now_ms: WallMs) -> bytes:
        """The encoded reply; empty for not-found, which takes the same steps so that its time tells nothing."""
        office = self._office
        sender_provider = link.source.rpartition("@")[2]
        found = office.accounts.get(user)
        if found is not None and not office.accounts.may_reach(found, sender_provider):
            found = None
        name = found.account.user if found else ""
        # By the name that was asked for: a bucket for all that do not exist would tell them from those that do.
        if not self._claims.take((link.source, user), 1, office.clock.instant()):
            raise Refused(Code.RATE_LIMITED)
        issued = await office.store.claim(name, ask.suites, now_ms)  # type: ignore[arg-type] # "" is nobody's
        if found is None:
            return b""
        if not issued:
            raise Refused(Code.NO_KEYS)
        for each in issued:
            office.devices.keys_low(each.device, each.left)
        keys = tuple(DeviceKeys(each.device, each.state, each.package) for each in issued)
        return pack(ClaimReply(ask.request, ask.address, now_ms, found.account.device_list, keys))

    # ── traces and records ──────────────────────────────────────────────────────────────────────────────────────────

    async def _track(self, link: Link, ask: Track) -> _Reply:
        user = self._local(link)
        reply = await self._office.tracks.find(ask.id, of=user.address)
        return _Reply(pack(reply))

    async def _records(self, link: Link, ask: Records) -> _Reply:
        if link.peer.role is not Role.NODE:
            raise Refused(Code.FORBIDDEN)
        self._office.federation.merge_records(ask.records, link.source)
        return _Reply(pack(RecordsReply(self._office.federation.known_records())))


def _refusal(number: int) -> WaypostError:
    return Refused(code_of(number) or Code.INTERNAL)
